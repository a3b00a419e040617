"""The server itself: clients that go away, an engine that fails, tokens of a text, settings that cannot be."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

from mlx_kit import MODEL, USER, chat, complete, config, only, serve
from mlx_models import lively, reciting
from ray.llm._internal.serve.core.configs.openai_api_models import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)
from raylab_serving.mlx.answers import DONE
from raylab_serving.mlx.errors import EngineFailed
from raylab_serving.mlx.server import MlxServer


async def until(server: MlxServer, tokens: int) -> None:
    """Wait until the engine has written so many tokens."""
    assert server.engine is not None
    while server.engine.counters.tokens < tokens:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choices", [1, 3])
def test_a_client_that_goes_away_frees_its_place(stream: bool, choices: int) -> None:
    async def use(server: MlxServer) -> None:
        request = {
            "model": MODEL,
            "prompt": "one",
            "max_tokens": 450,
            "ignore_eos": True,
            "n": choices,
            "stream": stream,
        }

        async def read() -> None:
            async for _ in server.completions(CompletionRequest(**request)):
                pass

        client = asyncio.create_task(read())
        await until(server, 10)
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        found = await complete(server, "two", max_tokens=5)
        assert found["usage"]["completion_tokens"] <= 5
        assert server.engine is not None
        assert server.engine.counters.tokens < 450

    serve(use, lively(), concurrency=1)


def test_a_stream_that_is_closed_frees_its_place() -> None:
    async def use(server: MlxServer) -> None:
        answers = server.completions(
            CompletionRequest(model=MODEL, prompt="one", max_tokens=450, ignore_eos=True, stream=True)
        )
        await anext(answers)
        await answers.aclose()
        await complete(server, "two", max_tokens=5)
        assert server.engine is not None
        assert server.engine.counters.tokens < 450

    serve(use, lively(), concurrency=1)


def test_a_dead_engine_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(server: MlxServer) -> None:
        assert server.engine is not None
        await server.check_health()
        request = {"model": MODEL, "messages": [USER], "ignore_eos": True, "stream": True}
        begun = server.chat(ChatCompletionRequest(**request))
        await anext(begun)
        waiting = asyncio.create_task(chat(server))
        monkeypatch.setattr(type(server.engine.model.network), "__call__", None)
        # What has begun can only say so; what has not, the ingress can ask elsewhere.
        batches = [batch async for batch in begun]
        assert batches[-1][-1] == DONE
        error = json.loads(batches[-1][-2].removeprefix("data: "))["error"]
        assert (error["code"], error["type"]) == (500, "server_error")
        for failing in (waiting, chat(server), complete(server), server.check_health()):
            with pytest.raises(EngineFailed):
                await failing
        monkeypatch.undo()

    serve(use, lively(), concurrency=1)


def test_tokens_of_a_text_and_back() -> None:
    async def use(server: MlxServer) -> None:
        tokenized = await only(server.tokenize(TokenizeCompletionRequest(prompt="[plain] é", return_token_strs=True)))
        assert tokenized["count"] == len(tokenized["tokens"]) == len(tokenized["token_strs"])
        assert tokenized["max_model_len"] == 512
        text = await only(server.detokenize(DetokenizeRequest(tokens=tokenized["tokens"])))
        assert text["prompt"] == "[plain] é"
        shown = await only(server.tokenize(TokenizeChatRequest(messages=[USER])))
        back = await only(server.detokenize(DetokenizeRequest(tokens=shown["tokens"])))
        assert back["prompt"] == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
        wrong = await only(server.detokenize(DetokenizeRequest(tokens=[99999])))
        assert wrong["error"]["code"] == 400

    serve(use, reciting())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"context": 0}, "context is 0, not a whole number above 0"),
        ({"max_model_len": 5}, "mlx has no max_model_len; it has context, "),
        ({"cache_gb": None}, "cache_gb is missing"),
        ({"chat_template": "/no/such/file"}, "No such file"),
        ({"pipeline": "yes"}, "pipeline is 'yes', not true or false"),
    ],
)
def test_settings_that_cannot_be(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MlxServer.sync_init(config(reciting(), **arguments))


def test_weights_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="is not the folder of a model on this Mac"):
        MlxServer.sync_init(config("org/name"))
