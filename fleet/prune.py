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
class Folder:
    """A release, or code: a folder that is named after what is in it."""

    name: str
    made: int | None
    """When it became whole, in seconds since 1970; None: it never did."""
    in_use: bool
    """Whether a running process names it, or a job's plist or a Serve config, of now or kept to go back to."""
    package: str = ""
    """Of code, what its wheel's name begins with: `raylab_serving`. Releases are all of one kind."""


def folders_to_go(folders: Collection[Folder], wanted: Collection[str]) -> list[str]:
    """The names of the folders that are neither `wanted`, nor in use, nor the ones to go back to; sorted.

    To go back to is the newest whole one of each package that is not wanted; of code, replicas that still finish an
    answer import from it. What is half-made and not wanted goes, and so do hidden folders: they are what is left of
    an interrupted removal.
    """
    others = [
        (folder.made, folder.name, folder.package)
        for folder in folders
        if folder.made is not None and folder.name not in wanted and not folder.name.startswith(".")
    ]
    newest = {package: name for _, name, package in sorted(others)}
    kept = {*wanted, *newest.values()}
    return sorted(folder.name for folder in folders if not folder.in_use and folder.name not in kept)


def objects_to_go(files: Iterable[DepotFile], wanted: Collection[str]) -> list[DepotFile]:
    """The objects that nothing links to and the partial ones, without those whose sha256 is `wanted`."""
    return [file for file in files if _unused(file) and file.name.removesuffix(PARTIAL) not in wanted]


def _unused(file: DepotFile) -> bool:
    if file.name.endswith(PARTIAL):
        return bool(OBJECT_NAME.fullmatch(file.name.removesuffix(PARTIAL)))
    return bool(OBJECT_NAME.fullmatch(file.name)) and file.links == 1


def weights_in(config: str) -> list[str]:
    """The full paths of revisions that a Serve config names."""
    return re.findall(rf"{layout.WEIGHTS}/[^/\s'\"]+/[^/\s'\"]+", config)


def weights_to_go(folders: Collection[str], wanted: Collection[str]) -> list[str]:
    """The full paths below weights/ that nobody names; sorted.

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
