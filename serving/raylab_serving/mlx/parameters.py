"""Every parameter of the two APIs, and what becomes of it here: for code, tests and docs the one place that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raylab_serving.mlx.errors import BadRequest
from raylab_serving.parameters import (
    BOTH,
    CHAT,
    COMMON,
    COMPLETIONS,
    EMPTY,
    Api,
    Check,
    Parameter,
    above,
    count,
    only,
    problems,
    rows,
    within,
)

ENGINE = "mlx"
MOST_LOGPROBS = 20


def _field(value: object, name: str) -> Any:  # noqa: ANN401
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


TEXT = Check('{"type": "text"}', lambda value: _field(value, "type") == "text")
GRAMMAR = "mlx-lm has no grammars that could force an answer into a form; ask for the form in the prompt"
NO_TRANSFER = "vLLM's, for caches that move between servers"

# Beside what all engines have in common.
TABLE: tuple[Parameter, ...] = (
    *COMMON,
    # What is asked
    Parameter("messages", CHAT, "honoured", "text only"),
    Parameter("suffix", COMPLETIONS, "refused", "mlx-lm writes no text between others", EMPTY),
    Parameter("prompt_embeds", COMPLETIONS, "refused", "prompts are text or tokens"),
    Parameter("tools", CHAT, "honoured", "where the model's template has tools"),
    Parameter("tool_choice", CHAT, "honoured", f"to force a call: {GRAMMAR}", only("none", "auto")),
    Parameter("documents", CHAT, "honoured", "given to the template"),
    Parameter("chat_template_kwargs", CHAT, "honoured", "given to the template"),
    Parameter("chat_template", CHAT, "refused", "a client cannot bring a template: it would run on the Mac"),
    Parameter("add_generation_prompt", CHAT, "honoured", ""),
    Parameter("continue_final_message", CHAT, "honoured", ""),
    Parameter("add_special_tokens", BOTH, "honoured", ""),
    Parameter("truncate_prompt_tokens", BOTH, "refused", "a prompt that is too long is an error: shorten it"),
    Parameter("truncation_side", BOTH, "refused", "nothing is truncated"),
    Parameter("media_io_kwargs", CHAT, "refused", "text only", EMPTY),
    Parameter("mm_processor_kwargs", CHAT, "refused", "text only", EMPTY),
    Parameter("cache_salt", BOTH, "honoured", "prompts are reused between requests of the same salt only"),
    # How tokens are chosen
    Parameter("top_k", BOTH, "honoured", "0 and -1 leave all tokens", count(-1)),
    Parameter("min_p", BOTH, "honoured", "", within(0, 1)),
    Parameter("seed", BOTH, "honoured", "choice i of n starts from seed + i"),
    Parameter("repetition_penalty", BOTH, "honoured", "counts prompt and answer", above(0)),
    Parameter("allowed_token_ids", BOTH, "honoured", ""),
    Parameter("bad_words", BOTH, "honoured", "in the tokens that they are usually written with"),
    Parameter("response_format", BOTH, "refused", GRAMMAR, TEXT),
    Parameter("structured_outputs", BOTH, "refused", GRAMMAR),
    Parameter("use_beam_search", BOTH, "refused", "mlx-lm has no beam search", only(False)),
    Parameter("length_penalty", BOTH, "ignored", "of beam search only"),
    Parameter("logits_processors", BOTH, "refused", "no code of a client runs here", EMPTY),
    Parameter("vllm_xargs", BOTH, "refused", "vLLM's", EMPTY),
    # Where an answer ends
    Parameter("min_tokens", BOTH, "honoured", "", count(0)),
    Parameter("stop_token_ids", BOTH, "honoured", ""),
    Parameter("include_stop_str_in_output", BOTH, "honoured", ""),
    Parameter("ignore_eos", BOTH, "honoured", ""),
    Parameter("thinking_token_budget", BOTH, "refused", "mlx-lm cannot end a model's reasoning", only(-1)),
    Parameter("repetition_detection", BOTH, "refused", "vLLM's"),
    # What comes back
    Parameter("echo", CHAT, "refused", "send the message with continue_final_message", only(False)),
    Parameter("echo", COMPLETIONS, "honoured", "without logprobs"),
    Parameter("stream_interval", BOTH, "ignored", "tokens are sent as they come"),
    Parameter("logprobs", CHAT, "honoured", "after logit_bias and penalties, before temperature"),
    Parameter("logprobs", COMPLETIONS, "honoured", "as in chat", count(0, MOST_LOGPROBS)),
    Parameter("top_logprobs", CHAT, "honoured", "", count(0, MOST_LOGPROBS)),
    Parameter("prompt_logprobs", BOTH, "refused", "probabilities are of the answer's tokens only"),
    Parameter("logprob_token_ids", BOTH, "refused", "top_logprobs gives the likeliest tokens", EMPTY),
    Parameter("return_tokens_as_token_ids", BOTH, "honoured", "in logprobs"),
    Parameter("return_token_ids", BOTH, "refused", "use logprobs with return_tokens_as_token_ids", only(False)),
    Parameter("return_token_offsets", BOTH, "ignored", "of vLLM's /render only"),
    Parameter("return_prompt_text", CHAT, "refused", "/tokenize and /detokenize show it", only(False)),
    Parameter("return_assistant_tokens_mask", CHAT, "ignored", "of vLLM's /render only"),
    Parameter("include_reasoning", CHAT, "honoured", ""),
    Parameter("skip_special_tokens", BOTH, "honoured", ""),
    Parameter("spaces_between_special_tokens", BOTH, "ignored", "today's tokenizers write none"),
    # Around it
    Parameter("request_id", BOTH, "honoured", "in the answer's id"),
    Parameter("priority", BOTH, "refused", "first come, first served", only(0)),
    Parameter("kv_transfer_params", BOTH, "refused", NO_TRANSFER, EMPTY),
    Parameter("ec_transfer_params", BOTH, "refused", NO_TRANSFER, EMPTY),
)

_ROWS = rows(TABLE)


def check(api: Api, said: Mapping[str, Any]) -> None:
    """Raises BadRequest, naming everything, when a request asks for what is not done. None counts as not given."""
    found = problems(ENGINE, _ROWS[api], said)
    if found:
        raise BadRequest("; ".join(found.values()), next(iter(found)))
