"""What may go from a Mac's disk, given what is there. Pure: others look, and remove."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from fleet import layout

OBJECT_NAME = re.compile(r"[0-9a-f]{64}")
PARTIAL = ".partial"
# 2001-01-01T00:00:00Z. An object gets this time last, once it is verified; whoever writes to it changes it.
VERIFIED_MTIME = 978307200


@dataclass(frozen=True)
class DepotFile:
    """One file of a Mac's depot folder."""

    name: str
    size: int
    modified: int
    """Seconds since 1970."""
    links: int
    """Names that the file has, this one included."""
    inode: int

    @property
    def whole(self) -> bool:
        """Whether it is an object that was verified when it arrived, and has not been written to since."""
        return bool(OBJECT_NAME.fullmatch(self.name)) and self.modified == VERIFIED_MTIME


@dataclass(frozen=True)
class ReleaseFolder:
    """One folder of releases."""

    name: str
    completed: int | None
    """When it became whole, in seconds since 1970; None: it never did."""
    in_use: bool
    """Whether a job's plist or a running process names it."""


def releases_to_go(folders: Collection[ReleaseFolder], current: str) -> list[str]:
    """The names of the releases that are neither `current`, nor the one to go back to, nor in use; sorted.

    The one to go back to is the newest other that is whole. What is half-built and not `current` goes, and so do
    hidden folders: they are what is left of an interrupted removal.
    """
    others = [
        (folder.completed, folder.name)
        for folder in folders
        if folder.completed is not None and folder.name != current and not folder.name.startswith(".")
    ]
    previous = max(others)[1] if others else current
    return sorted(folder.name for folder in folders if not folder.in_use and folder.name not in (current, previous))


@dataclass(frozen=True)
class CodeFolder:
    """One folder below serving/, which holds a wheel."""

    name: str
    """The first 12 hex digits of the wheel's sha256."""
    made: int
    """When the wheel came there, in seconds since 1970."""
    package: str
    """What the wheel's name begins with, `raylab_serving`; empty in a folder without one."""
    in_use: bool
    """Whether a job's plist, the Serve config or a running process names it."""


def code_to_go(folders: Collection[CodeFolder], wanted: Collection[str]) -> list[str]:
    """The names of the folders that are neither `wanted` nor in use nor the newest other of their package; sorted.

    That one stays as releases do, and because replicas which still finish an answer import from it.
    """
    others = [folder for folder in folders if folder.package and folder.name not in wanted]
    newest = {folder.package: folder.name for folder in sorted(others, key=lambda folder: (folder.made, folder.name))}
    kept = {*wanted, *newest.values()}
    return sorted(folder.name for folder in folders if not folder.in_use and folder.name not in kept)


def objects_to_go(files: Iterable[DepotFile], wanted: Collection[str]) -> list[DepotFile]:
    """The objects that nothing links to and the partial ones, without those whose sha256 is `wanted`."""
    return [file for file in files if _unused(file) and file.name.removesuffix(PARTIAL) not in wanted]


def _unused(file: DepotFile) -> bool:
    if file.name.endswith(PARTIAL):
        return bool(OBJECT_NAME.fullmatch(file.name.removesuffix(PARTIAL)))
    return bool(OBJECT_NAME.fullmatch(file.name)) and file.links == 1


def weights_to_go(folders: Collection[str], wanted: Collection[str]) -> list[str]:
    """The full paths below weights/ that no setting names; sorted.

    `folders` are those of models and of their revisions, `wanted` those of revisions, all as full paths. A model
    without a wanted revision goes as one folder.
    """
    kept = {path.rpartition("/")[0] for path in wanted}
    depth = layout.WEIGHTS.count("/") + 1
    models = {path for path in folders if path.count("/") == depth} - kept
    revisions = {path for path in folders if path.rpartition("/")[0] in kept} - set(wanted)
    return sorted(models | revisions)


def amount(size: int) -> str:
    """Bytes for a person, as disks are sold: `640 MB`, `4.1 GB`."""
    if size >= 10**9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10**6 else f"{size / 1e3:.0f} kB"
