"""One folder of locks, and what is wanted of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from depot.errors import DepotError
from fleet import lockfile
from fleet.lockfile import CONDA_LOCK, CONDA_NAME, TOOLS_LOCK, WHEELS_LOCK, LockedFile, LockedWheel, Reader
from fleet.targets import TARGETS, Target, target_for


@dataclass(frozen=True)
class Upgrade:
    """Which packages need not stay at the version that is locked."""

    everything: bool = False
    names: frozenset[str] = frozenset()
    """As package indexes compare them."""

    def keeps(self, name: str) -> bool:
        """Whether the locked version is preferred."""
        return not self.everything and canonicalize_name(name) not in self.names


@dataclass(frozen=True)
class Folder:
    """`locks/<platform>`. Raises DepotError when the folder's name is no platform."""

    path: Path
    upgrade: Upgrade = Upgrade()
    depot: Path = Path(".depot")

    def __post_init__(self) -> None:
        if self.platform not in TARGETS:
            raise DepotError(f"the folder's name has to be a platform: {' or '.join(TARGETS)}.")

    @property
    def platform(self) -> str:
        """`osx-arm64` or `linux-64`."""
        return self.path.absolute().name

    @property
    def target(self) -> Target:
        """The platform with the Python of its conda.lock."""
        python = (version for name, version, _ in map(conda_name, self.conda()) if name == "python")
        return target_for(self.platform, next(python, "")) or TARGETS[self.platform]

    def read(self, name: str) -> str:
        """The text of a file of the folder; empty when there is none. Raises DepotError when it is unreadable."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as problem:
            raise DepotError(f"{name} cannot be read: {problem}.") from problem

    # A line that cannot be read is no reason to keep anything: the lock is being made anew.

    def conda(self) -> list[LockedFile]:
        """What conda.lock names now."""
        return list(lockfile.conda_packages(Reader(""), lockfile.lines_of(self.read(CONDA_LOCK))))

    def tools(self) -> list[LockedFile]:
        """What tools.lock names now."""
        return list(lockfile.tools(Reader(""), lockfile.lines_of(self.read(TOOLS_LOCK))))

    def wheels(self) -> list[LockedWheel]:
        """What wheels.lock names now."""
        return list(lockfile.wheels(Reader(""), lockfile.lines_of(self.read(WHEELS_LOCK)), None))


def conda_name(file: LockedFile) -> tuple[str, str, str]:
    """Name, version and sha256 of a conda package, from its file name."""
    found = CONDA_NAME.fullmatch(file.name)
    return (found["name"], found["version"], file.sha256) if found else (file.name, "", file.sha256)


def replace(path: Path, text: str) -> None:
    """Writes a file so that at any time it is the old one or the new one. One that is right is not touched."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
