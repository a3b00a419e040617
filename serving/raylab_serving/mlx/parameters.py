"""Every parameter of the two APIs, and what becomes of it here: the one place that says so, for code, tests and docs.

Nothing is ignored that would change the answer, and what is in no row is refused, as OpenAI itself does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raylab_serving.mlx.errors import BadRequest

Api = Literal["chat", "completions"]
Treatment = Literal["honoured", "refused", "ignored"]

CHAT: tuple[Api, ...] = ("chat",)
COMPLETIONS: tuple[Api, ...] = ("completions",)
BOTH: tuple[Api, ...] = ("chat", "completions")

MOST_CHOICES = 128
MOST_LOGPROBS = 20


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


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _within(least: float, most: float) -> Check:
    return Check(f"{least:g} to {most:g}", lambda value: _number(value) and least <= value <= most)


def _count(least: int, most: int | None = None) -> Check:
    words = f"a whole number of at least {least}" if most is None else f"a whole number of {least} to {most}"
    return Check(words, lambda value: type(value) is int and least <= value and (most is None or value <= most))


def _only(*values: object) -> Check:
    words = " or ".join(map(str, values)).lower()
    return Check(words, lambda value: any(type(value) is type(one) and value == one for one in values))


def _strings(value: object) -> bool:
    strings = [value] if isinstance(value, str) else value
    return isinstance(strings, list) and all(isinstance(one, str) and one for one in strings)


def _field(value: object, name: str) -> Any:  # noqa: ANN401
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


EMPTY = Check("nothing", lambda value: value in ([], {}, ""))
TEXT = Check('{"type": "text"}', lambda value: _field(value, "type") == "text")
STRINGS = Check("a string or a list of strings, none of them empty", _strings)
GRAMMAR = "mlx-lm has no grammars that could force an answer into a form; ask for the form in the prompt"
DEPRECATED = "replaced by tools and tool_choice"
NO_TRANSFER = "vLLM's, for caches that move between servers"

TABLE: tuple[Parameter, ...] = (
    # What is asked
    Parameter("model", BOTH, "honoured", "routed by the ingress"),
    Parameter("messages", CHAT, "honoured", "text only"),
    Parameter("prompt", COMPLETIONS, "honoured", "a text, tokens, or a list of either"),
    Parameter("suffix", COMPLETIONS, "refused", "mlx-lm writes no text between others", EMPTY),
    Parameter("prompt_embeds", COMPLETIONS, "refused", "prompts are text or tokens"),
    Parameter("tools", CHAT, "honoured", "where the model's template has tools"),
    Parameter("tool_choice", CHAT, "honoured", f"to force a call: {GRAMMAR}", _only("none", "auto")),
    Parameter("parallel_tool_calls", CHAT, "honoured", "false keeps the first call"),
    Parameter("functions", CHAT, "refused", DEPRECATED, EMPTY),
    Parameter("function_call", CHAT, "refused", DEPRECATED, _only("none")),
    Parameter("documents", CHAT, "honoured", "given to the template"),
    Parameter("reasoning_effort", CHAT, "honoured", "given to the template; none sets enable_thinking to false"),
    Parameter("chat_template_kwargs", CHAT, "honoured", "given to the template"),
    Parameter("chat_template", CHAT, "refused", "a client cannot bring a template: it would run on the Mac"),
    Parameter("add_generation_prompt", CHAT, "honoured", ""),
    Parameter("continue_final_message", CHAT, "honoured", ""),
    Parameter("add_special_tokens", BOTH, "honoured", ""),
    Parameter("truncate_prompt_tokens", BOTH, "refused", "a prompt that is too long is an error: shorten it"),
    Parameter("truncation_side", BOTH, "refused", "nothing is truncated"),
    Parameter("media_io_kwargs", CHAT, "refused", "text only", EMPTY),
    Parameter("mm_processor_kwargs", CHAT, "refused", "text only", EMPTY),
    Parameter("modalities", CHAT, "refused", "text only", Check('["text"]', lambda value: value == ["text"])),
    Parameter("audio", CHAT, "refused", "text only"),
    Parameter("web_search_options", CHAT, "refused", "nothing here searches the web"),
    Parameter("cache_salt", BOTH, "honoured", "prompts are reused between requests of the same salt only"),
    # How tokens are chosen
    Parameter("temperature", BOTH, "honoured", "", _within(0, 2)),
    Parameter(
        "top_p", BOTH, "honoured", "", Check("above 0, up to 1", lambda value: _number(value) and 0 < value <= 1)
    ),
    Parameter("top_k", BOTH, "honoured", "0 and -1 leave all tokens", _count(-1)),
    Parameter("min_p", BOTH, "honoured", "", _within(0, 1)),
    Parameter("seed", BOTH, "honoured", "choice i of n starts from seed + i"),
    Parameter("frequency_penalty", BOTH, "honoured", "counts the answer only", _within(-2, 2)),
    Parameter("presence_penalty", BOTH, "honoured", "counts the answer only", _within(-2, 2)),
    Parameter(
        "repetition_penalty",
        BOTH,
        "honoured",
        "counts prompt and answer",
        Check("above 0", lambda value: _number(value) and value > 0),
    ),
    Parameter("logit_bias", BOTH, "honoured", "clipped to -100 to 100"),
    Parameter("allowed_token_ids", BOTH, "honoured", ""),
    Parameter("bad_words", BOTH, "honoured", "in the tokens that they are usually written with"),
    Parameter("response_format", BOTH, "refused", GRAMMAR, TEXT),
    Parameter("structured_outputs", BOTH, "refused", GRAMMAR),
    Parameter("use_beam_search", BOTH, "refused", "mlx-lm has no beam search", _only(False)),
    Parameter("length_penalty", BOTH, "ignored", "of beam search only"),
    Parameter("best_of", COMPLETIONS, "refused", "ask for n, and choose", _only(1)),
    Parameter("logits_processors", BOTH, "refused", "no code of a client runs here", EMPTY),
    Parameter("vllm_xargs", BOTH, "refused", "vLLM's", EMPTY),
    # Where an answer ends
    Parameter("max_tokens", CHAT, "honoured", "the rest of the context where it is not given", _count(1)),
    Parameter("max_tokens", COMPLETIONS, "honoured", "16 where it is not given; 0 with echo", _count(0)),
    Parameter("max_completion_tokens", CHAT, "honoured", "before max_tokens", _count(1)),
    Parameter("min_tokens", BOTH, "honoured", "", _count(0)),
    Parameter("stop", BOTH, "honoured", "in the text, wherever tokens end", STRINGS),
    Parameter("stop_token_ids", BOTH, "honoured", ""),
    Parameter("include_stop_str_in_output", BOTH, "honoured", ""),
    Parameter("ignore_eos", BOTH, "honoured", ""),
    Parameter("thinking_token_budget", BOTH, "refused", "mlx-lm cannot end a model's reasoning", _only(-1)),
    Parameter("repetition_detection", BOTH, "refused", "vLLM's"),
    # What comes back
    Parameter("n", BOTH, "honoured", "more than 1 needs a temperature above 0", _count(1, MOST_CHOICES)),
    Parameter("echo", CHAT, "refused", "send the message with continue_final_message", _only(False)),
    Parameter("echo", COMPLETIONS, "honoured", "without logprobs"),
    Parameter("stream", BOTH, "honoured", ""),
    Parameter("stream_options", BOTH, "honoured", "include_usage, continuous_usage_stats"),
    Parameter("stream_interval", BOTH, "ignored", "tokens are sent as they come"),
    Parameter("logprobs", CHAT, "honoured", "after logit_bias and penalties, before temperature"),
    Parameter("logprobs", COMPLETIONS, "honoured", "as in chat", _count(0, MOST_LOGPROBS)),
    Parameter("top_logprobs", CHAT, "honoured", "", _count(0, MOST_LOGPROBS)),
    Parameter("prompt_logprobs", BOTH, "refused", "probabilities are of the answer's tokens only"),
    Parameter("logprob_token_ids", BOTH, "refused", "top_logprobs gives the likeliest tokens", EMPTY),
    Parameter("return_tokens_as_token_ids", BOTH, "honoured", "in logprobs"),
    Parameter("return_token_ids", BOTH, "refused", "use logprobs with return_tokens_as_token_ids", _only(False)),
    Parameter("return_token_offsets", BOTH, "ignored", "of vLLM's /render only"),
    Parameter("return_prompt_text", CHAT, "refused", "/tokenize and /detokenize show it", _only(False)),
    Parameter("return_assistant_tokens_mask", CHAT, "ignored", "of vLLM's /render only"),
    Parameter("include_reasoning", CHAT, "honoured", ""),
    Parameter("skip_special_tokens", BOTH, "honoured", ""),
    Parameter("spaces_between_special_tokens", BOTH, "ignored", "today's tokenizers write none"),
    Parameter("verbosity", CHAT, "refused", "no model here has it: ask in the prompt", _only("medium")),
    # Around it
    Parameter("request_id", BOTH, "honoured", "in the answer's id"),
    Parameter("priority", BOTH, "refused", "first come, first served", _only(0)),
    Parameter("kv_transfer_params", BOTH, "refused", NO_TRANSFER, EMPTY),
    Parameter("ec_transfer_params", BOTH, "refused", NO_TRANSFER, EMPTY),
    Parameter("user", BOTH, "ignored", "for OpenAI's records"),
    Parameter("safety_identifier", BOTH, "ignored", "for OpenAI's records"),
    Parameter("metadata", BOTH, "ignored", "for OpenAI's records"),
    Parameter("store", BOTH, "ignored", "nothing is ever stored"),
    Parameter("service_tier", BOTH, "ignored", "there is one"),
    Parameter("prompt_cache_key", BOTH, "ignored", "prompts are found again by what they say"),
    Parameter("prompt_cache_retention", BOTH, "ignored", "prompts stay while there is room"),
    Parameter("prediction", CHAT, "ignored", "it changes speed, not answers"),
)

_ROWS: Mapping[Api, Mapping[str, Parameter]] = {
    api: {row.name: row for row in TABLE if api in row.apis} for api in BOTH
}


def check(api: Api, given: Mapping[str, Any]) -> None:
    """Raises BadRequest, naming everything, when a request asks for what is not done. None counts as not given."""
    problems = [
        (name, problem)
        for name, value in given.items()
        if value is not None and (problem := _problem(_ROWS[api].get(name), name, value))
    ]
    if problems:
        raise BadRequest("; ".join(problem for _, problem in problems), problems[0][0])


def _problem(row: Parameter | None, name: str, value: Any) -> str:  # noqa: ANN401
    if row is None:
        return f"{name}: no such parameter"
    if row.treatment == "ignored" or (row.check is not None and row.check.accepts(value)):
        return ""
    if row.treatment == "refused":
        return f"{name} is not supported by this model's engine, mlx: {row.reason}"
    if row.check is None:
        return ""
    reason = f" ({row.reason})" if row.reason else ""
    return f"{name} is {str(value)[:80]!r}: it must be {row.check.words}{reason}"
