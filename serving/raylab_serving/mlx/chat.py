"""Chats: an answer's tokens become a message, whole or in parts."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from raylab_serving.mlx.answers import DONE, Choices, Part, Usage, Words, error_data, event
from raylab_serving.mlx.engine import Engine
from raylab_serving.mlx.errors import BadRequest, EngineFailed
from raylab_serving.mlx.load import Model
from raylab_serving.mlx.requests import Ask, Prompt
from raylab_serving.mlx.text import markers
from raylab_serving.mlx.transcript import Piece

logger = logging.getLogger("ray.serve.raylab.mlx")


class Chat:
    """One request, from its prompt on."""

    def __init__(self, engine: Engine, request: Any, ask: Ask, prompt: Prompt, name: str) -> None:  # noqa: ANN401
        """`name` is the answer's id. Raises BadRequest."""
        tools = list(request.tools or []) if request.tool_choice != "none" else []
        _check_tools(engine.model, bool(tools))
        found = markers(engine.model.tokenizer, tools=bool(tools))
        jobs = ask.jobs(prompt, engine.options.context)
        written = [(job, ask.transcript(engine.model, prompt, found)) for job in jobs]
        self._choices = Choices(engine, ask, written, None if request.include_reasoning else "reasoning")
        self._ask = ask
        self._usage = Usage(len(prompt.tokens))
        self._words = Words(engine.model.tokenizer, as_ids=ask.as_ids)
        described = [tool.model_dump(exclude_none=True) for tool in tools]
        alone = request.parallel_tool_calls is False
        self._messages = [_Message(engine.model, described, alone=alone) for _ in jobs]
        self._head = {"id": name, "created": int(time.time()), "model": engine.options.model_id}

    async def whole(self) -> dict[str, Any]:
        """The answer, once it is written. Raises EngineFailed."""
        ends: list[Part | None] = [None] * len(self._messages)
        probabilities: list[list[dict[str, Any]]] = [[] for _ in self._messages]
        async with aclosing(self._choices.parts()) as parts:
            async for part in parts:
                message = self._messages[part.index]
                for piece in part.pieces:
                    message.deltas(piece)
                probabilities[part.index] += self._probabilities(part)
                if part.finish is not None:
                    ends[part.index] = part
                    self._count(part)
        choices = [
            {
                "index": part.index,
                "message": message.data(),
                "logprobs": None if self._ask.logprobs is None else {"content": probabilities[part.index]},
                "finish_reason": message.finish(part),
                "stop_reason": part.stop_reason,
            }
            for part, message in zip(ends, self._messages, strict=True)
            if part is not None
        ]
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": self._usage.data()}

    async def stream(self, pause: float) -> AsyncGenerator[list[str], None]:
        """Events, those of about `pause` seconds together.

        Raises EngineFailed as long as there has been none; later it is one of them.
        """
        begun: set[int] = set()
        try:
            async with aclosing(self._choices.parts(pause)) as parts:
                async for part in parts:
                    first = [] if part.index in begun else [self._event(part, {"role": "assistant", "content": ""})]
                    begun.add(part.index)
                    yield first + self._events(part)
        except EngineFailed as error:
            if not begun:
                raise
            last = [event({"error": error_data(error)})]
        else:
            usage = {**self._chunk(), "choices": [], "usage": self._usage.data()}
            last = [event(usage)] if self._ask.usage else []
        yield [*last, DONE]

    def _events(self, part: Part) -> list[str]:
        message = self._messages[part.index]
        deltas = [delta for piece in part.pieces for delta in message.deltas(piece)]
        probabilities = {"content": found} if (found := self._probabilities(part)) else None
        events = []
        for delta in deltas:
            events.append(self._event(part, delta, probabilities))
            probabilities = None
        if part.finish is not None:
            self._count(part)
            end = {"finish_reason": message.finish(part), "stop_reason": part.stop_reason}
            events.append(self._event(part, {}, probabilities, end))
        return events

    def _event(
        self,
        part: Part,
        delta: dict[str, Any],
        probabilities: dict[str, Any] | None = None,
        end: Mapping[str, Any] | None = None,
    ) -> str:
        choice = {"index": part.index, "delta": delta, "logprobs": probabilities, "finish_reason": None, **(end or {})}
        chunk = {**self._chunk(), "choices": [choice]}
        if self._ask.usage_always:
            chunk["usage"] = Usage(self._usage.prompt, part.written, part.cached).data()
        return event(chunk)

    def _chunk(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk"}

    def _count(self, part: Part) -> None:
        self._usage.completion += part.written
        self._usage.cached = max(self._usage.cached, part.cached)

    def _probabilities(self, part: Part) -> list[dict[str, Any]]:
        if self._ask.logprobs is None:
            return []
        return [
            {
                **self._words.entry(token.token, token.logprob),
                "top_logprobs": [self._words.entry(*likely) for likely in token.top],
            }
            for token in part.tokens
        ]


class _Message:
    """One choice's message; what is streamed of it adds up to it."""

    def __init__(self, model: Model, tools: Sequence[dict[str, Any]], *, alone: bool) -> None:
        """With `alone` only the first call of a tool counts."""
        self._parse, self._tools, self._alone = model.tokenizer.tool_parser, tools, alone
        self._texts: dict[str, list[str]] = {"content": [], "reasoning": []}
        self._calls: list[dict[str, Any]] = []

    def deltas(self, piece: Piece) -> list[dict[str, Any]]:
        """What a piece adds."""
        if piece.kind == "tool":
            calls = self._parsed(piece)
            if calls is not None:
                return [self._add(call) for call in calls if not (self._alone and self._calls)]
            piece = Piece("content", piece.raw)
        self._texts[piece.kind].append(piece.text)
        return [{piece.kind: piece.text}]

    def data(self) -> dict[str, Any]:
        """The whole message."""
        content, reasoning = "".join(self._texts["content"]), "".join(self._texts["reasoning"])
        message: dict[str, Any] = {"role": "assistant", "content": content or (None if self._calls else "")}
        if reasoning:
            message["reasoning"] = reasoning
        if self._calls:
            message["tool_calls"] = self._calls
        return message

    def finish(self, part: Part) -> str | None:
        """Why it ended."""
        return "tool_calls" if self._calls and part.finish == "stop" else part.finish

    def _add(self, call: dict[str, Any]) -> dict[str, Any]:
        self._calls.append(call)
        return {"tool_calls": [{"index": len(self._calls) - 1, **call}]}

    def _parsed(self, piece: Piece) -> list[dict[str, Any]] | None:
        """The calls that a model wrote; None when it wrote something else, which is then text."""
        try:
            found = self._parse(piece.text, self._tools)
            return [_call(call) for call in (found if isinstance(found, list) else [found])]
        # mlx-lm has a parser per family of models, and models write anything.
        except Exception as error:
            logger.warning("A model's tool call cannot be read: %s", error)
            return None


def _call(found: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = found["name"], found.get("arguments", {})
    if not isinstance(name, str):
        raise TypeError(f"the name of a tool is {name!r}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": str(found.get("id") or f"call_{uuid.uuid4().hex[:24]}"),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _check_tools(model: Model, wanted: bool) -> None:
    if wanted and not model.tokenizer.has_tool_calling:
        raise BadRequest("tools: the chat template of this model has none that mlx-lm knows", "tools")
