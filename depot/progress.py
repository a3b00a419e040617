"""What a person sees while files arrive: one line that lives on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

# Seconds between lines where there is no terminal, and over how many of them the rate is taken.
EVERY = 5.0
WINDOW = 10.0


class Tally:
    """Counts files and bytes; many threads add to it."""

    def __init__(self, title: str, files: int, size: int | None) -> None:
        """`size` is the bytes of all files together, None when some of them is not known."""
        self.title, self.files, self.size = title, files, size
        self.done = 0
        self._have = 0
        self._moved = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._seen = deque([(self._started, 0)])

    def add(self, count: int, *, moved: bool = True) -> None:
        """So many more bytes are there; `moved` when they have just arrived. Negative: they were thrown away."""
        with self._lock:
            self._have += count
            self._moved += count if moved else 0

    def finish(self) -> None:
        """One more file is whole."""
        with self._lock:
            self.done += 1

    def now(self) -> str:
        """Count, bytes, rate and time left: `wheels: 12 of 250 files, 1.2 of 3.4 GB, 25.0 MB/s, 1 min 28 s left`."""
        with self._lock:
            rate = self._rate()
            parts = [f"{self.title}: {self.done} of {counted(self.files)}", self._bytes(), f"{volume(rate)}/s"]
            if self.size and rate > 0:
                parts.append(f"{duration((self.size - self._have) / rate)} left")
        return ", ".join(parts)

    def end(self) -> str:
        """What it came to: `wheels: 250 files, 3.4 GB in 2 min 3 s`."""
        taken = duration(time.monotonic() - self._started)
        return f"{self.title}: {counted(self.done)}, {volume(self._have)} in {taken}"

    def _bytes(self) -> str:
        if not self.size:
            return volume(self._have)
        return f"{volume(self._have)} of {volume(self.size)}"

    def _rate(self) -> float:
        """Bytes a second, lately."""
        now = time.monotonic()
        self._seen.append((now, self._moved))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        then, moved = self._seen[0]
        return max(0.0, (self._moved - moved) / max(now - then, 0.001))


@contextmanager
def shown(tally: Tally) -> Iterator[None]:
    """Shows the tally on stderr while the body runs, and one line at its end."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(
            get_renderable=lambda: Text(f"depot: {tally.now()}", overflow="ellipsis", no_wrap=True),
            console=console,
            transient=True,
        ):
            yield
    else:
        ended = threading.Event()
        teller = threading.Thread(target=_tell, args=(tally, ended), daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()
    print(f"depot: {tally.end()}", file=sys.stderr, flush=True)


def _tell(tally: Tally, ended: threading.Event) -> None:
    while not ended.wait(EVERY):
        print(f"depot: {tally.now()}", file=sys.stderr, flush=True)


def counted(files: int) -> str:
    """`1 file`, `250 files`."""
    return f"{files} file{'s' * (files != 1)}"


def volume(count: float) -> str:
    """Bytes for a person: `512 B`, `3.4 MB`, `1.2 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for a person: `4 s`, `2 min 3 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
