"""What an engine is made of: the model's settings as Serve hands them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GB = 10**9


@dataclass(frozen=True)
class Options:
    """One model's settings; every rank of a ring is given the same."""

    model_id: str
    path: str
    """The folder of the weights, on this Mac."""
    context: int
    """Tokens that a prompt and its answer may have together."""
    concurrency: int
    """Sequences that are generated at once; others wait."""
    cache_bytes: int
    """What KV caches may take: of running sequences first, the rest keeps prompts for later requests."""
    chat_template: str | None = None
    """A Jinja template instead of the model's own."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the template, where a request does not name them: {"enable_thinking": False}."""
    prefill_step_size: int = 2048
    """Tokens of each prompt that are read between two tokens of the answers that are being written."""
    prompt_concurrency: int = 8
    """Prompts that are read at once."""
    pipeline: bool = False
    """In a ring: each rank holds some layers, instead of a part of every layer."""
    trust_remote_code: bool = False
    """Whether Python files that come with the model may run."""


def read_options(model_id: str, source: object, arguments: Mapping[str, Any]) -> Options:
    """From a model's id, its weights and its engine_kwargs. Raises ValueError with everything that is wrong."""
    problems = []
    if not isinstance(source, str) or not Path(source, "config.json").is_file():
        problems.append(f"model_source: {source!r} is not the folder of a model on this Mac")
    if unknown := sorted(set(arguments) - set(_KINDS)):
        problems.append(f"engine_kwargs: mlx has no {', '.join(unknown)}; it has {', '.join(_KINDS)}")
    values: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if arguments.get(name) is None:
            if name in _REQUIRED:
                problems.append(f"engine_kwargs: {name} is missing")
        elif kind.accepts(arguments[name]):
            values[name] = arguments[name]
        else:
            problems.append(f"engine_kwargs: {name} is {arguments[name]!r}, not {kind.words}")
    if "chat_template" in values:
        try:
            values["chat_template"] = _template(values["chat_template"])
        except (OSError, ValueError) as error:
            problems.append(f"engine_kwargs: chat_template: {error}")
    if problems:
        raise ValueError(f"{model_id}: " + "; ".join(problems))
    cache_bytes = int(values.pop("cache_gb") * GB)
    return Options(model_id=model_id, path=str(source), cache_bytes=cache_bytes, **values)


@dataclass(frozen=True)
class _Kind:
    words: str
    accepts: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_COUNT = _Kind("a whole number above 0", lambda value: type(value) is int and value > 0)
_SWITCH = _Kind("true or false", lambda value: type(value) is bool)
_REQUIRED = ("context", "concurrency", "cache_gb")
_KINDS = {
    "context": _COUNT,
    "concurrency": _COUNT,
    "cache_gb": _Kind("a number above 0", lambda value: _is_number(value) and value > 0),
    "chat_template": _Kind("a template, or the path of one", lambda value: isinstance(value, str) and value != ""),
    "chat_template_kwargs": _Kind("a table of variables", lambda value: isinstance(value, dict)),
    "prefill_step_size": _COUNT,
    "prompt_concurrency": _COUNT,
    "pipeline": _SWITCH,
    "trust_remote_code": _SWITCH,
}


def _template(given: str) -> str:
    """The template itself. As with vLLM, what looks like Jinja is one, and anything else is a path."""
    if any(sign in given for sign in "{}\n"):
        return given
    return Path(given).read_text(encoding="utf-8")
