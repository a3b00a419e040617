"""Stop strings: found in the text as it is written, wherever the tokens' borders are."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Lets text pass up to the first stop string, and holds back what may become one."""

    def __init__(self, strings: Sequence[str], *, included: bool = False) -> None:
        """With `included` the stop string itself passes too."""
        self._strings = tuple(strings)
        self._included = included
        self._held = ""

    def feed(self, text: str, *, watch: bool = True) -> tuple[str, str | None]:
        """What may be shown now, and the stop string that has come. Without `watch` none is looked for."""
        self._held += text
        found = self._first() if watch else None
        if found is not None:
            start, stop = found
            shown, self._held = self._held[: start + len(stop) * self._included], ""
            return shown, stop
        passing = len(self._held) - self._beginning()
        shown, self._held = self._held[:passing], self._held[passing:]
        return shown, None

    def flush(self) -> str:
        """What was held back: no stop string came of it."""
        shown, self._held = self._held, ""
        return shown

    def _first(self) -> tuple[int, str] | None:
        """The stop string that ends first, and where it starts."""
        found = [(self._held.find(stop), stop) for stop in self._strings if stop in self._held]
        return min(found, key=lambda entry: entry[0] + len(entry[1]), default=None)

    def _beginning(self) -> int:
        """How many of the last characters may be the beginning of a stop string."""
        longest = max(map(len, self._strings), default=0)
        for size in range(min(longest - 1, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._strings):
                return size
        return 0
