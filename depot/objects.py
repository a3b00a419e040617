"""The depot's artifacts on the control machine: one file each, named by its sha256.

objects/ab/<sha256> is whole and was verified when it got its name; partial/<sha256> is on its way in;
pieces/<sha256>.json keeps the hashes of a file's pieces, which Macs verify one by one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from depot.errors import DepotError

MIB = 1024 * 1024
# From here on pieces are larger: ten thousand hashes are enough for 40 GB.
LARGE = 10**9

_TURN = threading.Lock()


class Objects:
    """The objects of one depot. Nothing in it is ever changed, only added and removed."""

    def __init__(self, depot: Path) -> None:
        """Makes the depot's folder, which only its owner may read. Raises OSError when that fails."""
        self.depot = depot.absolute()
        self.depot.mkdir(parents=True, exist_ok=True)
        self.depot.chmod(0o700)

    def path(self, sha256: str) -> Path:
        """Where the object is, or would be."""
        return self.depot / "objects" / sha256[:2] / sha256

    def holds(self, sha256: str) -> bool:
        """Whether the object is there; it was verified when it was added."""
        return self.path(sha256).is_file()

    def partial(self, sha256: str) -> Path:
        """Where the object's bytes are kept until all of them are there. The folder exists."""
        folder = self.depot / "partial"
        folder.mkdir(exist_ok=True)
        return folder / sha256

    def add(self, file: Path, sha256: str) -> Path:
        """Moves a file in after hashing it, and returns the object's path.

        Raises DepotError when its sha256 is another one; then the file stays where it is.
        """
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != sha256:
            raise DepotError(f"{file}: its sha256 is {found}, and {sha256} was expected. Get the file anew.")
        return self.adopt(file, sha256)

    def adopt(self, file: Path, sha256: str) -> Path:
        """Moves in a file whose sha256 the caller has just verified: like `add`, without reading it again."""
        target = self.path(sha256)
        if target.is_file():
            file.unlink()
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        file = self._on_this_disk(file)
        file.chmod(0o444)
        _to_disk(file)
        return file.rename(target)

    def write(self, data: bytes) -> str:
        """Makes an object of these bytes and returns its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.holds(sha256):
            with tempfile.NamedTemporaryFile(dir=self.partial(sha256).parent, prefix=".new-", delete=False) as file:
                file.write(data)
            self.adopt(Path(file.name), sha256)
        return sha256

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While the body runs, no other process fetches into this depot or removes from it. Waits for its turn."""
        # flock holds up the whole process, and pyinfra's tasks of one run share it: they take turns before.
        with _TURN, (self.depot / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"depot: waiting for another run that works in {self.depot}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _on_this_disk(self, file: Path) -> Path:
        """The file itself, or a copy in the depot in its place when it is on another disk."""
        if file.stat().st_dev == self.depot.stat().st_dev:
            return file
        folder = self.depot / "partial"
        folder.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".copy-")
        os.close(handle)
        try:
            shutil.copyfile(file, name)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        file.unlink()
        return Path(name)


def piece_size(size: int) -> int:
    """Bytes of each piece (the last may be shorter) of an object of `size` bytes."""
    return MIB if size < LARGE else 4 * MIB


def piece_hashes(depot: Path, sha256: str, file: Path) -> str:
    """The hex sha256 of each of the file's pieces, one after another; remembered in the depot.

    Raises DepotError when the whole file's sha256 is not `sha256`, OSError when it cannot be read.
    """
    memory = depot / "pieces" / f"{sha256}.json"
    size = file.stat().st_size
    if (known := _remembered(memory, size)) is not None:
        return known
    whole, hashes = hashlib.sha256(), []
    with file.open("rb") as stream:
        while piece := stream.read(piece_size(size)):
            whole.update(piece)
            hashes.append(hashlib.sha256(piece).hexdigest())
    if whole.hexdigest() != sha256:
        raise DepotError(
            f"{file}: its sha256 is {whole.hexdigest()}, and {sha256} was expected."
            " It was changed or damaged: remove it, and get it anew."
        )
    memory.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=memory.parent, prefix=f".{sha256}.")
    with os.fdopen(handle, "w", encoding="utf-8") as sink:
        json.dump({"size": size, "piece": piece_size(size), "hashes": hashes}, sink)
    Path(name).rename(memory)
    return "".join(hashes)


def _remembered(memory: Path, size: int) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memory.read_text(encoding="utf-8"))
        hashes = known["hashes"]
        if known["size"] == size and known["piece"] == piece_size(size) and len(hashes) == -(-size // piece_size(size)):
            return "".join(hashes)
    return None


def _to_disk(file: Path) -> None:
    """What was written is on the disk before the name says that it is whole."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:  # some network file systems cannot
        if problem.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
