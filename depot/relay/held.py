"""Objects on this machine's disk: whole under their name, or on the way as NAME.partial.

A name appears only when every piece was verified and is on the disk. Then the file gets mode 0444 and the
time VERIFIED, which any later write to it changes: an object that still has both is not read again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from .pieces import Pieces

# 2001-01-01T00:00:00Z
VERIFIED = 978307200 * 10**9
# Darwin's fsync leaves data in the drive's cache, where a rename may overtake it; this fcntl puts a barrier there.
F_BARRIERFSYNC = 85


class DiskError(Exception):
    """A file that cannot be read or written as it must be, with its path and why."""


class Held(Pieces):
    """One object as this machine holds it."""

    def __init__(self, pieces: Pieces, folder: Path, source: Path | None, news: threading.Condition) -> None:
        """`source` is a file that is whole elsewhere and never written to; `news` is told of verified pieces."""
        super().__init__(pieces.sha256, pieces.size, pieces.piece, pieces.hashes)
        self.source = source
        self.name = source or folder / self.sha256
        self.partial = folder / f"{self.sha256}.partial"
        self.path = self.name
        self.whole = False
        self.examined = False
        self._news = news
        # Held while what is on the disk is found out or finished; what is verified can be read all the time.
        self._work = threading.RLock()
        self._names = threading.Lock()

    def examine(self, deep: bool) -> None:
        """Finds out what is on the disk; with `deep`, by reading all of it. Raises DiskError."""
        try:
            with self._work:
                if self.source:
                    self._examine_source(deep)
                elif found := _regular(self.name):
                    self._examine_named(found, deep)
                else:
                    self._examine_partial()
                self.examined = True
        except OSError as problem:
            raise DiskError(f"{problem.filename or self.path}: {problem.strerror}") from problem

    def _examine_source(self, deep: bool) -> None:
        with open(self.name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.size:
                raise DiskError(f"{self.name}: has {size} bytes, not {self.size}: gather it anew")
            if deep:
                self._verify(file)
            else:
                self._all_here()
        if not self.complete:
            raise DiskError(f"{self.name}: piece {self.have.find(0)} is not what its sha256 says: gather it anew")
        self.whole = True

    def _examine_named(self, found: os.stat_result, deep: bool) -> None:
        if (found.st_size, found.st_mtime_ns) == (self.size, VERIFIED) and not deep:
            self._all_here()
        else:
            with _opened(self.name, os.O_RDONLY) as file:
                self._verify(file)
                if not self.complete or found.st_size != self.size:
                    self._take_back(file)
                    return
                _seal(file.fileno())
        self.path = self.name
        self.whole = True
        self.partial.unlink(missing_ok=True)

    def _take_back(self, damaged: BinaryIO) -> None:
        """Good pieces go to .partial, and the name goes. Links to the damaged file stay what they are."""
        self.whole = False
        # Should this be interrupted, the name must not count as verified.
        os.utime(damaged.fileno(), ns=(time.time_ns(), time.time_ns()))
        with _opened(self.partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as file:
            for index, good in enumerate(self.have):
                if good:
                    start = index * self.piece
                    os.pwrite(file.fileno(), os.pread(damaged.fileno(), self.length(index), start), start)
            # What was copied is what counts from now on.
            self._verify(file)
        with self._names:
            self.path = self.partial
            self.name.unlink()
        sync_folder(self.name.parent)
        self.finish()

    def _examine_partial(self) -> None:
        self.path = self.partial
        self.whole = False
        if _regular(self.partial):
            with _opened(self.partial, os.O_RDWR) as file:
                if os.fstat(file.fileno()).st_size > self.size:
                    os.truncate(file.fileno(), self.size)
                self._verify(file)
        else:
            self.have[:] = bytes(len(self.have))
        self.finish()

    def _verify(self, file: BinaryIO) -> None:
        buffer = memoryview(bytearray(min(self.piece, self.size)))
        for index in range(len(self.have)):
            piece = buffer[: self.length(index)]
            count = os.preadv(file.fileno(), [piece], index * self.piece)
            good = count == len(piece) and self.matches(index, hashlib.sha256(piece).digest())
            if good:
                self.got(index)
            else:
                self.have[index] = 0

    def _all_here(self) -> None:
        with self._news:
            self.have[:] = b"\1" * len(self.have)
            self._news.notify_all()

    def got(self, index: int) -> None:
        """This piece is on the disk and verified: it may be sent to others."""
        with self._news:
            self.have[index] = 1
            self._news.notify_all()

    def lose(self) -> None:
        """What was written may not be on the disk: nothing of it counts before it is examined again."""
        with self._news:
            self.have[:] = bytes(len(self.have))

    def finish(self) -> bool:
        """Puts a complete object on the disk for good and gives it its name; False when it is not complete.

        Raises OSError.
        """
        with self._work:
            if self.whole or not self.complete:
                return False
            with _opened(self.partial, os.O_RDWR | os.O_CREAT) as file:
                os.ftruncate(file.fileno(), self.size)
                _seal(file.fileno())
            with self._names:
                self.partial.rename(self.name)
                self.path = self.name
            sync_folder(self.name.parent)
            self.whole = True
            return True

    def open(self) -> BinaryIO:
        """The file that verified pieces are read from. Raises OSError."""
        with self._names:
            return open(self.path, "rb", buffering=0) if self.source else _opened(self.path, os.O_RDONLY)

    def open_to_write(self) -> BinaryIO | None:
        """The file that missing pieces are written to; None when nothing is missing. Raises OSError."""
        with self._work:
            return None if self.whole else _opened(self.partial, os.O_RDWR | os.O_CREAT)

    def sync(self) -> None:
        """Writes to the disk what is there so far, so that finishing does not take long. Raises OSError."""
        with self.open() as file:
            getattr(os, "fdatasync", os.fsync)(file.fileno())

    @property
    def needs(self) -> int:
        """Bytes of disk that it still has to be given."""
        if self.whole:
            return 0
        try:
            allocated = self.partial.lstat().st_blocks * 512
        except OSError:
            allocated = 0
        return self.size - min(self.good, allocated)


def sync_folder(folder: Path) -> None:
    """Makes names that came and went in this folder outlive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _regular(path: Path) -> os.stat_result | None:
    """The file there. A link is removed: what it leads to is not ours."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode):
        return found
    path.unlink()
    return None


def _opened(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, flags | os.O_NOFOLLOW, 0o600), "rb" if flags == os.O_RDONLY else "r+b", buffering=0)


def _seal(descriptor: int) -> None:
    os.fchmod(descriptor, 0o444)
    os.utime(descriptor, ns=(VERIFIED, VERIFIED))
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, F_BARRIERFSYNC)
            return
    os.fsync(descriptor)
