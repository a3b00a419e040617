"""What is seen of each of OpenAI's parameters that an engine honours."""

# ruff: noqa: ANN401
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conformance_door import CONTEXT, DEFAULT, Door
from raylab_serving.parameters import Api

Proof = Callable[[Door, Api], None]
PROOFS: dict[str, Proof] = {}

HELLO = "Hello world. Goodbye"


def _object(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of objects with one field."""
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


YES_NO = _object("ok", {"type": "boolean"})
PARAMETERS = _object("city", {"enum": ["Rome"]})
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]


def proves(name: str) -> Callable[[Proof], Proof]:
    """The function shows what becomes of this parameter."""

    def keep(proof: Proof) -> Proof:
        PROOFS[name] = proof
        return proof

    return keep


def first_logprobs(door: Door, api: Api, **parameters: Any) -> dict[str, float]:
    """What the eight faces are given as the first throw, as far as the engine tells."""
    asked = {"logprobs": 8} if api == "completions" else {"logprobs": True, "top_logprobs": 8}
    found = door.ask(api, "[dice]", max_tokens=1, **asked, **parameters)["choices"][0]["logprobs"]
    if api == "completions":
        return dict(found["top_logprobs"][0])
    return {one["token"]: one["logprob"] for one in found["content"][0]["top_logprobs"]}


@proves("model")
def _model(door: Door, api: Api) -> None:
    assert door.ask(api, "[plain]")["model"] == door.engine
    assert door.post(api, "[plain]", model="nobody").status_code == 404


@proves("messages")
def _messages(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]") == HELLO
    assert door.text(api, [{"type": "text", "text": "[plain]"}]) == HELLO
    short = door.ask(api, "[plain]")["usage"]["prompt_tokens"]
    system = [{"role": "system", "content": "[dice]"}, {"role": "user", "content": "[plain]"}]
    assert door.ask(api, "", messages=system)["usage"]["prompt_tokens"] > short
    if door.engine == "mlx":
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        assert "text only" in door.refusal(api, [image])["message"]


@proves("prompt")
def _prompt(door: Door, api: Api) -> None:
    hello, rest = door.token("[plain]"), door.token("[rest]")
    assert door.texts(api, "[plain]") == door.texts(api, [hello]) == [HELLO]
    assert door.texts(api, ["[plain]", "[rest]"]) == door.texts(api, [[hello], [rest]]) == [HELLO, "I rest."]


@proves("max_tokens")
def _max_tokens(door: Door, api: Api) -> None:
    found = door.ask(api, "[dice]", max_tokens=3)
    assert found["usage"]["completion_tokens"] == 3
    assert found["choices"][0]["finish_reason"] == "length"
    # The model's own setting would be too much here, and is none of the client's business.
    long: Any = "[dice]" * 240 if api == "chat" else [door.token("[dice]")] * 490
    usage = door.ask(api, long)["usage"]
    assert usage["completion_tokens"] == CONTEXT - usage["prompt_tokens"] < 30
    streamed = door.events(api, long, stream_options={"include_usage": True})[-1]["usage"]
    assert streamed["completion_tokens"] == usage["completion_tokens"]
    # The client's own number is.
    assert door.refusal(api, long, max_tokens=DEFAULT)["param"] in ("max_tokens", "input_text", "input_tokens")


@proves("max_completion_tokens")
def _max_completion_tokens(door: Door, api: Api) -> None:
    found = door.ask(api, "[dice]", max_completion_tokens=3, max_tokens=5)
    assert found["usage"]["completion_tokens"] == 3


@proves("temperature")
def _temperature(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=12) == " ant" * 12
    assert door.text(api, "[dice]", max_tokens=12, temperature=2, seed=1) != " ant" * 12


@proves("top_p")
def _top_p(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=12, temperature=2, seed=1, top_p=0.01) == " ant" * 12


@proves("seed")
def _seed(door: Door, api: Api) -> None:
    one, again, other = (door.text(api, "[dice]", max_tokens=16, temperature=1, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    if door.engine == "mlx":
        asked = {"max_tokens": 16, "temperature": 1}
        assert door.texts(api, "[dice]", **asked, seed=1, n=2) == [one, other]


@proves("frequency_penalty")
def _frequency_penalty(door: Door, api: Api) -> None:
    """Counts: after each face has come once, the likeliest is as good as the others; its second time is too much."""
    found = door.text(api, "[dice]", max_tokens=10, frequency_penalty=2)
    assert found == " ant bee cat dog elk fox gnu hen ant bee"
    # The prompt does not count.
    assert door.text(api, "[dice] ant", max_tokens=1, frequency_penalty=2) == " ant"


@proves("presence_penalty")
def _presence_penalty(door: Door, api: Api) -> None:
    """Does not count: once all faces have come, the likeliest stays so."""
    found = door.text(api, "[dice]", max_tokens=10, presence_penalty=2)
    assert found == " ant bee cat dog elk fox gnu hen ant ant"
    assert door.text(api, "[dice] ant", max_tokens=1, presence_penalty=2) == " ant"


@proves("logit_bias")
def _logit_bias(door: Door, api: Api) -> None:
    ant, bee, hen = (str(door.token(face)) for face in (" ant", " bee", " hen"))
    assert door.text(api, "[dice]", max_tokens=2, logit_bias={ant: -100}) == " bee bee"
    assert door.text(api, "[dice]", max_tokens=2, logit_bias={hen: 100}) == " hen hen"
    # As if both were 100.
    assert door.text(api, "[dice]", max_tokens=2, logit_bias={bee: 100, hen: 150}) == " bee bee"


@proves("stop")
def _stop(door: Door, api: Api) -> None:
    # In one token, and over two.
    for stop, said in (("wor", "Hello "), (["never", "rld."], "Hello wo")):
        choice = door.ask(api, "[plain]", stop=stop)["choices"][0]
        assert (choice.get("text") or choice["message"]["content"]) == said
        assert choice["finish_reason"] == "stop"


@proves("n")
def _n(door: Door, api: Api) -> None:
    found = door.ask(api, "[dice]", max_tokens=16, temperature=1, n=3)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
    assert found["usage"]["completion_tokens"] == 48
    assert len(set(door.texts(api, "[dice]", max_tokens=16, temperature=1, n=3))) == 3
    assert "greedy" in door.refusal(api, "[dice]", n=2)["message"]


@proves("stream")
def _stream(door: Door, api: Api) -> None:
    events = door.events(api, "[plain]")
    choices = [choice for event in events for choice in event["choices"]]
    texts = [choice["text"] if api == "completions" else choice["delta"].get("content") or "" for choice in choices]
    assert "".join(texts) == HELLO
    assert len([text for text in texts if text]) > 1
    assert choices[-1]["finish_reason"] == "stop"
    assert not [event for event in events if event.get("usage")]


@proves("stream_options")
def _stream_options(door: Door, api: Api) -> None:
    options = {"include_usage": True, "include_obfuscation": True}
    *events, last = door.events(api, "[plain]", stream_options=options)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 5
    assert not [event for event in events if event.get("usage") or "obfuscation" in event]
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert all(event["usage"] for event in door.events(api, "[plain]", stream_options=options))


@proves("logprobs")
def _logprobs(door: Door, api: Api) -> None:
    asked: dict[str, Any] = {"logprobs": 1} if api == "completions" else {"logprobs": True}
    found = door.ask(api, "[plain]", max_tokens=2, **asked)["choices"][0]["logprobs"]
    if api == "completions":
        assert found["tokens"] == ["Hel", "lo wor"]
        assert found["token_logprobs"] == pytest.approx([0, 0], abs=1e-3)
        assert found["text_offset"] == [0, 3]
    else:
        assert [one["token"] for one in found["content"]] == ["Hel", "lo wor"]
        assert [one["logprob"] for one in found["content"]] == pytest.approx([0, 0], abs=1e-3)
        assert bytes(found["content"][0]["bytes"]) == b"Hel"
    plain = first_logprobs(door, api)
    assert plain[" ant"] == pytest.approx(-1.363, abs=0.02)
    # Temperature counts with neither engine, logit_bias and penalties with one.
    assert first_logprobs(door, api, temperature=2, seed=1)[" ant"] == pytest.approx(plain[" ant"], abs=1e-3)
    changed = first_logprobs(door, api, logit_bias={str(door.token(" bee")): -100})[" ant"]
    assert changed == pytest.approx(plain[" ant"] + (0 if door.engine == "vllm" else 0.222), abs=0.02)


@proves("top_logprobs")
def _top_logprobs(door: Door, api: Api) -> None:
    found = door.ask(api, "[dice]", max_tokens=2, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    assert [[top["token"] for top in one["top_logprobs"]] for one in found] == [[" ant", " bee"]] * 2


@proves("echo")
def _echo(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", echo=True) == f"[plain]{HELLO}"
    assert door.text(api, "[plain]", echo=True, max_tokens=0) == "[plain]"
    asked = {"echo": True, "logprobs": 1, "max_tokens": 1}
    if door.engine == "vllm":
        assert door.ask(api, "[plain]", **asked)["choices"][0]["logprobs"]["tokens"] == ["[plain]", "Hel"]
    else:
        assert door.refusal(api, "[plain]", **asked)["param"] == "logprobs"


@proves("reasoning_effort")
def _reasoning_effort(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", reasoning_effort="high") == "I tried."
    assert door.text(api, "[plain]", reasoning_effort="none") == "I rest."


@proves("response_format")
def _response_format(door: Door, api: Api) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": YES_NO, "strict": True}}
    assert json.loads(door.text(api, "[plain]", response_format=schema)) in ({"ok": True}, {"ok": False})
    assert json.loads(door.text(api, "[plain]", response_format={"type": "json_object"})) == {}
    assert door.text(api, "[plain]", response_format={"type": "text"}) == HELLO


def called(door: Door, start: str, **parameters: Any) -> list[tuple[str, Any]]:
    """The calls of an answer."""
    choice = door.ask("chat", start, tools=TOOLS, **parameters)["choices"][0]
    functions = [call["function"] for call in choice["message"].get("tool_calls") or []]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


ROME = ("weather", {"city": "Rome"})


@proves("tools")
def _tools(door: Door, api: Api) -> None:
    assert called(door, "[call]") == [ROME]
    assert door.ask(api, "[call]", tools=TOOLS)["choices"][0]["finish_reason"] == "tool_calls"
    bare, shown = (door.ask(api, "[plain]", **more)["usage"]["prompt_tokens"] for more in ({}, {"tools": TOOLS}))
    assert shown > bare
    assert door.text(api, "[plain]", tools=TOOLS) == HELLO


@proves("tool_choice")
def _tool_choice(door: Door, api: Api) -> None:
    assert called(door, "[call]", tool_choice="auto") == [ROME]
    assert door.text(api, "[call]", tools=TOOLS, tool_choice="none").startswith("<tool_call>")
    for forced in ("required", {"type": "function", "function": {"name": "weather"}}):
        if door.engine == "vllm":
            assert called(door, "[plain]", tool_choice=forced, max_tokens=60) == [ROME]
        else:
            assert door.refusal(api, "[plain]", tools=TOOLS, tool_choice=forced)["param"] == "tool_choice"


@proves("parallel_tool_calls")
def _parallel_tool_calls(door: Door, _api: Api) -> None:
    """The model calls until it is stopped, when it may not end."""
    asked = {"logit_bias": {str(door.token("<|im_end|>")): -100}, "max_tokens": 6}
    assert called(door, "[call]", **asked) == [ROME, ROME]
    assert called(door, "[call]", **asked, parallel_tool_calls=False) == [ROME]
