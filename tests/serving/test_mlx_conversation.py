"""What the model is given: messages, tools and the template's variables, as one text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

from mlx_kit import USER, chat, complete, config, prompt_of, serve, started
from mlx_models import reciting
from raylab_serving.mlx.errors import BadRequest
from raylab_serving.mlx.server import MlxServer


@pytest.fixture(scope="module")
def server() -> Iterator[MlxServer]:
    with started(config(reciting())) as made:
        yield made


def test_messages(server: MlxServer) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert "user\none\ntwo" in prompt_of(server, {"role": "user", "content": parts})
    assert "system\nbe brief" in prompt_of(server, {"role": "developer", "content": "be brief"}, USER)
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert "assistant\n<tool_call>" in prompt_of(
        server, USER, said, {"role": "tool", "content": "4", "tool_call_id": "1"}
    )
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(BadRequest, match="text only, not image_url"):
        prompt_of(server, {"role": "user", "content": [image]})
    broken = {**call, "function": {"name": "weather", "arguments": "{"}}
    with pytest.raises(BadRequest, match="not JSON"):
        prompt_of(server, USER, {**said, "tool_calls": [broken]})
    with pytest.raises(BadRequest, match="messages: there is none"):
        prompt_of(server)


def test_the_template_is_given_what_the_request_says() -> None:
    template = (
        "{{ messages[0].content }} {{ documents }} {{ reasoning_effort }} {{ enable_thinking }} {{ mood }}"
        "{% if messages[0].content == 'no' %}{{ raise_exception('not this') }}{% endif %}"
    )

    async def use(server: MlxServer) -> None:
        given: dict[str, Any] = {"documents": [{"title": "a"}], "reasoning_effort": "none"}
        assert prompt_of(server, USER, **given) == "hello [{'title': 'a'}] none False "
        assert prompt_of(server, USER, chat_template_kwargs={"mood": "glad"}) == "hello None  True glad"
        refused = await chat(server, "no")
        assert refused["error"]["code"] == 400
        assert "refuses these messages: not this" in refused["error"]["message"]

    serve(use, reciting(), chat_template=template)


def test_the_templates_variables_have_defaults() -> None:
    async def use(server: MlxServer) -> None:
        assert (await chat(server))["choices"][0]["message"]["content"] == "Hello world. Goodbye"
        other = await chat(server, chat_template_kwargs={"start": "[space]"})
        assert other["choices"][0]["message"]["content"] == " leading"

    serve(use, reciting(), chat_template_kwargs={"start": "[plain]"})


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "tokenizer_kwargs", "add_generation_prompt"])
def test_the_templates_variables_are_no_way_around_it(server: MlxServer, name: str) -> None:
    """A template of the client's would run on the Mac, for as long as it likes."""
    refused = asyncio.run(chat(server, chat_template_kwargs={name: "{{ 1 }}", "mood": "glad"}))["error"]
    assert refused["code"] == 400
    assert refused["message"] == f"chat_template_kwargs: {name} cannot be set there"


def test_what_a_template_makes_of_odd_variables_is_the_clients_error() -> None:
    async def use(server: MlxServer) -> None:
        refused = (await chat(server, chat_template_kwargs={"parts": 0}))["error"]
        assert refused["code"] == 400
        assert "division" in refused["message"]

    serve(use, reciting(), chat_template="{{ 1 / parts }}")


def test_a_text_that_cannot_fit_is_not_even_read(server: MlxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.engine is not None
    model = server.engine.model
    monkeypatch.setattr(type(model.tokenizer._tokenizer), "encode", lambda *_, **__: pytest.fail("it was read"))
    long = "x" * (server.engine.options.context * model.longest + 1)
    for answer in (chat(server, long), complete(server, long)):
        refused = asyncio.run(answer)["error"]
        assert refused["code"] == 400
        assert "maximum context length" in refused["message"]


def test_tokens_without_a_place_in_the_model_are_refused(server: MlxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer may know more of them: mlx would read, or write, elsewhere in memory."""
    assert server.engine is not None
    model = server.engine.model
    [beyond] = model.tokenizer.encode("[plain]", add_special_tokens=False)
    monkeypatch.setattr(server.engine, "model", replace(model, vocabulary=beyond))
    assert asyncio.run(chat(server, "[plain]"))["error"]["param"] == "messages"
    monkeypatch.setattr(server.engine, "model", replace(model, vocabulary=model.vocabulary))
    assert "error" not in asyncio.run(chat(server, "hello", bad_words=["[plain]"]))
    monkeypatch.setattr(server.engine, "model", replace(model, vocabulary=beyond))
    assert asyncio.run(chat(server, "hello", bad_words=["[plain]"]))["error"]["param"] == "bad_words"


def test_a_model_without_a_template_does_not_chat(server: MlxServer) -> None:
    assert server.engine is not None
    tokenizer = server.engine.model.tokenizer
    tokenizer.has_chat_template = False
    try:
        assert "no chat template" in asyncio.run(chat(server))["error"]["message"]
    finally:
        tokenizer.has_chat_template = True


def test_where_the_prompt_ends(server: MlxServer) -> None:
    assert prompt_of(server, USER).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert prompt_of(server, USER, add_generation_prompt=False).endswith("hello<|im_end|>\n")
    begun = {"role": "assistant", "content": "I say"}
    going_on = {"continue_final_message": True, "add_generation_prompt": False}
    assert prompt_of(server, USER, begun, **going_on).endswith("assistant\nI say")


def test_special_tokens_of_a_prompt(server: MlxServer) -> None:
    assert server.engine is not None
    tokenizer = server.engine.model.tokenizer
    seen = []
    encode = tokenizer.encode
    tokenizer._tokenizer.encode = lambda text, **settings: (seen.append(settings["add_special_tokens"]), encode(text))[
        1
    ]
    try:
        asyncio.run(complete(server, "[plain]", add_special_tokens=False))
        asyncio.run(complete(server, "[plain]"))
        prompt_of(server, USER, add_special_tokens=True)
        prompt_of(server, USER)
    finally:
        del tokenizer._tokenizer.encode
    assert seen == [False, True, True, False]
