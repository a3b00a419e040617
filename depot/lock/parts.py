"""The parts of a folder of locks, each made from its own input and written only when it is complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from depot.errors import DepotError
from depot.lock.changes import Entry, changes
from depot.lock.conda import conda_lock, tools_lock
from depot.lock.folder import Folder, conda_name, replace
from depot.lock.wheels import wheels_lock
from fleet.lockfile import CONDA_LOCK, TOOLS_LOCK, WHEELS_LOCK, LockedFile


@dataclass(frozen=True)
class Part:
    """One lock."""

    lock: str
    source: str
    """The file that it is made from; a folder without it has no such part."""
    make: Callable[[Folder], tuple[str, list[str]]]
    """The lock's text, and what could not be had although the rest is right. Raises DepotError."""
    entries: Callable[[Folder], list[Entry]]
    """What the lock names now."""


@dataclass(frozen=True)
class Outcome:
    """What came of one part."""

    changes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    written: bool = True
    """Whether the lock is what its input asks for, as far as there are no problems. Else it was left as it was."""


def make(part: Part, folder: Folder) -> Outcome:
    """Makes one lock. Whatever goes wrong is told, and leaves the lock as it was."""
    try:
        before = part.entries(folder)
        text, problems = part.make(folder)
        replace(folder.path / part.lock, text)
        return Outcome(tuple(changes(before, part.entries(folder))), tuple(problems))
    except (DepotError, OSError) as problem:
        return Outcome(problems=tuple(str(problem).splitlines()), written=False)


def _files(files: list[LockedFile]) -> list[Entry]:
    return [(name, version, (sha256,)) for name, version, sha256 in map(conda_name, files)]


PARTS = (
    # The first one: it says which Python the wheels are for.
    Part(CONDA_LOCK, "conda.in", lambda folder: (conda_lock(folder), []), lambda folder: _files(folder.conda())),
    Part(
        WHEELS_LOCK,
        "wheels.in",
        wheels_lock,
        lambda folder: [(wheel.name, wheel.version, wheel.sha256s) for wheel in folder.wheels()],
    ),
    Part(TOOLS_LOCK, "tools.in", lambda folder: (tools_lock(folder), []), lambda folder: _files(folder.tools())),
)
