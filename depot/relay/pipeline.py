"""What happens to bytes after they came: hashed in one thread, put on the disk for good in another."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable

from .held import Held
from .parcel import Parcel
from .upstreams import Upstreams

BLOCK = 256 * 1024
BLOCKS = 32
# Verified bytes after which the disk is told to write: otherwise all waits for the end.
SYNC_EVERY = 64 * 1024 * 1024


class Run:
    """A stretch of a parcel on its way in from one upstream."""

    def __init__(self, parcel: Parcel, start: int, end: int, upstreams: Upstreams) -> None:
        self.parcel = parcel
        self.upstreams = upstreams
        """The plan that it follows."""
        self.address = upstreams.choose(start)
        self.position = start
        """Up to where bytes have come."""
        self.end = end
        self.damaged: int | None = None
        """Where the piece begins that did not have its sha256."""
        self.drained = threading.Event()
        self._digest = hashlib.sha256()
        self._piece_start = start
        self._piece_end = parcel.piece_end(start)
        self._hashed = start

    def follow(self, upstreams: Upstreams | None) -> bool:
        """Goes on under a new plan that begins with the same upstream; else ends with the piece in hand."""
        if upstreams and upstreams.addresses[:1] == (self.address,):
            self.upstreams = upstreams
            return True
        # What an upstream is short of may never come.
        self.end = self.position if self.parcel.starved else self.parcel.piece_end(self.position)
        return self.position < self.end

    def feed(self, data: memoryview) -> list[tuple[Held, int]]:
        """Hashes the bytes that come next; returns the pieces that they complete, which are marked as here."""
        done = []
        while len(data) and self.damaged is None:
            taken = data[: self._piece_end - self._hashed]
            data = data[len(taken) :]
            self._digest.update(taken)
            self._hashed += len(taken)
            if self._hashed < self._piece_end:
                break
            held, offset = self.parcel.at(self._piece_start)
            index = offset // held.piece
            if held.matches(index, self._digest.digest()):
                held.got(index)
                done.append((held, index))
            else:
                self.damaged = self._piece_start
            self._digest = hashlib.sha256()
            self._piece_start = self._hashed
            if self._hashed < self.parcel.total:
                self._piece_end = self.parcel.piece_end(self._hashed)
        return done


class Finisher:
    """Gives complete objects their names, and has the disk write in the meantime."""

    def __init__(self, finished: Callable[[Held], None], failed: Callable[[Held, OSError], None]) -> None:
        """`finished` hears of each object that is whole; `failed` of one that the disk did not take."""
        self._finished = finished
        self._failed = failed
        self._queue: queue.SimpleQueue[Held] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="finisher", daemon=True).start()

    def put(self, held: Held) -> None:
        """Finish this object if it is complete, and let the disk write what is there of it if not."""
        self._queue.put(held)

    def _work(self) -> None:
        while True:
            held = self._queue.get()
            try:
                if held.finish():
                    self._finished(held)
                elif not held.whole:
                    held.sync()
            except OSError as problem:
                # After a failed write the system may have forgotten what it did not write.
                held.lose()
                self._failed(held, problem)


class Verifier:
    """Hashes what comes, in order, and marks pieces as here. Blocks are lent from a fixed number."""

    def __init__(self, finisher: Finisher) -> None:
        self.blocks: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(BLOCKS):
            self.blocks.put(memoryview(bytearray(BLOCK)))
        self._finisher = finisher
        self._queue: queue.SimpleQueue[tuple[Run, memoryview, int]] = queue.SimpleQueue()
        self._unsynced = 0
        threading.Thread(target=self._work, name="verifier", daemon=True).start()

    def put(self, run: Run, block: memoryview, count: int) -> None:
        """The next `count` bytes of a run, which are in `block` and on the way to the disk."""
        self._queue.put((run, block, count))

    def drain(self, run: Run) -> None:
        """Wait until everything that came of this run is hashed."""
        self._queue.put((run, memoryview(b""), 0))
        run.drained.wait()

    def _work(self) -> None:
        while True:
            run, block, count = self._queue.get()
            if not count:
                run.drained.set()
                continue
            for held, index in run.feed(block[:count]):
                self._unsynced += held.length(index)
                if held.complete or self._unsynced >= SYNC_EVERY:
                    self._finisher.put(held)
                    self._unsynced = 0
            self.blocks.put(block)
