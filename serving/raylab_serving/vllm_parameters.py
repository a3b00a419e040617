"""OpenAI's parameters, and what becomes of them in a model of vLLM's.

vLLM takes whatever it does not know for nothing, and answers as if it had not been asked; so does its beam search with
what only its other ways of choosing tokens know. That is refused here. vLLM's own further parameters are its own.
"""

from __future__ import annotations

from typing import Any

from raylab_serving.parameters import (
    BOTH,
    CHAT,
    COMMON,
    COMPLETIONS,
    Api,
    Parameter,
    given,
    problems,
    rows,
    unsupported,
)

ENGINE = "vllm"
_PARSER = "with tool_call_parser and enable_auto_tool_choice in the model's engine_kwargs"
_MOST = "up to the model's max_logprobs, which is 20 by default"

# Beside what all engines have in common.
TABLE: tuple[Parameter, ...] = (
    *COMMON,
    Parameter("messages", CHAT, "honoured", "text; whatever else the model reads has not been tried"),
    Parameter("suffix", COMPLETIONS, "refused", "vLLM writes no text between others"),
    Parameter("tools", CHAT, "honoured", _PARSER),
    Parameter("tool_choice", CHAT, "honoured", _PARSER),
    Parameter("seed", BOTH, "honoured", ""),
    Parameter("response_format", BOTH, "honoured", "json_schema, json_object, text"),
    Parameter("echo", COMPLETIONS, "honoured", ""),
    Parameter("logprobs", CHAT, "honoured", "before logit_bias, penalties and temperature"),
    Parameter("logprobs", COMPLETIONS, "honoured", f"as in chat; {_MOST}"),
    Parameter("top_logprobs", CHAT, "honoured", _MOST),
)
# What vLLM's beam search does not look at.
_NOT_IN_BEAMS = frozenset(
    (
        "allowed_token_ids",
        "bad_words",
        "frequency_penalty",
        "logit_bias",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_detection",
        "repetition_penalty",
        "response_format",
        "seed",
        "stop",
        "stop_token_ids",
        "structured_outputs",
        "thinking_token_budget",
        "top_k",
        "top_p",
    )
)

_ROWS = rows(TABLE)


def refused(api: Api, request: Any) -> dict[str, str]:  # noqa: ANN401
    """What of a request vLLM would not do, and would not say so, by the parameter's name."""
    said = given(request)
    known = _ROWS[api]
    fields = type(request).model_fields
    ours = {name: value for name, value in said.items() if name in known or name not in fields}
    found = problems(ENGINE, known, ours)
    if said.get("use_beam_search"):
        reason = "its beam search does not look at it"
        found |= {
            name: unsupported(ENGINE, name, reason)
            for name in said
            if name in _NOT_IN_BEAMS and said[name] not in (None, fields[name].get_default(call_default_factory=True))
        }
    return found
