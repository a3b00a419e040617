"""Makes every artifact of the lab once. A second call looks and makes nothing."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.artifacts.archive import CondaPackage, Content, write_archive, write_package
from lab.artifacts.channel import SUBDIR, lock_channel
from lab.artifacts.model import write_model
from lab.artifacts.native import util_linux_package, valkey_package
from lab.artifacts.python import TAG, other_python, python_package
from lab.artifacts.releases import OTHER_PYTHON, write_releases

HERE = Path(__file__).parent
WHEELS_LOCK = HERE.parents[1] / "locks" / SUBDIR / "wheels.lock"
MICROMAMBA = "micromamba-2.9.0-0.tar.bz2"
MEMBER = "bin/micromamba"
PROGRAMS = ("redis-server", "redis-cli", "lscpu")


@dataclass(frozen=True)
class Artifacts:
    """Where the lab's artifacts are."""

    channel: Path
    locks: Path
    model: Path


Progress = Callable[[str], None]


def build(lab_dir: Path, progress: Progress = print) -> Artifacts:
    """Makes what is missing or made by an older lab, under `lab_dir`/artifacts.

    Raises UnknownPythonError or MissingProgramError when this machine cannot be packed.
    """
    root = lab_dir.absolute() / "artifacts"
    artifacts = Artifacts(root / "channel", root / "locks", root / "models" / "tiny")
    stamp = root / "made-from"
    recipe = _recipe()
    if stamp.is_file() and stamp.read_text() == recipe:
        return artifacts
    stamp.unlink(missing_ok=True)
    artifacts.locks.mkdir(parents=True, exist_ok=True)
    _make_channel(artifacts, progress)
    _make_tools(root / "tools", artifacts.locks / "tools.lock", progress)
    _make_model(artifacts.model, progress)
    shutil.copyfile(WHEELS_LOCK, artifacts.locks / "wheels.lock")
    write_releases(artifacts.locks)
    _write(stamp, recipe)
    return artifacts


def _recipe() -> str:
    """Changes when what is packed changes: this code, the interpreter, the programs, the wheels' lock."""
    digest = hashlib.sha256()
    for path in [*sorted(HERE.glob("*.py")), WHEELS_LOCK]:
        digest.update(path.read_bytes())
    programs = [found for name in PROGRAMS if (found := shutil.which(name))]
    other = other_python()
    interpreters = [Path(sys.base_prefix), *([other.prefix] if other else [])]
    packed = [*(prefix / "bin" / TAG for prefix in interpreters), *map(Path, programs)]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in packed]
    digest.update(json.dumps([sys.version, facts, str(HERE)]).encode())
    return digest.hexdigest() + "\n"


def _make_channel(artifacts: Artifacts, progress: Progress) -> None:
    folder = artifacts.channel / SUBDIR
    shutil.rmtree(artifacts.channel, ignore_errors=True)
    folder.mkdir(parents=True)
    version = ".".join(map(str, sys.version_info[:3]))
    recipes: dict[str, Callable[[], CondaPackage]] = {
        "python": lambda: python_package(Path(sys.base_prefix), version),
        "valkey": valkey_package,
        "util-linux": util_linux_package,
    }
    other = other_python()
    if other:
        recipes["another python"] = lambda: python_package(other.prefix, other.version)
    for make in recipes.values():
        start = time.monotonic()
        package = make()
        path = folder / package.file_name
        write_package(path, package)
        size = path.stat().st_size / 1e6
        progress(f"artifacts: packed {path.name} ({size:.1f} MB, {time.monotonic() - start:.1f} s)")
    specs = ["valkey", "util-linux"]
    lock_channel(artifacts.channel, artifacts.locks / "conda.lock", [f"python =={version}", *specs])
    other_lock = artifacts.locks.with_name(OTHER_PYTHON)
    other_lock.unlink(missing_ok=True)
    if other:
        lock_channel(artifacts.channel, other_lock, [f"python =={other.version}", *specs])
    progress(f"artifacts: indexed and locked {len(recipes)} conda packages")


def _make_tools(folder: Path, lock: Path, progress: Progress) -> None:
    folder.mkdir(exist_ok=True)
    archive = folder / MICROMAMBA
    write_archive(archive, {MEMBER: Content((HERE / "micromamba.py").read_bytes(), executable=True)})
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    _write(lock, f"# micromamba's stand-in.\n{archive.as_uri()}#sha256:{digest} {MEMBER}\n")
    progress("artifacts: packed micromamba's stand-in")


def _make_model(folder: Path, progress: Progress) -> None:
    partial = folder.with_name(folder.name + ".partial")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    write_model(partial)
    partial.rename(folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    progress(f"artifacts: made the tiny model ({size:.2f} MB)")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.rename(path)
