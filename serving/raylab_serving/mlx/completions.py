"""Completions: a text goes on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from raylab_serving.mlx.answers import DONE, LEAST, Choices, Part, Usage, Words, error_data, event
from raylab_serving.mlx.engine import Engine
from raylab_serving.mlx.errors import BadRequest, EngineFailed
from raylab_serving.mlx.jobs import Produced
from raylab_serving.mlx.load import Model
from raylab_serving.mlx.requests import Ask, Prompt, readable, valid_prompt
from raylab_serving.mlx.text import Markers

# A completion is text from its first token to its last.
NO_MARKERS: Markers = {"content": (), "reasoning": (), "tool": ()}


def read_prompts(request: Any, model: Model, context: int) -> list[Prompt]:  # noqa: ANN401
    """A request's prompts, of which the longest may have `context` tokens. Raises BadRequest."""
    given = request.prompt
    several = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    if not several:
        raise BadRequest("prompt: there is none", "prompt")
    return [_prompt(one, request, model, context) for one in several]


def _prompt(given: str | Sequence[int], request: Any, model: Model, context: int) -> Prompt:  # noqa: ANN401
    if isinstance(given, str):
        readable(given, model, context)
        tokens = model.tokenizer.encode(given, add_special_tokens=request.add_special_tokens)
        return Prompt(valid_prompt(tokens, model), text=given)
    tokens = valid_prompt(given, model)
    text = model.tokenizer.decode(tokens, skip_special_tokens=request.skip_special_tokens) if request.echo else ""
    return Prompt(tokens, text=text)


class Completion:
    """One request, from its prompts on."""

    def __init__(self, engine: Engine, request: Any, ask: Ask, prompts: Sequence[Prompt], name: str) -> None:  # noqa: ANN401
        """`name` is the answer's id. Raises BadRequest."""
        context = engine.options.context
        # Of each prompt as many as are asked for, one after the other.
        self._owners = [prompt for prompt in prompts for _ in range(ask.choices)]
        self._echo = bool(request.echo)
        self._nothing = ask.max_tokens == 0
        written = [
            (job, ask.transcript(engine.model, prompt, NO_MARKERS))
            for prompt in prompts
            for job in ([] if self._nothing else ask.jobs(prompt, context))
        ]
        self._choices = Choices(engine, ask, written)
        self._ask = ask
        self._usage = Usage(sum(len(prompt.tokens) for prompt in prompts))
        self._words = Words(engine.model.tokenizer, as_ids=ask.as_ids)
        self._offsets = [0 for _ in self._owners]
        self._cached: dict[int, int] = {}
        self._head = {
            "id": name,
            "object": "text_completion",
            "created": int(time.time()),
            "model": engine.options.model_id,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer, once it is written. Raises EngineFailed."""
        choices = [self._choice(index, text) for index, text in enumerate(self._beginnings())]
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                choice = choices[part.index]
                choice["text"] += _text(part)
                _extend(choice, self._probabilities(part))
                if part.finish is not None:
                    self._count(part)
                    choice |= {"finish_reason": part.finish, "stop_reason": part.stop_reason}
        return {**self._head, "choices": choices, "usage": self._usage.data()}

    async def stream(self, pause: float) -> AsyncGenerator[list[str], None]:
        """Events, those of about `pause` seconds together.

        Raises EngineFailed as long as there has been none; later it is one of them.
        """
        beginnings = dict(enumerate(self._beginnings()))
        begun = False
        try:
            async with aclosing(self._parts(pause)) as parts:
                async for part in parts:
                    begun = True
                    yield [self._event(part, beginnings.pop(part.index, "") + _text(part))]
        except EngineFailed as error:
            if not begun:
                raise
            last = [event({"error": error_data(error)})]
        else:
            usage = {**self._head, "choices": [], "usage": self._usage.data()}
            last = [event(usage)] if self._ask.usage else []
        yield [*last, DONE]

    async def _parts(self, pause: float = 0.0) -> AsyncGenerator[Part, None]:
        if self._nothing:
            for index in range(len(self._owners)):
                yield Part(index, [], [], 0, 0, "length")
            return
        async with aclosing(self._choices.parts(pause)) as parts:
            async for part in parts:
                yield part

    def _beginnings(self) -> list[str]:
        return [prompt.text if self._echo else "" for prompt in self._owners]

    def _choice(self, index: int, text: str) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": None}

    def _event(self, part: Part, text: str) -> str:
        choice = self._choice(part.index, text)
        choice["logprobs"] = self._probabilities(part)
        if part.finish is not None:
            self._count(part)
            choice |= {"finish_reason": part.finish, "stop_reason": part.stop_reason}
        chunk = {**self._head, "choices": [choice]}
        if self._ask.usage_always:
            chunk["usage"] = Usage(len(self._owners[part.index].tokens), part.written, part.cached).data()
        return event(chunk)

    def _count(self, part: Part) -> None:
        """A prompt counts once, however many choices it has; so does what was cached of it."""
        self._usage.completion += part.written
        owner = part.index // self._ask.choices
        self._cached[owner] = max(self._cached.get(owner, 0), part.cached)
        self._usage.cached = sum(self._cached.values())

    def _probabilities(self, part: Part) -> dict[str, Any] | None:
        if self._ask.logprobs is None:
            return None
        found: dict[str, Any] = {"text_offset": [], "token_logprobs": [], "tokens": [], "top_logprobs": []}
        for token in part.tokens:
            text = self._words.text(token.token)
            found["tokens"].append(text)
            found["text_offset"].append(self._offsets[part.index])
            found["token_logprobs"].append(max(token.logprob, LEAST))
            found["top_logprobs"].append(self._likeliest(token))
            self._offsets[part.index] += len(text)
        return found

    def _likeliest(self, token: Produced) -> dict[str, float]:
        """The token itself is always among them."""
        likely = ((token.token, token.logprob), *token.top)
        return {self._words.text(one): max(logprob, LEAST) for one, logprob in likely}


def _text(part: Part) -> str:
    return "".join(piece.text for piece in part.pieces)


def _extend(choice: dict[str, Any], probabilities: dict[str, Any] | None) -> None:
    if probabilities is None:
        return
    if choice["logprobs"] is None:
        choice["logprobs"] = probabilities
        return
    for name, values in probabilities.items():
        choice["logprobs"][name] += values
