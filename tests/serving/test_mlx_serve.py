"""The whole way of a request: over HTTP, through the fleet's ingress and Ray Serve, to mlx-lm and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Told by the environment alone, and before Ray is imported.
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_SERVE_LOG_TO_STDERR="0")
SERVING = Path(__file__).resolve().parents[2] / "serving"
os.environ["PYTHONPATH"] = f"{SERVING}:{os.environ.get('PYTHONPATH', '')}"

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

import httpx
import openai
import ray
from free_ports import free_port
from ingress_cluster import apply, entry, model, status, until
from mlx_kit import MODEL, settings
from mlx_models import reciting
from ray import serve

from fleet.applications import ENTRY

# To write so much takes minutes.
CONTEXT = 200_000
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    ray.init(
        address="local",
        num_cpus=4,
        resources={"front-alpha": 1},
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        served = model(settings(reciting(), context=CONTEXT, concurrency=2))
        apply([entry(served), served])
        until(lambda: status(ENTRY) == status(served["name"]) == "RUNNING", 240)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)


def test_a_chat(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "hello"}],
        temperature=0,
        extra_body={"chat_template_kwargs": {"start": "[plain]"}},
    )
    assert found.choices[0].message.content == "Hello world. Goodbye"
    assert found.usage is not None
    assert found.usage.completion_tokens == 5


def test_a_stream_with_a_call_of_a_tool(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
            tools=[TOOL],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"chat_template_kwargs": {"start": "[call]"}},
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "I will ask.Done!"
    (call,) = [call for delta in deltas for call in delta.tool_calls or []]
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"
    assert chunks[-1].usage is not None


def test_a_completion_of_several_prompts(client: openai.OpenAI) -> None:
    found = client.completions.create(model=MODEL, prompt=["[plain]", "[space]"], temperature=0)
    assert [choice.text for choice in found.choices] == ["Hello world. Goodbye", " leading"]


def test_an_error_in_openais_form(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt=[5] * (CONTEXT + 5))
    assert f"maximum context length is {CONTEXT} tokens" in caught.value.message
    assert f"contains {CONTEXT + 5} input tokens" in caught.value.message
    with pytest.raises(openai.BadRequestError, match="response_format is not supported"):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "x"}], response_format={"type": "json_object"}
        )


def test_clients_that_go_away_free_their_places(url: str) -> None:
    """Two places, and both are taken by answers that nobody reads to their end."""
    long = {"model": MODEL, "prompt": "[long]", "temperature": 0, "max_tokens": CONTEXT - 10}

    def begin() -> None:
        with httpx.stream("POST", f"{url}/completions", json={**long, "stream": True}, timeout=60) as response:
            assert next(response.iter_lines()).startswith("data: ")

    def give_up() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/completions", json=long, timeout=0.5)

    with ThreadPoolExecutor() as clients:
        for leaving in (begin, give_up):
            for client in [clients.submit(leaving) for _ in range(2)]:
                client.result()
            short = httpx.post(f"{url}/completions", json={**long, "max_tokens": 3}, timeout=30)
            assert short.json()["choices"][0]["text"] == "ticktacktick"
