"""wheels.lock, from wheels.in: uv resolves, and of each package the one file is locked that the platform installs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from depot.errors import DepotError
from depot.index import TORCH_CPU, pip_sources
from depot.lock import by_url
from depot.lock.folder import Folder
from depot.lock.words import one_line
from fleet.lockfile import LockedWheel, Reader, file_name, lines_of, wheels
from fleet.targets import GLIBC, MACOS, best

UV_PLATFORMS = {"osx-arm64": "aarch64-apple-darwin", "linux-64": f"x86_64-manylinux_{GLIBC[0]}_{GLIBC[1]}"}
EXCLUDES = "excludes.txt"
HEADER = "# Made from wheels.in by `make lock`: of each package the one file that this platform installs."


def wheels_lock(folder: Folder) -> tuple[str, list[str]]:
    """The text of wheels.lock, and what could not be had although the rest of the lock is right.

    Raises DepotError when the old lock is better than anything that could be written.
    """
    asked = list(lines_of(folder.read("wheels.in")))
    named = [line.text for line in asked if by_url.is_url(line.text)]
    indexed = [line.text for line in asked if not by_url.is_url(line.text)]
    locked, problems = by_url.locked(folder, named)
    locked += _resolved(folder, indexed)
    by_url.check_requirements(folder, locked, _excluded(folder))
    text = lock_text(locked)
    reader = Reader("")
    list(wheels(reader, lines_of(text), folder.target))
    if reader.problems:  # lines of a lock that is not written are not told
        raise DepotError("\n".join(replace(problem, file="", field="").line() for problem in reader.problems))
    return text, problems


def lock_text(locked: Iterable[LockedWheel]) -> str:
    """A requirements file, which pip and uv read, with one file a line."""
    lines = [HEADER]
    for wheel in sorted(locked, key=lambda wheel: wheel.name):
        hashes = " ".join(f"--hash=sha256:{sha256}" for sha256 in wheel.sha256s)
        what = f"{wheel.name} @ {wheel.url}" if wheel.url else f"{wheel.name}=={wheel.version}"
        lines.append(f"{what} {hashes}" + ("" if wheel.url else f"  # {wheel.file}"))
    return "\n".join(lines) + "\n"


def _resolved(folder: Folder, requirements: list[str]) -> list[LockedWheel]:
    """One wheel of each package that the requirements need."""
    # No ordinary index has the CPU build of torch: it is where pip is told to look beside the index, or at PyTorch's.
    cpu_build = any("+cpu" in line for line in requirements)
    places = list(pip_sources().folders) if cpu_build else []
    found = _uv(folder, requirements, places)
    words = _last_words(found.stderr)
    if found.returncode and cpu_build and "+cpu" in found.stderr:
        # Only torch's own page: that index has other packages too, which would hide PyPI's.
        page = f"{TORCH_CPU}/torch/"
        found = _uv(folder, requirements, [*places, page])
        words += f" With the wheels of {page}: {_last_words(found.stderr)}"
    if found.returncode:
        raise DepotError(words)
    return [_chosen(folder, package) for package in tomllib.loads(found.stdout).get("packages", [])]


def _uv(folder: Folder, requirements: list[str], find_links: list[str]) -> subprocess.CompletedProcess[str]:
    """What uv resolves, as a pylock.toml on standard output; the versions of the old lock are preferred."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--format", "pylock.toml", "--no-header"]
    # The target's own Python is not needed to resolve, and is not to be downloaded.
    command += ["--python", sys.executable, "--no-python-downloads"]
    command += ["--quiet", "--no-progress", "--no-annotate", "--only-binary", ":all:"]
    command += ["--python-platform", UV_PLATFORMS[folder.platform], "--python-version", folder.target.python]
    if (excludes := folder.path / EXCLUDES).is_file():
        command += ["--excludes", str(excludes)]
    command += [option for place in find_links for option in ("--find-links", place)]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": ".".join(map(str, MACOS))}
    with tempfile.TemporaryDirectory(prefix="raylab-lock-") as scratch:
        # uv prefers what its output file names already.
        output = Path(scratch) / "pylock.toml"
        output.write_text(_preferences(folder), encoding="utf-8")
        done = subprocess.run(
            [*command, "--output-file", str(output)],
            input="\n".join(requirements),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        done.stdout = output.read_text(encoding="utf-8")
    return done


def _preferences(folder: Folder) -> str:
    kept = [wheel for wheel in folder.wheels() if not wheel.url and folder.upgrade.keeps(wheel.name)]
    packages = [
        f"[[packages]]\nname = {json.dumps(wheel.name)}\nversion = {json.dumps(wheel.version)}\n" for wheel in kept
    ]
    header = 'lock-version = "1.0"\ncreated-by = "raylab"\n'
    return "\n".join([header, *packages] if packages else [header + "packages = []\n"])


def _chosen(folder: Folder, package: dict[str, Any]) -> LockedWheel:
    name, version = package["name"], package.get("version", "")
    files = {file_name(wheel.get("url") or wheel["path"]): wheel for wheel in package.get("wheels", [])}
    file = best(folder.target, files)
    if file is None:
        found = f"only {', '.join(sorted(files))}" if files else "only source code"
        raise DepotError(f"{name} {version}: there is no wheel for {folder.target}, {found}.")
    return LockedWheel(canonicalize_name(name), version, (files[file]["hashes"]["sha256"],), file=file)


def _excluded(folder: Folder) -> frozenset[str]:
    return frozenset(canonicalize_name(line.text) for line in lines_of(folder.read(EXCLUDES)))


def _last_words(output: str) -> str:
    """uv's reasons, without its hints."""
    return one_line(re.sub(r"(?m)^\s*(error|cause): ", "", output.partition("\nhint:")[0]))
