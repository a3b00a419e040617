"""What both APIs' answers are made of: parts of choices as they are written, probabilities, usage, errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from raylab_serving.mlx.engine import Engine, Stream
from raylab_serving.mlx.errors import BadRequest
from raylab_serving.mlx.jobs import Job, Produced
from raylab_serving.mlx.requests import Ask
from raylab_serving.mlx.text import Kind
from raylab_serving.mlx.transcript import Piece, Transcript

DONE = "data: [DONE]\n\n"
# JSON knows no infinity; vLLM's word for it.
LEAST = -9999.0


@dataclass(frozen=True)
class Part:
    """Some of one choice."""

    index: int
    pieces: list[Piece]
    tokens: list[Produced]
    """Whose probabilities belong to it."""
    written: int
    """Tokens of the choice so far."""
    cached: int
    """Tokens of the prompt that did not have to be read again."""
    finish: str | None = None
    stop_reason: int | str | None = None
    """What ended it, if the request named that."""


@dataclass
class Usage:
    """Tokens that a request has used."""

    prompt: int
    completion: int = 0
    cached: int = 0

    def data(self) -> dict[str, Any]:
        """As both APIs tell it."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class Choices:
    """All choices of one request, written at once."""

    def __init__(
        self, engine: Engine, ask: Ask, written: Sequence[tuple[Job, Transcript]], hidden: Kind | None = None
    ) -> None:
        """Jobs and their transcripts, by index. Tokens of a `hidden` kind are counted, and not shown."""
        self._engine, self._ask, self._written, self._hidden = engine, ask, written, hidden
        self._eos = frozenset(engine.model.tokenizer.eos_token_ids)

    async def parts(self, pause: float = 0.0) -> AsyncGenerator[Part, None]:
        """Parts of all choices as they come, of each one `pause` seconds apart. Raises EngineFailed."""
        with contextlib.ExitStack() as streams:
            parts = []
            for index, (job, transcript) in enumerate(self._written):
                stream = Stream(self._engine, job, pause)
                streams.callback(stream.close)
                parts.append(self._one(index, stream, transcript))
            async with contextlib.aclosing(parts[0] if len(parts) == 1 else _merged(parts)) as merged:
                async for part in merged:
                    yield part

    async def _one(self, index: int, stream: Stream, transcript: Transcript) -> AsyncGenerator[Part, None]:
        written, waiting = 0, []
        pieces: list[Piece] = []
        async for several in stream:
            for produced in several:
                written += 1
                if transcript.kind != self._hidden:
                    waiting.append(produced)
                finish = self._add(produced, transcript, pieces)
                if finish is not None:
                    break
            if finish is not None:
                # The engine knows nothing of stop strings: the place is free at once.
                stream.close()
            shown = _joined([piece for piece in pieces if piece.kind != self._hidden])
            if shown or finish is not None:
                reason = self._reason(produced, transcript) if finish is not None else None
                yield Part(index, shown, waiting, written, produced.cached, finish, reason)
                pieces, waiting = [], []
            if finish is not None:
                return

    def _add(self, produced: Produced, transcript: Transcript, pieces: list[Piece]) -> str | None:
        """One more token; why it is the last, if it is."""
        if produced.finish != "stop" or self._ask.include_stop:
            pieces += transcript.add(produced.token)
        finish = "stop" if transcript.stopped is not None else produced.finish
        if finish is not None:
            pieces += transcript.finish()
        return finish

    def _reason(self, last: Produced, transcript: Transcript) -> int | str | None:
        if transcript.stopped is not None:
            return transcript.stopped
        return last.token if last.finish == "stop" and last.token not in self._eos else None


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours of one kind as one; calls of tools stay apart."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and piece.kind != "tool" and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined


async def _merged(several: Sequence[AsyncGenerator[Part, None]]) -> AsyncGenerator[Part, None]:
    """The parts of several choices, as they come."""
    parts: asyncio.Queue[Part | BaseException | None] = asyncio.Queue()

    async def read(one: AsyncGenerator[Part, None]) -> None:
        try:
            async for part in one:
                parts.put_nowait(part)
            parts.put_nowait(None)
        except Exception as error:
            parts.put_nowait(error)

    readers = [asyncio.create_task(read(one)) for one in several]
    try:
        left = len(readers)
        while left:
            part = await parts.get()
            if isinstance(part, BaseException):
                raise part
            if part is None:
                left -= 1
            else:
                yield part
    finally:
        for reader in readers:
            reader.cancel()


class Words:
    """Tokens as they are shown beside their probabilities."""

    def __init__(self, tokenizer: Any, *, as_ids: bool) -> None:  # noqa: ANN401
        self._tokenizer, self._as_ids = tokenizer, as_ids

    def text(self, token: int) -> str:
        """One token. Where it is no whole character, a sign for that."""
        return f"token_id:{token}" if self._as_ids else str(self._tokenizer.decode([token]))

    def entry(self, token: int, logprob: float) -> dict[str, Any]:
        """As chats tell it."""
        text = self.text(token)
        return {"token": text, "logprob": max(logprob, LEAST), "bytes": list(text.encode(errors="replace"))}


def event(data: dict[str, Any]) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def error_data(error: Exception) -> dict[str, Any]:
    """An error in OpenAI's form."""
    if isinstance(error, BadRequest):
        return {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": 400}
    return {"message": str(error), "type": "server_error", "param": None, "code": 500}
