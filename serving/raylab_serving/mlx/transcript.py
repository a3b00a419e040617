"""One answer while it is written: tokens in, pieces of text out, of the kinds that a client tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raylab_serving.mlx.stops import Stops
from raylab_serving.mlx.text import Detokenizer, Kind, Marker, Markers


@dataclass(frozen=True)
class Piece:
    """Some of an answer. A call of a tool is one piece, whole."""

    kind: Kind
    text: str
    raw: str = ""
    """Of a call, what the model wrote, its markers included."""


class Transcript:
    """An answer, from its first token on."""

    def __init__(self, detokenizer: Detokenizer, markers: Markers, kind: Kind, stops: Stops, min_tokens: int) -> None:
        """`kind` is what it begins with: a prompt may have opened the reasoning already."""
        self.kind: Kind = kind
        """What is being written now."""
        self.stopped: str | None = None
        """The stop string that has ended it."""
        self._detokenizer, self._markers, self._stops = detokenizer, markers, stops
        self._skips_special = detokenizer.skip_special
        self._min_tokens = min_tokens
        self._count = 0
        self._pending: list[int] = []
        """Tokens that may be the beginning of a marker."""
        self._call: list[str] = []
        self._opened: Marker | None = None

    def add(self, token: int) -> list[Piece]:
        """What one more token makes readable; once `stopped` is set, nothing more may come."""
        self._count += 1
        self._pending.append(token)
        for marker in self._markers[self.kind]:
            if tuple(self._pending[-len(marker.tokens) :]) == marker.tokens:
                text, self._pending = self._pending[: -len(marker.tokens)], []
                pieces = self._write(text)
                return pieces if self.stopped is not None else pieces + self._turn(marker)
        released = self._pending[: len(self._pending) - self._beginning()]
        del self._pending[: len(released)]
        return self._write(released)

    def finish(self) -> list[Piece]:
        """What is left when no token comes any more."""
        pieces: list[Piece] = []
        if self.stopped is None:
            pieces = self._write(self._pending)
        if self.stopped is None:
            pieces += self._show(self._detokenizer.flush())
        if self.stopped is None:
            pieces += self._passed(self._stops.flush())
        return pieces + self._called("")

    def _beginning(self) -> int:
        """How many of the pending tokens may begin a marker."""
        for size in range(len(self._pending), 0, -1):
            last = tuple(self._pending[-size:])
            if any(marker.tokens[:size] == last for marker in self._markers[self.kind]):
                return size
        return 0

    def _write(self, tokens: Sequence[int]) -> list[Piece]:
        pieces: list[Piece] = []
        for token in tokens:
            pieces += self._show(self._detokenizer.add(token))
            if self.stopped is not None:
                break
        return pieces

    def _turn(self, marker: Marker) -> list[Piece]:
        """Another kind of text begins."""
        pieces = self._show(self._detokenizer.pass_over(marker.tokens))
        if self.stopped is not None:
            return pieces
        pieces += self._passed(self._stops.flush())
        pieces += self._called(marker.text if marker.begins != "tool" else "")
        self.kind, self._opened = marker.begins, marker
        # The arguments of some models' calls stand between special tokens.
        self._detokenizer.skip_special = self._skips_special and self.kind != "tool"
        return pieces

    def _show(self, text: str) -> list[Piece]:
        """Text, up to a stop string. Until min_tokens none is looked for."""
        passed, self.stopped = self._stops.feed(text, watch=self._count > self._min_tokens)
        return self._passed(passed)

    def _passed(self, text: str) -> list[Piece]:
        if self.kind == "tool":
            self._call.append(text)
            return []
        return [Piece(self.kind, text)] if text else []

    def _called(self, end: str) -> list[Piece]:
        """The call that ends here, if one does."""
        if self.kind != "tool":
            return []
        text, self._call = "".join(self._call), []
        opened = self._opened.text if self._opened is not None else ""
        self.kind = "content"
        return [Piece("tool", text, opened + text + end)]
