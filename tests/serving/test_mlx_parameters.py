"""The table of parameters: nothing is missing in it, and everything is as it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

import conformance
import test_mlx_answers
import test_mlx_conversation
from mlx_kit import MODEL, chat, complete, config, started
from mlx_models import reciting
from ray.llm._internal.serve.core.configs.openai_api_models import ChatCompletionRequest, CompletionRequest
from raylab_serving.mlx.parameters import TABLE
from raylab_serving.mlx.requests import Ask, read_ask
from raylab_serving.mlx.server import MlxServer
from raylab_serving.parameters import BOTH, Api, Parameter, given

ROWS = [(api, row) for row in TABLE for api in row.apis]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}

# A value that asks for something, of each parameter that is refused or ignored.
ASKING: dict[str, Any] = {
    **conformance.ASKING,
    "prompt_embeds": "AAAA",
    "chat_template": "{{ messages }}",
    "truncate_prompt_tokens": 5,
    "truncation_side": "left",
    "media_io_kwargs": {"video": {"frames": 3}},
    "mm_processor_kwargs": {"crops": 4},
    "structured_outputs": {"regex": "a+"},
    "use_beam_search": True,
    "length_penalty": 2.0,
    "logits_processors": ["a.b"],
    "vllm_xargs": {"a": 1},
    "thinking_token_budget": 10,
    "repetition_detection": {"max_pattern_size": 3, "min_count": 3},
    "echo": True,
    "stream_interval": 5,
    "prompt_logprobs": 2,
    "logprob_token_ids": [1, 2],
    "return_token_ids": True,
    "return_token_offsets": True,
    "return_prompt_text": True,
    "return_assistant_tokens_mask": True,
    "spaces_between_special_tokens": False,
    "priority": 3,
    "kv_transfer_params": {"a": 1},
    "ec_transfer_params": {"a": 1},
}
# A value of each parameter that is honoured, and what it makes of the request; where an answer must be seen, the name
# of its test elsewhere.
HONOURED: dict[str, tuple[Any, str, Any] | str] = {
    "model": "test_an_answer",
    "messages": "test_messages",
    "prompt": "test_prompts_of_completions",
    "tools": "test_calls_of_tools",
    "tool_choice": "test_calls_of_tools",
    "parallel_tool_calls": "test_only_one_call",
    "documents": "test_the_template_is_given_what_the_request_says",
    "reasoning_effort": "test_the_template_is_given_what_the_request_says",
    "chat_template_kwargs": "test_the_template_is_given_what_the_request_says",
    "add_generation_prompt": "test_where_the_prompt_ends",
    "continue_final_message": "test_where_the_prompt_ends",
    "add_special_tokens": "test_special_tokens_of_a_prompt",
    "cache_salt": ("mine", "salt", "mine"),
    "temperature": (0.5, "sampling.temperature", 0.5),
    "top_p": (0.5, "sampling.top_p", 0.5),
    "top_k": (7, "sampling.top_k", 7),
    "min_p": (0.1, "sampling.min_p", 0.1),
    "seed": (-5, "sampling.seed", -5),
    "frequency_penalty": (-1.5, "sampling.frequency_penalty", -1.5),
    "presence_penalty": (1.5, "sampling.presence_penalty", 1.5),
    "repetition_penalty": (1.2, "sampling.repetition_penalty", 1.2),
    "logit_bias": ({"5": 500.0, "6": -1.0}, "sampling.logit_bias", {5: 100.0, 6: -1.0}),
    "allowed_token_ids": ([5, 6], "sampling.allowed", (5, 6)),
    "bad_words": "test_words_that_may_not_come",
    "max_tokens": (3, "max_tokens", 3),
    "max_completion_tokens": (4, "max_tokens", 4),
    "min_tokens": (2, "sampling.min_tokens", 2),
    "stop": (["a", "b"], "stop", ("a", "b")),
    "stop_token_ids": "test_tokens_that_end_an_answer",
    "include_stop_str_in_output": (True, "include_stop", True),
    "ignore_eos": (True, "ends", frozenset()),
    "n": "test_several_choices",
    "stream": (True, "stream", True),
    "stream_options": "test_usage_of_streams",
    "echo": "test_echo",
    "logprobs": (True, "logprobs", 0),
    "top_logprobs": "test_probabilities_of_a_chat",
    "return_tokens_as_token_ids": (True, "as_ids", True),
    "include_reasoning": "test_reasoning_may_be_left_out",
    "skip_special_tokens": (False, "skip_special", False),
    "request_id": "test_an_answer",
}
COMPLETIONS_HONOURED: dict[str, tuple[Any, str, Any] | str] = {"logprobs": (3, "logprobs", 3)}


@pytest.fixture(scope="module")
def server() -> Iterator[MlxServer]:
    with started(config(reciting())) as made:
        yield made


def request(api: Api, **parameters: Any) -> Any:  # noqa: ANN401
    if api == "chat":
        return ChatCompletionRequest(model=MODEL, messages=[{"role": "user", "content": "hello"}], **parameters)
    return CompletionRequest(model=MODEL, prompt="[plain]", **parameters)


def answer(server: MlxServer, api: Api, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
    if api == "chat":
        return asyncio.run(chat(server, **{"chat_template_kwargs": {"start": "[plain]"}, **parameters}))
    return asyncio.run(complete(server, "[plain]", **parameters))


def ask(server: MlxServer, api: Api, **parameters: Any) -> Ask:  # noqa: ANN401
    assert server.engine is not None
    return read_ask(api, request(api, **parameters), server.engine.model)


@pytest.mark.parametrize("api", BOTH)
def test_every_parameter_is_in_the_table(api: Api) -> None:
    vllm = (ChatCompletionRequest if api == "chat" else CompletionRequest).model_fields
    known = {*vllm, *conformance.openai_names(api)}
    rows = [row.name for row in TABLE if api in row.apis]
    assert len(rows) == len(set(rows))
    # More may be in it: what only the other API has, or an older one had.
    assert known - set(rows) == set()


@pytest.mark.parametrize("row", [row for row in TABLE if row.treatment != "honoured"], ids=lambda row: row.name)
def test_what_is_not_done_has_a_reason(row: Parameter) -> None:
    assert row.reason


@pytest.mark.parametrize(
    ("api", "row"),
    [entry for entry in ROWS if entry[1].treatment == "refused"],
    ids=lambda entry: getattr(entry, "name", entry),
)
def test_what_is_refused(server: MlxServer, api: Api, row: Parameter) -> None:
    beside = {"logprobs": True if api == "chat" else 1} if row.name == "logprob_token_ids" else {}
    found = answer(server, api, **{row.name: ASKING[row.name]}, **beside)
    assert found["error"]["code"] == 400
    assert found["error"]["type"] == "invalid_request_error"
    assert found["error"]["param"] == row.name
    assert row.reason in found["error"]["message"]


@pytest.mark.parametrize(
    ("api", "row"),
    [entry for entry in ROWS if entry[1].treatment == "ignored"],
    ids=lambda entry: getattr(entry, "name", entry),
)
def test_what_is_ignored(server: MlxServer, api: Api, row: Parameter) -> None:
    found = answer(server, api, **{row.name: ASKING[row.name]})
    assert found["choices"] == answer(server, api)["choices"]


@pytest.mark.parametrize(
    ("api", "row"),
    [entry for entry in ROWS if entry[1].treatment == "honoured"],
    ids=lambda entry: getattr(entry, "name", entry),
)
def test_what_is_honoured(server: MlxServer, api: Api, row: Parameter) -> None:
    expected = (COMPLETIONS_HONOURED if api == "completions" else {}).get(row.name) or HONOURED[row.name]
    if isinstance(expected, str):
        assert hasattr(test_mlx_answers, expected) or hasattr(test_mlx_conversation, expected)
        return
    value, path, result = expected
    found: Any = ask(server, api, **{row.name: value})
    default: Any = ask(server, api)
    for step in path.split("."):
        found, default = getattr(found, step), getattr(default, step)
    assert found == result
    assert default != result


@pytest.mark.parametrize(
    ("api", "parameters", "words"),
    [
        ("chat", {"temperature": 2.5}, "temperature is '2.5': it must be 0 to 2"),
        ("chat", {"temperature": -0.1}, "0 to 2"),
        ("chat", {"top_p": 0.0}, "above 0, up to 1"),
        ("chat", {"top_k": -2}, "at least -1"),
        ("chat", {"min_p": 1.5}, "0 to 1"),
        ("chat", {"presence_penalty": 3}, "-2 to 2"),
        ("chat", {"repetition_penalty": 0.0}, "above 0"),
        ("chat", {"n": 0}, "1 to 128"),
        ("chat", {"n": 2, "temperature": 0}, "n must be 1 when using greedy sampling, got 2"),
        ("chat", {"max_tokens": 0}, "at least 1"),
        ("chat", {"max_tokens": 5, "min_tokens": 6}, "min_tokens must be at most max_tokens=5, got 6"),
        ("chat", {"logprobs": True, "top_logprobs": 21}, "0 to 20"),
        ("chat", {"stop": ["a", ""]}, "none of them empty"),
        ("chat", {"logit_bias": {"word": 1}}, "numbers of tokens"),
        ("chat", {"logit_bias": {"99999": 1}}, "[99999] are no tokens of this model"),
        ("chat", {"allowed_token_ids": []}, "allows no answer"),
        ("chat", {"allowed_token_ids": [-1]}, "[-1] are no tokens"),
        ("chat", {"stop_token_ids": [99999]}, "[99999] are no tokens"),
        ("chat", {"bad_words": [""]}, "bad_words"),
        ("chat", {"tools": [TOOL], "tool_choice": "required"}, "to force a call"),
        ("chat", {"invented": 1}, "invented: no such parameter"),
        ("completions", {"logprobs": 21}, "0 to 20"),
        ("completions", {"logprobs": 1, "echo": True}, "logprobs of an echoed prompt"),
        ("completions", {"max_tokens": 0}, "max_tokens is 0"),
        ("completions", {"prompt": [[1, 99999]]}, "[99999] are no tokens"),
        ("completions", {"prompt": [[]]}, "The prompt is empty"),
    ],
)
def test_values_that_cannot_be(server: MlxServer, api: Api, parameters: dict[str, Any], words: str) -> None:
    parameters = dict(parameters)
    prompt = parameters.pop("prompt", None)
    found = answer(server, api, **parameters) if prompt is None else asyncio.run(complete(server, prompt, **parameters))
    assert found["error"]["code"] == 400
    assert words in found["error"]["message"]


def test_all_problems_are_told_at_once(server: MlxServer) -> None:
    found = answer(server, "chat", temperature=9, best_of=2, suffix="x", response_format={"type": "json_object"})
    assert [name in found["error"]["message"] for name in ("temperature", "best_of", "suffix", "response_format")] == [
        True
    ] * 4


@pytest.mark.parametrize("api", BOTH)
def test_defaults_that_are_sent_ask_for_nothing(server: MlxServer, api: Api) -> None:
    """Some clients send every parameter they know."""
    assert server.engine is not None
    plain = request(api)
    whole = type(plain)(**plain.model_dump(exclude={"request_id"}))
    assert len(given(whole)) > 40
    assert read_ask(api, whole, server.engine.model) == ask(server, api)
