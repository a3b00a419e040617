"""A single-threaded event loop: readable files, and things to do later. No threads, so fork is safe."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable

Action = Callable[[], None]


class Timer:
    """Something to do later, unless cancelled."""

    def __init__(self, action: Action) -> None:
        self._action: Action | None = action

    def cancel(self) -> None:
        """Never run it; harmless when it ran already."""
        self._action = None

    def run(self) -> None:
        """Run it now, once."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Loop:
    """Runs what is due and what is readable, until stopped."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False

    def later(self, seconds: float, action: Action) -> Timer:
        """Run `action` once, `seconds` from now."""
        timer = Timer(action)
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def watch(self, file: int, action: Action) -> None:
        """Run `action` whenever the descriptor can be read."""
        self._selector.register(file, selectors.EVENT_READ, action)

    def unwatch(self, file: int) -> None:
        """Forget the descriptor."""
        self._selector.unregister(file)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped = True

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopped:
            timeout = None if not self._due else max(0.0, self._due[0][0] - time.monotonic())
            for key, _ in self._selector.select(timeout):
                action: Action = key.data
                action()
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2].run()
