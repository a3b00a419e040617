"""Servers around small models, and what clients ask them, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ray.llm._internal.serve.core.configs.openai_api_models import (
    ChatCompletionRequest,
    CompletionRequest,
    ErrorResponse,
)
from ray.serve.llm import LLMConfig
from raylab_serving.mlx.conversation import Conversation
from raylab_serving.mlx.server import MlxServer

T = TypeVar("T")

MODEL = "tests/model"
USER = {"role": "user", "content": "hello"}


def settings(path: str, **arguments: object) -> dict[str, Any]:
    """As the fleet renders them."""
    return {
        "model_loading_config": {"model_id": MODEL, "model_source": path},
        "accelerator_config": {"kind": "cpu"},
        "server_cls": "raylab_serving.mlx:MlxServer",
        "engine_kwargs": {"context": 512, "concurrency": 8, "cache_gb": 0.05, **arguments},
        "placement_group_config": {"bundles": [{"CPU": 1}], "strategy": "PACK"},
        "deployment_config": {"ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 8},
        "experimental_configs": {"stream_batching_interval_ms": 0},
    }


def config(path: str, **arguments: object) -> LLMConfig:
    """As an engine's server gets them."""
    return LLMConfig(**settings(path, **arguments))


@contextmanager
def started(given: LLMConfig) -> Iterator[MlxServer]:
    """A server that has started, outside of any event loop; it is stopped afterwards."""
    made = MlxServer.sync_init(given)
    asyncio.run(made.start())
    yield made
    assert made.engine is not None
    made.engine.stop()
    made.engine.join()


def serve(use: Callable[[MlxServer], Awaitable[T]], path: str, **arguments: object) -> T:
    """What `use` makes of a server that has started; it is stopped afterwards."""

    async def whole() -> T:
        server = MlxServer.sync_init(config(path, **arguments))
        await server.start()
        try:
            return await asyncio.wait_for(use(server), 60)
        finally:
            assert server.engine is not None
            server.engine.stop()
            server.engine.join()

    return asyncio.run(whole())


async def chat(server: MlxServer, text: str = "hello", **parameters: object) -> dict[str, Any]:
    """The answer to one message, or the error."""
    request = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0, **parameters}
    return await only(server.chat(ChatCompletionRequest(**request)))


async def complete(server: MlxServer, prompt: object = "hello", **parameters: object) -> dict[str, Any]:
    """The completion of one prompt, or the error."""
    return await only(
        server.completions(CompletionRequest(**{"model": MODEL, "prompt": prompt, "temperature": 0, **parameters}))
    )


async def only(answers: Any) -> dict[str, Any]:  # noqa: ANN401
    """The one item of an answer that is no stream, as data."""
    (answer,) = [item async for item in answers]
    data: dict[str, Any] = answer.model_dump(exclude_none=True)
    assert isinstance(answer, ErrorResponse) == ("error" in data)
    return data


async def chunks(answers: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The events of a stream, without the [DONE] that must be the last."""
    events = [event async for batch in answers for event in batch]
    assert events[-1] == "data: [DONE]\n\n"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


async def chat_chunks(server: MlxServer, text: str = "hello", **parameters: object) -> list[dict[str, Any]]:
    """As `chat`, streamed."""
    request = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0}
    return await chunks(server.chat(ChatCompletionRequest(**{**request, "stream": True, **parameters})))


async def completion_chunks(server: MlxServer, prompt: object = "hello", **parameters: object) -> list[dict[str, Any]]:
    """As `complete`, streamed."""
    request = {"model": MODEL, "prompt": prompt, "stream": True, "temperature": 0, **parameters}
    return await chunks(server.completions(CompletionRequest(**request)))


def prompt_of(server: MlxServer, *messages: dict[str, Any], **parameters: Any) -> str:  # noqa: ANN401
    """What the model is given."""
    assert server.engine is not None
    request = ChatCompletionRequest(model=MODEL, messages=list(messages), **parameters)
    tokens = Conversation(request, server.engine.model, {}).prompt().tokens
    return str(server.engine.model.tokenizer.decode(tokens))
