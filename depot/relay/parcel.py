"""A parcel: objects laid end to end on one line of bytes, of which any stretch can be asked for."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from .held import Held
from .upstreams import Upstreams

# Verified bytes that are sent before looking again at what is verified.
BATCH = 16 * 1024 * 1024


class Parcel:
    """One parcel, as far as it is here, and how it fares. `news` guards it and tells of every change."""

    def __init__(self, name: str, objects: Sequence[Held], folder: Path, news: threading.Condition) -> None:
        self.name = name
        self.folder = folder
        self.objects = objects
        self.news = news
        *self.starts, self.total = itertools.accumulate((held.size for held in objects), initial=0)
        self.examined = False
        self.failure: str | None = None
        self.upstreams: Upstreams | None = None
        # Whether control waits to hear that it is whole.
        self.wanted = False
        self.began = time.monotonic()
        self.received = 0
        self.source: str | None = None
        self.starved = False

    @property
    def have(self) -> int:
        """Bytes in verified pieces."""
        return sum(held.good for held in self.objects)

    @property
    def whole(self) -> bool:
        """Whether every object is complete, on the disk and under its name."""
        return all(held.whole for held in self.objects)

    def at(self, position: int) -> tuple[Held, int]:
        """The object at this position of the line, and the offset in it."""
        # Of several that start here, all but the last are empty.
        index = bisect_right(self.starts, position) - 1
        return self.objects[index], position - self.starts[index]

    def piece_end(self, position: int) -> int:
        """Where the piece at this position ends."""
        held, offset = self.at(position)
        index = offset // held.piece
        return position - offset + index * held.piece + held.length(index)

    def ready(self, position: int) -> int:
        """Verified bytes from this position on, in one object; not counting further than BATCH."""
        held, offset = self.at(position)
        first = offset // held.piece
        end = held.have.find(0, first, first + BATCH // held.piece + 1)
        if end < 0:
            end = min(first + BATCH // held.piece + 1, len(held.have))
        return max(0, min(end * held.piece, held.size) - offset)

    def missing(self) -> tuple[int, int] | None:
        """Start and end of the first stretch that is missing, across objects; None when nothing is."""
        start = None
        for first, held in zip(self.starts, self.objects, strict=True):
            index = 0
            if start is None:
                index = held.have.find(0)
                if index < 0:
                    continue
                start = first + index * held.piece
            end = held.have.find(1, index)
            if end >= 0:
                return start, first + end * held.piece
        return None if start is None else (start, self.total)
