"""Parameters of the two APIs: how an engine's table of them is written, and the rows in which all engines are alike.

Nothing is ignored that would change the answer, and what nobody knows is refused, as OpenAI itself does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["chat", "completions"]
Treatment = Literal["honoured", "refused", "ignored"]

CHAT: tuple[Api, ...] = ("chat",)
COMPLETIONS: tuple[Api, ...] = ("completions",)
BOTH: tuple[Api, ...] = ("chat", "completions")

MOST_CHOICES = 128


@dataclass(frozen=True)
class Check:
    """Values that a parameter may have."""

    words: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class Parameter:
    """One row."""

    name: str
    apis: tuple[Api, ...]
    treatment: Treatment
    reason: str
    """Of a refusal or of ignoring it, for the client to read; of what is honoured, how far."""
    check: Check | None = None
    """The values that are honoured; of a refused parameter, those that ask for nothing."""


Rows = Mapping[str, Parameter]


def rows(table: Iterable[Parameter]) -> Mapping[Api, Rows]:
    """A table by API and name."""
    table = tuple(table)
    return {api: {row.name: row for row in table if api in row.apis} for api in BOTH}


def given(request: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the client has said, parameters that the API's model does not know included."""
    # Not by getattr: it warns of names that OpenAI has replaced.
    said = {name: value for name, value in vars(request).items() if name in request.model_fields_set}
    return said | dict(request.model_extra or {})


def problems(engine: str, known: Rows, said: Mapping[str, Any]) -> dict[str, str]:
    """What of a request cannot be done, by the parameter's name. None counts as not said."""
    found = {name: _problem(engine, known.get(name), name, value) for name, value in said.items() if value is not None}
    return {name: problem for name, problem in found.items() if problem}


def unsupported(engine: str, name: str, reason: str) -> str:
    """The words of a refusal."""
    return f"{name} is not supported by this model's engine, {engine}: {reason}"


def _problem(engine: str, row: Parameter | None, name: str, value: Any) -> str:  # noqa: ANN401
    if row is None:
        return f"{name}: no such parameter"
    if row.treatment == "ignored" or (row.check is not None and row.check.accepts(value)):
        return ""
    if row.treatment == "refused":
        return unsupported(engine, name, row.reason)
    if row.check is None:
        return ""
    reason = f" ({row.reason})" if row.reason else ""
    return f"{name} is {str(value)[:80]!r}: it must be {row.check.words}{reason}"


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def within(least: float, most: float) -> Check:
    """Numbers, both ends included."""
    return Check(f"{least:g} to {most:g}", lambda value: _number(value) and least <= value <= most)


def above(least: float, most: float = math.inf) -> Check:
    """Numbers, without the lower end."""
    words = f"above {least:g}" if most == math.inf else f"above {least:g}, up to {most:g}"
    return Check(words, lambda value: _number(value) and least < value <= most)


def count(least: int, most: int | None = None) -> Check:
    """Whole numbers, both ends included."""
    words = f"a whole number of at least {least}" if most is None else f"a whole number of {least} to {most}"
    return Check(words, lambda value: type(value) is int and least <= value and (most is None or value <= most))


def only(*values: object) -> Check:
    """These values."""
    words = " or ".join(map(str, values)).lower()
    return Check(words, lambda value: any(type(value) is type(one) and value == one for one in values))


def _strings(value: object) -> bool:
    strings = [value] if isinstance(value, str) else value
    return isinstance(strings, list) and all(isinstance(one, str) and one for one in strings)


EMPTY = Check("nothing", lambda value: value in ([], {}, ""))
STRINGS = Check("a string or a list of strings, none of them empty", _strings)
_TEXT_ONLY = "answers are text"
_DEPRECATED = "replaced by tools and tool_choice"
_DEFAULT = "where it is not given: the model's max_tokens, as far as there is room, else {}"
_RECORDS = "for OpenAI's records"

COMMON: tuple[Parameter, ...] = (
    Parameter("model", BOTH, "honoured", "routed by the ingress"),
    Parameter("prompt", COMPLETIONS, "honoured", "a text, tokens, or a list of either"),
    Parameter("parallel_tool_calls", CHAT, "honoured", "false keeps the first call"),
    Parameter("functions", CHAT, "refused", _DEPRECATED, EMPTY),
    Parameter("function_call", CHAT, "refused", _DEPRECATED, only("none")),
    Parameter("reasoning_effort", CHAT, "honoured", "given to the template; none sets enable_thinking to false"),
    Parameter("modalities", CHAT, "refused", _TEXT_ONLY, Check('["text"]', lambda value: value == ["text"])),
    Parameter("audio", CHAT, "refused", _TEXT_ONLY),
    Parameter("web_search_options", CHAT, "refused", "nothing here searches the web"),
    Parameter("moderation", CHAT, "refused", "nothing here judges what is said"),
    Parameter("temperature", BOTH, "honoured", "", within(0, 2)),
    Parameter("top_p", BOTH, "honoured", "", above(0, 1)),
    Parameter("frequency_penalty", BOTH, "honoured", "counts the answer only", within(-2, 2)),
    Parameter("presence_penalty", BOTH, "honoured", "counts the answer only", within(-2, 2)),
    Parameter("logit_bias", BOTH, "honoured", "clipped to -100 to 100"),
    Parameter("best_of", COMPLETIONS, "refused", "ask for n, and choose", only(1)),
    Parameter("max_tokens", CHAT, "honoured", _DEFAULT.format("the rest of the context"), count(1)),
    Parameter("max_tokens", COMPLETIONS, "honoured", _DEFAULT.format("16") + "; 0 with echo", count(0)),
    Parameter("max_completion_tokens", CHAT, "honoured", "before max_tokens", count(1)),
    Parameter("stop", BOTH, "honoured", "in the text, wherever tokens end", STRINGS),
    Parameter("n", BOTH, "honoured", "more than 1 needs a temperature above 0", count(1, MOST_CHOICES)),
    Parameter("stream", BOTH, "honoured", ""),
    Parameter("stream_options", BOTH, "honoured", "include_usage, continuous_usage_stats; nothing is obfuscated"),
    Parameter("verbosity", CHAT, "refused", "no model here has it: ask in the prompt", only("medium")),
    Parameter("user", BOTH, "ignored", _RECORDS),
    Parameter("safety_identifier", BOTH, "ignored", _RECORDS),
    Parameter("metadata", BOTH, "ignored", _RECORDS),
    Parameter("store", BOTH, "ignored", "nothing is ever stored"),
    Parameter("service_tier", BOTH, "ignored", "there is one"),
    Parameter("prompt_cache_key", BOTH, "ignored", "prompts are found again by what they say"),
    Parameter("prompt_cache_options", BOTH, "ignored", "prompts are found again by what they say"),
    Parameter("prompt_cache_retention", BOTH, "ignored", "prompts stay while there is room"),
    Parameter("prediction", CHAT, "ignored", "it changes speed, not answers"),
)
