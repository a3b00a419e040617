"""One uncompressed tar out of many files: checked while they are read, and there only when it is whole."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from depot.download import check_room
from depot.errors import DepotError
from depot.progress import Tally, shown

# A tar's own, for each file.
HEADER = 1536


@dataclass(frozen=True)
class Item:
    """One file of the tar."""

    name: str
    path: Path
    sha256: str
    """What its content must be; empty when any is right."""
    mode: int


def write_tar(output: Path, folder: str, items: Sequence[Item]) -> int:
    """Writes `items` below `folder`, and returns the tar's bytes.

    Raises DepotError when the disk has no room, before the first byte, or a file is not what it should be.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    size = sum(item.path.stat().st_size for item in items)
    check_room(output.parent, size + len(items) * HEADER, f"Writing {output}")
    tally = Tally(output.name, len(items), size)
    partial = output.with_name(f".{output.name}.partial")
    try:
        with partial.open("wb") as sink, shown(tally):
            with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for item in items:
                    _add(tar, folder, item, tally)
            sink.flush()
            os.fsync(sink.fileno())
        return partial.replace(output).stat().st_size
    finally:
        partial.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, folder: str, item: Item, tally: Tally) -> None:
    if item.path.is_symlink() and not item.sha256:
        tar.add(item.path, f"{folder}/{item.name}")
        tally.finish()
        return
    info = tarfile.TarInfo(f"{folder}/{item.name}")
    with item.path.open("rb") as file:
        found = os.fstat(file.fileno())
        info.size, info.mtime, info.mode = found.st_size, int(found.st_mtime), item.mode
        reading = _Reading(file, tally)
        tar.addfile(info, reading)  # type: ignore[arg-type]  # it only reads
    if item.sha256 and reading.digest.hexdigest() != item.sha256:
        raise DepotError(f"{item.path}: its content is not {item.sha256} any more. Remove it, and run this again.")
    tally.finish()


class _Reading:
    """Hashes and counts what is read."""

    def __init__(self, file: IO[bytes], tally: Tally) -> None:
        self.file, self.tally, self.digest = file, tally, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        self.tally.add(len(data))
        return data
