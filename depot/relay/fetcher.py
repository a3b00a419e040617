"""Fetches parcels, one after another, from whoever is upstream, and passes over those that fail."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import BinaryIO

from .held import DiskError, Held
from .link import TICK_S, Caller, Link, LinkError
from .parcel import Parcel
from .pipeline import Run, Verifier
from .upstreams import Upstreams
from .wire import Lines, named

# Seconds to wait when all upstreams were tried in vain.
PAUSE_S = 0.5
# Seconds without data after which an upstream is asked how it is.
SILENCE_S = 1.0


class Fetcher:
    """The one thread that receives. `order` are the parcels as they were first asked for."""

    def __init__(
        self, news: threading.Condition, lines: Lines, verifier: Verifier, fail: Callable[[Parcel, str], None]
    ) -> None:
        self.order: list[Parcel] = []
        self.current: Parcel | None = None
        self._news = news
        self._lines = lines
        self._verifier = verifier
        self._fail = fail
        self._caller: Caller | None = None

    def start(self, caller: Caller) -> None:
        """Begin; `caller` is who we are to our upstreams."""
        self._caller = caller
        threading.Thread(target=self._work, name="fetcher", daemon=True).start()

    def _work(self) -> None:
        assert self._caller
        while True:
            with self._news:
                while not (parcel := self._next()):
                    self.current = None
                    self._news.wait()
                self.current = parcel
            try:
                self._step(self._caller, parcel)
            except DiskError as problem:
                self._fail(parcel, str(problem))
            finally:
                parcel.source = None

    def _next(self) -> Parcel | None:
        ready = (parcel for parcel in self.order if parcel.examined and not parcel.failure)
        return next((parcel for parcel in ready if parcel.missing()), None)

    def _step(self, caller: Caller, parcel: Parcel) -> None:
        """One request for the first stretch that is missing."""
        upstreams, stretch = parcel.upstreams, parcel.missing()
        if not stretch:
            return
        start, end = stretch
        if not upstreams or not upstreams.addresses:
            self._wait_for_plan(parcel, upstreams, None)
            return
        if upstreams.was_damaged(start):
            end = parcel.piece_end(start)
        run = Run(parcel, start, end, upstreams)
        try:
            with Link(caller, run.address, f"/{parcel.name}", f"bytes={start}-{end - 1}") as link:
                self._receive(caller, run, link)
        except (OSError, LinkError):
            run.upstreams.lost(run.address, start)
        finally:
            self._verifier.drain(run)
        if run.damaged is not None:
            self._report_damage(run, run.damaged)
        if run.upstreams.round_over():
            self._wait_for_plan(parcel, run.upstreams, PAUSE_S)

    def _wait_for_plan(self, parcel: Parcel, old: Upstreams | None, seconds: float | None) -> None:
        parcel.source, parcel.starved = None, True
        with self._news:
            self._news.wait_for(lambda: parcel.upstreams is not old or not parcel.missing(), seconds)

    def _report_damage(self, run: Run, position: int) -> None:
        held, offset = run.parcel.at(position)
        index = offset // held.piece
        sender = named(run.address)
        self._lines.say("damaged", parcel=run.parcel.name, sha256=held.sha256, piece=index, **{"from": sender})
        if not run.upstreams.damaged(run.address, position):
            self._fail(run.parcel, f"{held.name}: piece {index} arrives damaged from every upstream")

    def _receive(self, caller: Caller, run: Run, link: Link) -> None:
        """Reads until the run is over, a piece is damaged, or a new plan says otherwise."""
        parcel, writer, quiet = run.parcel, Writer(), 0.0
        parcel.source, parcel.starved = named(run.address), False
        try:
            while run.position < run.end and run.damaged is None:
                if parcel.upstreams is not run.upstreams and not run.follow(parcel.upstreams):
                    continue
                block = self._verifier.blocks.get()
                count = self._read(run, link, block)
                if count:
                    quiet = 0.0
                    self._accept(run, writer, block, count)
                    continue
                self._verifier.blocks.put(block)
                quiet += TICK_S
                if quiet >= SILENCE_S:
                    quiet = 0.0
                    self._ask_whether_alive(caller, run)
        finally:
            writer.close()

    def _read(self, run: Run, link: Link, block: memoryview) -> int:
        sure = run.parcel.piece_end(run.position) - run.position
        try:
            return link.read(block[: run.end - run.position], sure)
        except BaseException:
            self._verifier.blocks.put(block)
            raise

    def _accept(self, run: Run, writer: Writer, block: memoryview, count: int) -> None:
        run.parcel.starved = False
        run.parcel.received += count
        try:
            writer.write(run.parcel, run.position, block[:count])
        except BaseException:
            self._verifier.blocks.put(block)
            raise
        self._verifier.put(run, block, count)
        run.position += count

    def _ask_whether_alive(self, caller: Caller, run: Run) -> None:
        """No data for a while: an upstream that answers is short of data itself, any other one is lost."""
        if not caller.status(run.address, run.parcel.name):
            raise LinkError(f"{named(run.address)}: silent")
        run.parcel.starved = True


class Writer:
    """Puts bytes of a parcel where they belong; one file is open at a time."""

    def __init__(self) -> None:
        self._held: Held | None = None
        self._file: BinaryIO | None = None

    def write(self, parcel: Parcel, position: int, data: memoryview) -> None:
        """Write at this position, across objects. Raises DiskError."""
        while data:
            held, offset = parcel.at(position)
            part = data[: held.size - offset]
            try:
                self._write(held, offset, part)
            except OSError as problem:
                raise DiskError(f"cannot write {held.partial}: {problem.strerror}") from problem
            data, position = data[len(part) :], position + len(part)

    def close(self) -> None:
        """Close what is open."""
        if self._file:
            self._file.close()
        self._held = self._file = None

    def _write(self, held: Held, offset: int, part: memoryview) -> None:
        if held is not self._held:
            self.close()
            self._held, self._file = held, held.open_to_write()
        # An object that has become whole meanwhile, for another parcel, is left alone.
        while part and self._file:
            count = os.pwrite(self._file.fileno(), part, offset)
            part, offset = part[count:], offset + count
