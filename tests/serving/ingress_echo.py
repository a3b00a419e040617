"""A server that answers what it was asked, and where; words of the prompt make it misbehave."""

# ruff: noqa: ANN401
from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ray
from ray.experimental.internal_kv import _internal_kv_put
from ray.llm._internal.serve.core.configs.openai_api_models import (
    ChatCompletionResponse,
    CompletionResponse,
    ErrorInfo,
    ErrorResponse,
)
from ray.llm._internal.serve.core.protocol import LLMServerProtocol
from raylab_serving import loading
from raylab_serving.errors import EngineFailed
from raylab_serving.placed import Placed

PART_S = 0.05


def mac() -> str:
    """The name of the simulated Mac that this runs on."""
    return str(ray.get_runtime_context().get_node_labels()["raylab.io/mac"])


class EchoServer(Placed, LLMServerProtocol):
    """Serves as soon as its gate is open: a file, named by the model's config."""

    async def __init__(self, llm_config: Any) -> None:
        super().__init__()
        self._config = llm_config
        await self.start()

    async def start(self) -> None:
        if tries := self._config.experimental_configs.get("broken"):
            with Path(tries).open("a") as file:
                file.write("tried\n")
            raise RuntimeError("this model never starts")
        gate = self._config.experimental_configs.get("gate")
        with loading.reporting(self._config.model_id, "loading weights"):
            while gate and not Path(gate).exists():
                await asyncio.sleep(PART_S)

    async def check_health(self) -> None:
        """Fine."""

    async def chat(self, request: Any, raw_request_info: Any = None) -> AsyncIterator[Any]:
        words = str(request.messages[-1]["content"]).split()
        here = mac()
        if f"die:{here}" in words:
            os._exit(1)
        if f"fail:{here}" in words:
            raise EngineFailed
        if "refuse" in words:
            yield _refusal("temperature must not be so high", "temperature")
            return
        if "long" in words and request.max_completion_tokens:
            yield _refusal("no room for so many tokens", "input_tokens")
            return
        if (request.min_tokens or 0) > (request.max_completion_tokens or request.min_tokens or 0):
            yield _refusal("min_tokens is more than max_completion_tokens", "min_tokens")
            return
        if request.stream:
            async for part in self._stream(request, words, here):
                yield [part]
            return
        if "slow" in words:
            await _forever(words[-1])
        yield ChatCompletionResponse(**_answer(request, self._said(request, here)))

    async def _stream(self, request: Any, words: list[str], here: str) -> AsyncIterator[str]:
        if f"fail-stream:{here}" in words:
            yield 'data: {"error": {"message": "EngineCore", "type": "InternalServerError", "code": 500}}\n\n'
            yield "data: [DONE]\n\n"
            return
        for word in [self._said(request, here), *words]:
            yield _chunk(request, word)
            if word == f"break:{here}":
                # What was said is on its way only when the loop has run.
                await asyncio.sleep(PART_S)
                os._exit(1)
        if "slow" in words:
            async for part in _ticks(request, words[-1]):
                yield part
        yield "data: [DONE]\n\n"

    async def completions(self, request: Any, raw_request_info: Any = None) -> AsyncIterator[Any]:
        yield CompletionResponse(
            id="cmpl-1",
            created=1,
            model=request.model,
            choices=[{"index": 0, "text": str(request.max_tokens), "finish_reason": "stop"}],
            usage={"prompt_tokens": 1, "total_tokens": 2, "completion_tokens": 1},
        )

    def _said(self, request: Any, here: str) -> str:
        said = {"mac": here, "pid": os.getpid(), "model": request.model, "limit": request.max_completion_tokens}
        return json.dumps(said)


async def _forever(name: str) -> None:
    try:
        _internal_kv_put(f"begun:{name}", "1")
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        _internal_kv_put(f"cancelled:{name}", "1")
        raise


async def _ticks(request: Any, name: str) -> AsyncIterator[str]:
    try:
        while True:
            await asyncio.sleep(PART_S)
            yield _chunk(request, "tick")
    except (asyncio.CancelledError, GeneratorExit):
        _internal_kv_put(f"cancelled:{name}", "1")
        raise


def _refusal(message: str, param: str) -> ErrorResponse:
    return ErrorResponse(error=ErrorInfo(message=message, type="BadRequestError", param=param, code=400))


def _answer(request: Any, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{uuid.uuid4()}",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "total_tokens": 2, "completion_tokens": 1},
    }


def _chunk(request: Any, text: str) -> str:
    content = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": request.model,
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return f"data: {json.dumps(content)}\n\n"
