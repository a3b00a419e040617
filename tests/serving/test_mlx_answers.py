"""What clients are answered: messages and completions, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

from mlx_kit import MODEL, USER, chat, chat_chunks, complete, completion_chunks, config, only, prompt_of, serve
from mlx_models import CALL, lively, reciting
from ray.llm._internal.serve.core.configs.openai_api_models import (
    CompletionRequest,
)
from ray.llm._internal.serve.core.protocol import RawRequestInfo
from raylab_serving.mlx.server import MlxServer

TOOL = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {}}}


def started(path: str, **arguments: object) -> Iterator[MlxServer]:
    server = MlxServer.sync_init(config(path, **arguments))
    asyncio.run(server.start())
    yield server
    assert server.engine is not None
    server.engine.stop()
    server.engine.join()


@pytest.fixture(scope="module")
def server() -> Iterator[MlxServer]:
    yield from started(reciting())


@pytest.fixture(scope="module")
def random() -> Iterator[MlxServer]:
    yield from started(lively())


def say(server: MlxServer, start: str, **parameters: object) -> dict[str, Any]:
    """A chat whose answer is that recital."""
    return asyncio.run(chat(server, chat_template_kwargs={"start": start}, **parameters))


def streamed(server: MlxServer, start: str, **parameters: object) -> list[dict[str, Any]]:
    return asyncio.run(chat_chunks(server, chat_template_kwargs={"start": start}, **parameters))


def message(found: dict[str, Any], index: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = found["choices"][index]["message"]
    return content


def together(chunks: list[dict[str, Any]], index: int = 0) -> dict[str, Any]:
    """The message that a stream's parts add up to, and how it ended."""
    found: dict[str, Any] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index):
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                found.setdefault(name, []).extend({k: v for k, v in call.items() if k != "index"} for call in value)
            else:
                found[name] = found.get(name, "") + value
        if choice["finish_reason"] is not None:
            found |= {"finish_reason": choice["finish_reason"], "stop_reason": choice["stop_reason"]}
    return found


def test_an_answer(server: MlxServer) -> None:
    found = say(server, "[plain]", request_id="mine")
    assert found["id"] == "chatcmpl-mine"
    assert found["model"] == MODEL
    assert message(found) == {"role": "assistant", "content": "Hello world. Goodbye"}
    assert found["choices"][0]["finish_reason"] == "stop"
    usage = found["usage"]
    # Four tokens and the one that ends it.
    assert usage["completion_tokens"] == 5
    assert usage["total_tokens"] == usage["prompt_tokens"] + 5


def test_the_clients_own_name_of_a_request(server: MlxServer) -> None:
    request = CompletionRequest(model=MODEL, prompt="[plain]")
    found = asyncio.run(only(server.completions(request, RawRequestInfo(headers={"X-Request-Id": "header"}))))
    assert found["id"] == "cmpl-header"


@pytest.mark.parametrize("start", ["[plain]", "[think]", "[call]", "[accent]", "[space]", "[special]"])
@pytest.mark.parametrize("further", [{}, {"stop": ["o w", "see", "é a"]}, {"max_tokens": 3}, {"tools": [TOOL]}])
def test_a_stream_adds_up_to_the_whole(server: MlxServer, start: str, further: dict[str, Any]) -> None:
    whole = say(server, start, **further)["choices"][0]
    parts = together(streamed(server, start, **further))
    assert parts.pop("finish_reason") == whole["finish_reason"]
    assert parts.pop("stop_reason") == whole.get("stop_reason")
    for call in [*parts.get("tool_calls", []), *whole["message"].get("tool_calls", [])]:
        assert call.pop("id").startswith("call_")
    assert parts == {"content": "", **whole["message"]}


@pytest.mark.parametrize("temperature", [0, 1.3])
@pytest.mark.parametrize("stop", [[], ["e", "th"]])
def test_random_streams_add_up_too(random: MlxServer, temperature: float, stop: list[str]) -> None:
    for number in range(6):
        settings: dict[str, Any] = {"temperature": temperature, "seed": number, "stop": stop, "max_tokens": 40}
        whole = asyncio.run(complete(random, f"number {number}", **settings))["choices"][0]
        parts = asyncio.run(completion_chunks(random, f"number {number}", **settings))
        assert "".join(part["choices"][0]["text"] for part in parts) == whole["text"]
        assert parts[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
        assert not any(one in whole["text"] for one in stop)


def test_a_stream_begins_with_the_role_and_ends_with_the_reason(server: MlxServer) -> None:
    chunks = streamed(server, "[plain]")
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


def test_stop_strings_across_tokens(server: MlxServer) -> None:
    found = say(server, "[plain]", stop=["never", "world"])["choices"][0]
    assert found["message"]["content"] == "Hello "
    assert (found["finish_reason"], found["stop_reason"]) == ("stop", "world")
    chunks = streamed(server, "[plain]", stop="world")
    assert together(chunks)["content"] == "Hello "
    shown = say(server, "[plain]", stop="world", include_stop_str_in_output=True)
    assert message(shown)["content"] == "Hello world"


def test_tokens_that_end_an_answer(server: MlxServer) -> None:
    assert server.engine is not None
    token = server.engine.model.tokenizer.convert_tokens_to_ids("ld. Good")
    found = say(server, "[plain]", stop_token_ids=[token])["choices"][0]
    assert (found["message"]["content"], found["stop_reason"]) == ("Hello wor", token)
    kept = say(server, "[plain]", stop_token_ids=[token], include_stop_str_in_output=True)
    assert message(kept)["content"] == "Hello world. Good"
    on = say(server, "[plain]", ignore_eos=True, max_tokens=8)["choices"][0]
    assert on["finish_reason"] == "length"
    late = say(server, "[plain]", min_tokens=7, max_tokens=7)
    assert late["usage"]["completion_tokens"] == 7


def test_words_that_may_not_come(server: MlxServer) -> None:
    assert "tick" in message(say(server, "[long]", max_tokens=5))["content"]
    assert "tick" not in message(say(server, "[long]", max_tokens=5, bad_words=["tick"]))["content"]


def test_reasoning(server: MlxServer) -> None:
    assert message(say(server, "[think]")) == {"role": "assistant", "reasoning": "Let me see.", "content": "It is so."}


def test_reasoning_that_the_template_opened(server: MlxServer) -> None:
    assert message(say(server, "[think]<think>"))["reasoning"] == "Let me see."
    # What a user writes opens nothing.
    found = asyncio.run(chat(server, "I <think>", chat_template_kwargs={"start": "[plain]"}))
    assert message(found) == {"role": "assistant", "content": "Hello world. Goodbye"}


def test_reasoning_may_be_left_out(server: MlxServer) -> None:
    found = say(server, "[think]", include_reasoning=False, logprobs=True)
    assert message(found) == {"role": "assistant", "content": "It is so."}
    assert found["usage"]["completion_tokens"] == 7
    shown = [entry["token"] for entry in found["choices"][0]["logprobs"]["content"]]
    assert "Let me" not in shown
    assert "It is" in shown
    chunks = streamed(server, "[think]", include_reasoning=False)
    assert together(chunks)["content"] == "It is so."
    assert "reasoning" not in together(chunks)


def test_calls_of_tools(server: MlxServer) -> None:
    found = say(server, "[call]", tools=[TOOL])["choices"][0]
    assert found["finish_reason"] == "tool_calls"
    (call,) = found["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Rome"}
    assert found["message"]["content"] == "I will ask.Done!"
    assert '"of a city"' in prompt_of(server, USER, tools=[TOOL])
    # None is asked for.
    text = message(say(server, "[call]", tools=[TOOL], tool_choice="none"))
    assert text["content"] == f"I will ask.<tool_call>{CALL}</tool_call>Done!"
    assert "of a city" not in prompt_of(server, USER, tools=[TOOL], tool_choice="none")


def test_a_call_that_cannot_be_read_is_text() -> None:
    async def use(server: MlxServer) -> None:
        found = await chat(server, chat_template_kwargs={"start": "[call]"}, tools=[TOOL])
        assert message(found)["content"] == 'I will ask.<tool_call>{"name": </tool_call>Done!'
        assert found["choices"][0]["finish_reason"] == "stop"

    serve(use, reciting('{"name": '))


def test_only_one_call() -> None:
    two = '[{"name": "one", "arguments": {}}, {"name": "two", "arguments": "{}"}]'

    async def use(server: MlxServer) -> None:
        start = {"chat_template_kwargs": {"start": "[call]"}, "tools": [TOOL]}
        calls = message(await chat(server, **start))["tool_calls"]
        assert [call["function"] for call in calls] == [
            {"name": "one", "arguments": "{}"},
            {"name": "two", "arguments": "{}"},
        ]
        (call,) = message(await chat(server, **start, parallel_tool_calls=False))["tool_calls"]
        assert call["function"]["name"] == "one"
        chunks = await chat_chunks(server, **start)
        indices = [call["index"] for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
        assert indices == [0, 1]

    serve(use, reciting(two))


def test_tools_need_a_template_that_has_them(random: MlxServer) -> None:
    found = asyncio.run(chat(random, tools=[TOOL]))
    assert "the chat template of this model has none" in found["error"]["message"]


def test_several_choices(server: MlxServer) -> None:
    found = say(server, "[plain]", n=3, temperature=0.5)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in found["choices"]} == {"Hello world. Goodbye"}
    assert found["usage"]["completion_tokens"] == 15
    chunks = streamed(server, "[plain]", n=3, temperature=0.5, stream_options={"include_usage": True})
    assert [together(chunks, index)["content"] for index in range(3)] == ["Hello world. Goodbye"] * 3
    assert chunks[-1]["usage"]["completion_tokens"] == 15


def test_choices_of_a_seed(random: MlxServer) -> None:
    settings: dict[str, Any] = {"temperature": 1.0, "max_tokens": 12}
    several = asyncio.run(complete(random, "one", n=3, seed=7, **settings))["choices"]
    single = [asyncio.run(complete(random, "one", seed=seed, **settings))["choices"][0] for seed in (7, 8, 9)]
    assert [choice["text"] for choice in several] == [choice["text"] for choice in single]
    assert len({choice["text"] for choice in several}) == 3
    without = [asyncio.run(complete(random, "one", **settings))["choices"][0]["text"] for _ in range(2)]
    assert without[0] != without[1]


def test_the_authors_of_a_model_choose_what_the_client_does_not(random: MlxServer) -> None:
    assert random.engine is not None
    defaults: Any = random.engine.model.defaults
    defaults |= {"temperature": 0.0, "max_new_tokens": 7}
    try:
        found = asyncio.run(chat(random, temperature=None))
        assert found["usage"]["completion_tokens"] == 7
        assert message(found) == message(asyncio.run(chat(random, temperature=0)))
    finally:
        defaults.clear()


def test_probabilities_of_a_chat(server: MlxServer) -> None:
    found = say(server, "[plain]", logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in found] == ["Hel", "lo wor", "ld. Good", "bye", "<|im_end|>"]
    assert bytes(found[0]["bytes"]) == b"Hel"
    assert all(entry["logprob"] == entry["top_logprobs"][0]["logprob"] for entry in found)
    assert all(len(entry["top_logprobs"]) == 2 for entry in found)
    ids = say(server, "[plain]", logprobs=True, return_tokens_as_token_ids=True)["choices"][0]["logprobs"]["content"]
    assert all(entry["token"].startswith("token_id:") and entry["top_logprobs"] == [] for entry in ids)
    chunks = streamed(server, "[plain]", logprobs=True, top_logprobs=2)
    parts = [entry for chunk in chunks for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert parts == found


def test_probabilities_of_a_completion(server: MlxServer) -> None:
    found = asyncio.run(complete(server, "[plain]", logprobs=1))["choices"][0]["logprobs"]
    assert found["tokens"] == ["Hel", "lo wor", "ld. Good", "bye", "<|im_end|>"]
    assert found["text_offset"] == [0, 3, 9, 17, 20]
    assert [list(top) for top in found["top_logprobs"]] == [[token] for token in found["tokens"]]
    assert found["token_logprobs"] == [
        top[token] for top, token in zip(found["top_logprobs"], found["tokens"], strict=True)
    ]
    chunks = asyncio.run(completion_chunks(server, "[plain]", logprobs=1))
    tokens = [token for chunk in chunks for token in chunk["choices"][0]["logprobs"]["tokens"]]
    assert tokens == found["tokens"]


def test_prompts_of_completions(server: MlxServer) -> None:
    assert server.engine is not None
    token = server.engine.model.tokenizer.convert_tokens_to_ids("[plain]")
    expected = "Hello world. Goodbye"
    for prompt in ("[plain]", [token], ["[plain]"], [[token]]):
        assert [choice["text"] for choice in asyncio.run(complete(server, prompt))["choices"]] == [expected]
    found = asyncio.run(complete(server, ["[plain]", "[space]", "one [accent]"]))
    assert [choice["text"] for choice in found["choices"]] == [expected, " leading", "café au lait"]
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert found["usage"]["prompt_tokens"] > 3
    several = asyncio.run(complete(server, ["[plain]", "[space]"], n=2, temperature=0.5))
    assert [choice["text"] for choice in several["choices"]] == [expected, expected, " leading", " leading"]
    # A prompt counts once, however many choices it has.
    assert several["usage"]["prompt_tokens"] == 2
    chunks = asyncio.run(completion_chunks(server, ["[plain]", "[space]"]))
    texts = ["".join(one["text"] for part in chunks for one in part["choices"] if one["index"] == i) for i in (0, 1)]
    assert texts == [expected, " leading"]


def test_echo(server: MlxServer) -> None:
    assert (
        asyncio.run(complete(server, "x [plain]", echo=True))["choices"][0]["text"] == "x [plain]Hello world. Goodbye"
    )
    nothing = asyncio.run(complete(server, ["a", "b"], echo=True, max_tokens=0))
    assert [choice["text"] for choice in nothing["choices"]] == ["a", "b"]
    assert nothing["usage"]["completion_tokens"] == 0
    chunks = asyncio.run(completion_chunks(server, "x [plain]", echo=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "x [plain]Hello world. Goodbye"


def test_usage_of_streams(server: MlxServer) -> None:
    assert not any("usage" in chunk for chunk in streamed(server, "[plain]"))
    chunks = streamed(server, "[plain]", stream_options={"include_usage": True})
    whole = say(server, "[plain]")["usage"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole
    always = streamed(server, "[plain]", stream_options={"include_usage": True, "continuous_usage_stats": True})
    counts = [chunk["usage"]["completion_tokens"] for chunk in always]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 5)


def test_what_was_cached_is_told(random: MlxServer) -> None:
    story = "the head keeps the cluster's state and the others go on without it"
    asyncio.run(complete(random, story + " first", max_tokens=3))
    found = asyncio.run(complete(random, story + " second", max_tokens=3))["usage"]
    assert 10 < found["prompt_tokens_details"]["cached_tokens"] < found["prompt_tokens"]
    salted = asyncio.run(complete(random, story + " third", max_tokens=3, cache_salt="mine"))["usage"]
    assert salted["prompt_tokens_details"]["cached_tokens"] == 0
    asyncio.run(random.reset_prefix_cache())
    again = asyncio.run(complete(random, story + " fourth", max_tokens=3))["usage"]
    assert again["prompt_tokens_details"]["cached_tokens"] == 0


def test_a_prompt_longer_than_the_context(server: MlxServer) -> None:
    found = asyncio.run(complete(server, [5] * 600))["error"]
    assert found["code"] == 400
    assert "maximum context length is 512 tokens" in found["message"]
    assert "contains 600 input tokens" in found["message"]
    found = asyncio.run(complete(server, [5] * 500, max_tokens=13))["error"]
    assert "for a total of 513 tokens" in found["message"]
    assert found["param"] == "max_tokens"
    assert asyncio.run(complete(server, [5] * 500, max_tokens=12))["usage"]["prompt_tokens"] == 500


def test_without_max_tokens_a_chat_has_the_rest_of_the_context(server: MlxServer) -> None:
    found = say(server, "[long]")
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["total_tokens"] == 512
