"""A file on its way into the depot, hashed while it is written, so that it is read only once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from depot.progress import Tally

CHUNK = 1024 * 1024


class Partial:
    """The bytes of one file that have arrived so far, and their sha256."""

    def __init__(self, path: Path, tally: Tally) -> None:
        self.path = path
        self.have = 0
        """Bytes."""
        self.anew = False
        """Whether it was begun again because its content was wrong: that is done once."""
        self._tally = tally
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None

    @property
    def sha256(self) -> str:
        """Of what has arrived."""
        return self._digest.hexdigest()

    def resume(self) -> None:
        """Takes up what an earlier run left. Nothing is trusted: it is hashed again."""
        self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        while chunk := self._file.read(CHUNK):
            self._count(chunk, moved=False)

    def restart(self) -> None:
        """Throws away what is there."""
        self.close()
        self._file = self.path.open("wb")
        self._tally.add(-self.have, moved=False)
        self.have, self._digest = 0, hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """The next bytes. Raises OSError when the disk does not take them."""
        assert self._file is not None
        self._file.write(chunk)
        self._count(chunk, moved=True)

    def close(self) -> None:
        """Everything is in the file; it can be adopted, or resumed by the next run."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _count(self, chunk: bytes, *, moved: bool) -> None:
        self._digest.update(chunk)
        self.have += len(chunk)
        self._tally.add(len(chunk), moved=moved)
