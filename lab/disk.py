"""What is on a simulated Mac's disk: every path that differs from a new Mac's, and what it is."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path

# Not a Mac's disk, or what every program on it adds to.
UNCOMPARED = ("var/log", "var/db/simulated-mac", "var/db/sudo", "run", "proc", "dev", "sys")
Disk = dict[str, tuple[object, ...]]


def touched(upper: Path) -> set[str]:
    """Every path of a Mac's own layer: what it has changed since it came out of its box."""
    paths = {str(path.relative_to(upper)) for path in upper.rglob("*")}
    return {path for path in paths if not path.startswith(UNCOMPARED)}


def states(root: Path, paths: Iterable[str]) -> Disk:
    """Kind, mode, owner, size and sha256 of each of these paths below `root`; without those that are not there."""
    found = {path: _state(root / path) for path in paths}
    return {path: state for path, state in found.items() if state}


def _state(path: Path) -> tuple[object, ...]:
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    kind, owner = stat.S_IFMT(info.st_mode), (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode))
    if stat.S_ISREG(info.st_mode):
        return (kind, *owner, info.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    return (kind, *owner, str(path.readlink()) if stat.S_ISLNK(info.st_mode) else "")
