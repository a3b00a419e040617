"""What a request of either API asks for, checked before the engine sees anything of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raylab_serving.mlx.errors import BadRequest
from raylab_serving.mlx.jobs import Job, Sampling
from raylab_serving.mlx.load import Model
from raylab_serving.mlx.parameters import check
from raylab_serving.mlx.sampling import GREEDY
from raylab_serving.mlx.stops import Stops
from raylab_serving.mlx.text import Detokenizer, Kind, Markers
from raylab_serving.mlx.transcript import Transcript
from raylab_serving.parameters import Api, given


@dataclass(frozen=True)
class Prompt:
    """What the model is given."""

    tokens: tuple[int, ...]
    kind: Kind = "content"
    """What the answer begins with."""
    snapshots: tuple[int, ...] = ()
    text: str = ""
    """Shown before the answer, where the request asks for that."""


@dataclass(frozen=True)
class Ask:
    """Everything about an answer but the prompt."""

    sampling: Sampling
    seeded: bool
    """Whether the client chose the seed."""
    max_tokens: int | None
    most_by_default: int | None
    """Where the client names none: at most so many; None allows the rest of the context."""
    length_param: str
    """What the client called max_tokens."""
    ends: frozenset[int]
    stop: tuple[str, ...]
    include_stop: bool
    skip_special: bool
    choices: int
    logprobs: int | None
    as_ids: bool
    """Whether tokens in logprobs are shown by their numbers."""
    salt: str
    request: str = field(compare=False)
    """What tells its jobs from those of others."""
    stream: bool
    usage: bool
    """Whether a stream ends with the usage."""
    usage_always: bool
    """Whether each part of a stream has it."""

    def jobs(self, prompt: Prompt, context: int) -> list[Job]:
        """One per choice. Raises BadRequest when prompt and answer do not fit into the context, as vLLM does."""
        most = self._room(len(prompt.tokens), context)
        first = self.sampling.seed if self.seeded else secrets.randbits(63)
        return [
            Job(
                prompt=prompt.tokens,
                max_tokens=most,
                ends=self.ends,
                sampling=replace(self.sampling, seed=first + number, min_tokens=min(self.sampling.min_tokens, most)),
                snapshots=prompt.snapshots,
                logprobs=self.logprobs,
                salt=self.salt,
                request=self.request,
            )
            for number in range(self.choices)
        ]

    def transcript(self, model: Model, prompt: Prompt, markers: Markers) -> Transcript:
        """An answer to the prompt, not begun yet."""
        detokenizer = Detokenizer(model.tokenizer, prompt.tokens, skip_special=self.skip_special)
        stops = Stops(self.stop, included=self.include_stop)
        return Transcript(detokenizer, markers, prompt.kind, stops, self.sampling.min_tokens)

    def _room(self, read: int, context: int) -> int:
        limit = f"This model's maximum context length is {context} tokens. However, "
        if read >= context:
            raise BadRequest(
                f"{limit}your prompt contains {read} input tokens, which leaves none for an answer. "
                "Please reduce the length of the input prompt."
            )
        if self.max_tokens is None:
            return min(context - read, self.most_by_default or context)
        if read + self.max_tokens > context:
            raise BadRequest(
                f"{limit}you requested {self.max_tokens} output tokens and your prompt contains {read} input tokens, "
                f"for a total of {read + self.max_tokens} tokens. Please reduce the length of the input prompt or the "
                "number of requested output tokens.",
                self.length_param,
            )
        return self.max_tokens


def read_ask(api: Api, request: Any, model: Model) -> Ask:  # noqa: ANN401
    """Raises BadRequest for anything that cannot be done."""
    check(api, given(request))
    sampling = _sampling(request, model)
    choices = request.n or 1
    if choices > 1 and sampling.temperature < GREEDY:
        raise BadRequest(f"n must be 1 when using greedy sampling, got {choices}.", "n")
    most, name = _most(api, request, model)
    if most is not None and sampling.min_tokens > most > 0:
        raise BadRequest(f"min_tokens must be at most {name}={most}, got {sampling.min_tokens}.", "min_tokens")
    ends = _tokens(request.stop_token_ids or [], "stop_token_ids", model)
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    options = request.stream_options
    usage = bool(request.stream and options and options.include_usage)
    return Ask(
        sampling=sampling,
        seeded=request.seed is not None,
        max_tokens=most,
        most_by_default=model.defaults.get("max_new_tokens"),
        length_param=name,
        ends=frozenset(ends if request.ignore_eos else [*ends, *model.tokenizer.eos_token_ids]),
        stop=tuple(stop),
        include_stop=request.include_stop_str_in_output,
        skip_special=request.skip_special_tokens,
        choices=choices,
        logprobs=_logprobs(api, request),
        as_ids=bool(request.return_tokens_as_token_ids),
        salt=request.cache_salt or "",
        request=secrets.token_hex(8),
        stream=bool(request.stream),
        usage=usage,
        usage_always=usage and bool(options.continuous_usage_stats),
    )


def valid_prompt(tokens: Sequence[int], model: Model, param: str = "prompt") -> tuple[int, ...]:
    """Tokens of a prompt. Raises BadRequest when there are none, or the model does not know one."""
    if not tokens:
        raise BadRequest("The prompt is empty.", param)
    return tuple(_tokens(tokens, param, model))


def readable(text: str, model: Model, context: int) -> None:
    """Raises BadRequest for a prompt that cannot fit, before it is made tokens of: that may take minutes and GBs."""
    if len(text) > context * model.longest:
        raise BadRequest(
            f"This model's maximum context length is {context} tokens. However, your prompt contains {len(text)} "
            "characters, which are more. Please reduce the length of the input prompt."
        )


def _sampling(request: Any, model: Model) -> Sampling:  # noqa: ANN401
    def value(name: str, neutral: float) -> Any:  # noqa: ANN401
        """The client's, or the model's authors', or one that changes nothing; as with vLLM."""
        said = getattr(request, name)
        return model.defaults.get(name, neutral) if said is None else said

    return Sampling(
        temperature=value("temperature", 1.0),
        top_p=value("top_p", 1.0),
        top_k=max(value("top_k", 0), 0),
        min_p=value("min_p", 0.0),
        seed=request.seed or 0,
        logit_bias=_bias(request.logit_bias or {}, model),
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=value("repetition_penalty", 1.0),
        allowed=_allowed(request.allowed_token_ids, model),
        banned=_banned(request.bad_words or [], model),
        min_tokens=request.min_tokens or 0,
    )


def _most(api: Api, request: Any, model: Model) -> tuple[int | None, str]:  # noqa: ANN401
    """max_tokens, and what the client called it."""
    most, name = vars(request)["max_tokens"], "max_tokens"
    if api == "chat" and request.max_completion_tokens is not None:
        most, name = request.max_completion_tokens, "max_completion_tokens"
    if most == 0 and not request.echo:
        raise BadRequest("max_tokens is 0: it must be at least 1, without echo", "max_tokens")
    return most, name


def _logprobs(api: Api, request: Any) -> int | None:  # noqa: ANN401
    if api == "completions":
        if request.logprobs is not None and request.echo:
            raise BadRequest("logprobs of an echoed prompt are not supported by this model's engine, mlx", "logprobs")
        return None if request.logprobs is None else int(request.logprobs)
    return int(request.top_logprobs or 0) if request.logprobs else None


def _tokens(tokens: Sequence[int], param: str, model: Model) -> Sequence[int]:
    # mlx does not check indices: it would read, or write, elsewhere in memory.
    if wrong := [token for token in tokens if not 0 <= token < model.vocabulary]:
        raise BadRequest(f"{param}: {wrong[:5]} are no tokens of this model, which has {model.vocabulary}", param)
    return tokens


def _bias(bias: Mapping[str, float], model: Model) -> dict[int, float]:
    try:
        values = {int(token): min(100.0, max(-100.0, value)) for token, value in bias.items()}
    except ValueError as error:
        raise BadRequest(f"logit_bias: its keys are numbers of tokens: {error}", "logit_bias") from error
    _tokens(list(values), "logit_bias", model)
    return values


def _allowed(allowed: Sequence[int] | None, model: Model) -> tuple[int, ...] | None:
    if allowed is None:
        return None
    if not allowed:
        raise BadRequest("allowed_token_ids: an empty list allows no answer", "allowed_token_ids")
    return tuple(_tokens(allowed, "allowed_token_ids", model))


def _banned(words: Sequence[str], model: Model) -> tuple[tuple[int, ...], ...]:
    """Each word as it is written at the beginning of a text, and inside one."""
    if not all(words):
        raise BadRequest("bad_words: an empty string is in everything", "bad_words")
    ways = [way for word in words for way in (word, " " + word.lstrip())]
    encoded = (tuple(model.tokenizer.encode(way, add_special_tokens=False)) for way in ways)
    return tuple(dict.fromkeys(tuple(_tokens(tokens, "bad_words", model)) for tokens in encoded if tokens))
