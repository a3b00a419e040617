"""What a control machine without a network makes its own environment from: wheels, and requirements that pin them."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from depot.download import fetch_all
from depot.errors import DepotError
from depot.known import Known
from depot.objects import Objects
from depot.wheels import Progress, Wheels
from fleet.lockfile import LockedWheel, file_name
from fleet.targets import TARGETS, Target, best

# What markers may ask about, by platform.
MARKERS = {
    "osx-arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    "linux-64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
}
MACHINES = {("darwin", "arm64"): "osx-arm64", ("linux", "x86_64"): "linux-64"}
# What hatchling asks for when it installs a project in place.
EDITABLES = "editables"


@dataclass(frozen=True)
class Environment:
    """Files for setup-offline.sh."""

    wheels: dict[str, str]
    """sha256 of objects by file name."""
    requirements: dict[str, str]
    """Text by `<platform>-<Python>`, such as `osx-arm64-3.12`."""


def environment(root: Path, objects: Objects, progress: Progress) -> Environment:
    """What uv.lock in `root` names, for Macs and for this machine. Raises DepotError."""
    exported = _uv_export(root)
    known = Known(objects.depot)
    found: dict[str, str] = {}
    texts: dict[str, str] = {}
    try:
        for target in dict.fromkeys((TARGETS["osx-arm64"], *_own())):
            wheels = Wheels(locked(exported, target), target, objects, known)
            title = f"raylab's own wheels for {target}"
            fetch_all(wheels.downloads(progress), objects, title)
            wheels.fetch_by_pip(progress)
            found |= {held[1]: held[0] for wheel in wheels.wheels if (held := wheels.held(wheel))}
            lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256s[0]}\n" for wheel in wheels.wheels]
            texts[f"{target.platform}-{target.python}"] = "".join(lines)
        return Environment(found | _build_wheels(root, objects), texts)
    finally:
        known.save()


def locked(exported: dict[str, Any], target: Target) -> list[LockedWheel]:
    """The one wheel of each package of a pylock.toml that `target` installs. Raises DepotError."""
    found, problems = [], []
    machine = {**MARKERS[target.platform], "python_version": target.python, "python_full_version": f"{target.python}.0"}
    for package in exported.get("packages", []):
        if "marker" in package and not Marker(package["marker"]).evaluate(machine):
            continue
        files = {file_name(wheel.get("url") or wheel["path"]): wheel for wheel in package.get("wheels", [])}
        if file := best(target, files):
            sha256 = files[file]["hashes"]["sha256"]
            found.append(LockedWheel(canonicalize_name(package["name"]), package["version"], (sha256,), file=file))
        else:
            problems.append(f"uv.lock: {package['name']} has no wheel for {target}. Lock a version that has one.")
    if problems:
        raise DepotError("\n".join(problems))
    return found


def _own() -> list[Target]:
    """This machine, if there are wheels for its kind."""
    name = MACHINES.get((sys.platform, platform.machine()))
    return [Target(name, f"{sys.version_info[0]}.{sys.version_info[1]}")] if name else []


def _uv_export(root: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "uv", "export", "--quiet", "--frozen", "--offline", "--no-default-groups"]
    command += ["--no-emit-project", "--no-header", "--format", "pylock.toml"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise DepotError(f"uv cannot tell what uv.lock names: {words} Run `make setup`.")
    return tomllib.loads(done.stdout)


def _build_wheels(root: Path, objects: Objects) -> dict[str, str]:
    """What installs the project itself in place: pure Python, the same for every machine."""
    needed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    if not needed:
        return {}
    found = {}
    with tempfile.TemporaryDirectory(dir=objects.partial("").parent, prefix=".pip-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--only-binary", ":all:", "--dest", scratch, *needed, EDITABLES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            words = " ".join(done.stderr.split())
            raise DepotError(f"pip cannot fetch {', '.join(needed)}, which installs raylab itself: {words}")
        for path in sorted(Path(scratch).glob("*.whl")):
            with path.open("rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
            objects.adopt(path, found[path.name])
    return found
