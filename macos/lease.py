"""A run's hold on a Mac: a program there keeps it as long as it hears from the run."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import gevent

# Without a word from the run for so long, the Mac is free again: a closed laptop, a cut network.
LEASE_S = 60.0
BEAT_S = 5.0
# For the Mac to say whether it is free.
TAKE_S = 30.0
END_S = 3.0
_SILENT = "it has not answered for a minute: it is off, the network was cut, or this machine slept"
_HOLDER = (Path(__file__).parent / "scripts" / "lease.pl").read_text()
# One that goes on while the machine sleeps: on macOS the monotonic one does, on Linux it does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Channel(Protocol):
    """The two streams of the program on the Mac. Its methods may raise OSError when they are cut."""

    def write(self, data: bytes) -> None:
        """Give it all of `data`."""

    def readline(self) -> bytes:
        """Its next line; empty at the end."""

    def close(self) -> None:
        """Cut the line."""

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""


@dataclass(frozen=True)
class Holder:
    """Who holds a Mac, told to others who want it."""

    who: str = "somebody"
    """`jane@laptop`."""
    command: str = "something"
    """What they run."""
    since: str = ""
    """When it began, by their own clock."""
    seconds: int = 0
    """For how long, by the Mac's clock."""

    def __str__(self) -> str:
        age = f"{self.seconds} s" if self.seconds < 120 else f"{self.seconds // 60} min"
        return f"{self.who} runs {self.command}" + (f" since {self.since} ({age})" if self.since else "")


class Taken(Exception):
    """Another run holds the Mac."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


def hold_command(path: str, holder: Holder) -> str:
    """The command that holds a Mac by the file `path`; its line is what `Lease` talks over."""
    told = {key: value for key, value in asdict(holder).items() if key != "seconds"}
    return shlex.join(["sudo", "-n", "perl", "-e", _HOLDER, path, f"{LEASE_S:g}", json.dumps(told)])


class Lease:
    """One Mac's. It is kept by heartbeats, each of which the Mac answers."""

    def __init__(self, channel: Channel, lost: Callable[[str], None]) -> None:
        """Over the line of a running `hold_command`. `lost` is called once, with the reason, when the hold is no more.

        Raises Taken when somebody else has the Mac, and OSError when it cannot be held.
        """
        self._channel, self._lost = channel, lost
        self._sent: dict[bytes, float] = {}
        self._until = _now() + LEASE_S - BEAT_S
        self._over, self._gone = False, ""
        try:
            self._take()
        except BaseException:
            channel.close()
            raise
        self._tasks = [gevent.spawn(self._listen), gevent.spawn(self._beat)]

    @property
    def late(self) -> bool:
        """Whether the Mac may be another's by now.

        A beat that was answered keeps the Mac at least until LEASE_S after it was sent, whatever is sent after it.
        """
        return bool(self._gone) or _now() > self._until

    def check(self) -> None:
        """Whoever is about to change the Mac asks. When the hold is no more, tells `lost`, and raises OSError."""
        if self.late:
            self._lose(_SILENT)
            raise OSError(f"it is not held by this run any more: {self._gone}")

    def release(self) -> None:
        """The Mac is free for others, when this returns."""
        if self._over:
            return
        self._over = True
        self._tasks[1].kill()
        try:
            self._channel.write(b"end\n")
            self._tasks[0].join(END_S)
        except OSError:
            pass  # it is free, or will be when it has heard nothing for long enough
        self._channel.close()

    def _take(self) -> None:
        line = b""
        with gevent.Timeout(TAKE_S, OSError(f"no answer in {TAKE_S:.0f} s")):
            while not line.startswith((b"held\n", b"taken ")):
                line = self._channel.readline()
                if not line:
                    raise OSError(self._channel.last_words() or "the connection has ended")
        if line != b"held\n":
            _, seconds, told = line.split(b" ", 2)
            try:
                raise Taken(Holder(**json.loads(told), seconds=int(seconds)))
            except (ValueError, TypeError):
                # It has not said so yet.
                raise Taken(Holder()) from None

    def _beat(self) -> None:
        number = 0
        while True:
            number += 1
            beat = b"beat %d\n" % number
            self._sent[beat] = _now()
            try:
                self._channel.write(beat)
            except OSError as error:
                self._lose(f"the connection has ended: {error}")
                return
            gevent.sleep(BEAT_S)
            if self.late:
                self._lose(_SILENT)
                return

    def _listen(self) -> None:
        try:
            while line := self._channel.readline():
                if (sent := self._sent.pop(line, None)) is not None:
                    self._until = max(self._until, sent + LEASE_S - BEAT_S)
        except OSError:
            pass  # the end, too
        self._lose("the connection has ended, or this machine was silent for too long")

    def _lose(self, reason: str) -> None:
        if not (self._over or self._gone):
            self._gone = reason
            self._lost(reason)


def _now() -> float:
    return time.clock_gettime(_CLOCK)
