"""mlx-lm as a server of Ray Serve's: requests of the OpenAI API in, answers out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from ray.llm._internal.serve.constants import MODEL_RESPONSE_BATCH_TIMEOUT_MS
from ray.llm._internal.serve.core.configs.openai_api_models import (
    ChatCompletionResponse,
    CompletionResponse,
    DetokenizeResponse,
    ErrorInfo,
    ErrorResponse,
    TokenizeResponse,
)
from ray.llm._internal.serve.core.protocol import LLMServerProtocol, RawRequestInfo
from ray.llm._internal.serve.utils.server_utils import get_serve_request_id

from raylab_serving import loading
from raylab_serving.mlx.answers import error_data
from raylab_serving.mlx.chat import Chat
from raylab_serving.mlx.completions import Completion, read_prompts
from raylab_serving.mlx.conversation import Conversation
from raylab_serving.mlx.engine import Engine
from raylab_serving.mlx.errors import BadRequest
from raylab_serving.mlx.options import read_options
from raylab_serving.mlx.requests import read_ask, valid_prompt
from raylab_serving.placed import Placed

T = TypeVar("T")
Answers = AsyncGenerator[Any, None]
# One of Ray's models of requests, which are those of vLLM.
Request = Any


class MlxServer(Placed, LLMServerProtocol):  # type: ignore[misc]
    """A replica: one model in this process, or this process's part of one that a ring holds."""

    async def __init__(self, llm_config: Any) -> None:  # type: ignore[misc]  # noqa: ANN401
        """Serve awaits this. Raises what `start` raises."""
        self._set(llm_config)
        await self.start()

    @classmethod
    def sync_init(cls, llm_config: Any) -> MlxServer:  # noqa: ANN401
        """A server that is not started yet."""
        server = cls.__new__(cls)
        server._set(llm_config)
        return server

    def _set(self, llm_config: Any) -> None:  # noqa: ANN401
        self._config = llm_config
        self._options = read_options(
            llm_config.model_id, llm_config.model_loading_config.model_source, llm_config.engine_kwargs
        )
        self.engine: Engine | None = None
        self._ring: Any = None
        # Templates and tokenizers take their time with long prompts, and only one thread at once.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="mlx-reader")

    async def start(self) -> None:
        """Load the model; in a ring, once all ranks are there. Raises ValueError or OSError saying what is wrong."""
        ring = self._config.experimental_configs.get("ring")
        if ring:
            from raylab_serving.mlx.ring import gather

            self._ring = await gather(ring, self._config.experimental_configs["ring_port"], self._options)
        try:
            report = partial(loading.report, self._options.model_id)
            self.engine = await asyncio.to_thread(Engine, self._options, report)
        except Exception as error:
            if self._ring is not None:
                self._ring.end(f"the model could not be loaded: {error!r}")
            raise
        finally:
            await asyncio.to_thread(loading.clear, self._options.model_id)
        if self._ring is not None:
            threading.Thread(target=self._end_together, name="mlx-ring", daemon=True).start()

    def _end_together(self) -> None:
        """A ring without one of its engines is of no use to anybody."""
        engine = self._running()
        engine.join()
        self._ring.end(f"the engine of rank 0 ended: {engine.failure!r}")

    def _running(self) -> Engine:
        assert self.engine is not None, "the server has not been started"
        return self.engine

    async def chat(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """One ChatCompletionResponse or ErrorResponse; for a stream, lists of events. Raises EngineFailed."""
        engine = self._running()

        def prepare() -> Chat:
            ask = read_ask("chat", request, engine.model)
            conversation = Conversation(request, engine.model, self._options.chat_template_kwargs)
            prompt = conversation.prompt(self._options.context)
            return Chat(engine, request, ask, prompt, f"chatcmpl-{_name(request, raw_request_info)}")

        async with aclosing(self._answers(prepare, request, ChatCompletionResponse)) as answers:
            async for answer in answers:
                yield answer

    async def completions(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """One CompletionResponse or ErrorResponse; for a stream, lists of events. Raises EngineFailed."""
        engine = self._running()

        def prepare() -> Completion:
            ask = read_ask("completions", request, engine.model)
            prompts = read_prompts(request, engine.model, self._options.context)
            return Completion(engine, request, ask, prompts, f"cmpl-{_name(request, raw_request_info)}")

        async with aclosing(self._answers(prepare, request, CompletionResponse)) as answers:
            async for answer in answers:
                yield answer

    async def _answers(
        self,
        prepare: Callable[[], Chat] | Callable[[], Completion],
        request: Any,  # noqa: ANN401
        response: type,
    ) -> Answers:
        self._running().check()
        try:
            asked: Chat | Completion = await self._read(prepare)
        except BadRequest as error:
            yield _error(error)
            return
        if not request.stream:
            yield response(**await asked.whole())
            return
        # Ray takes about a millisecond for each item. Its setting, and its default.
        pause = self._config.experimental_configs.get("stream_batching_interval_ms", MODEL_RESPONSE_BATCH_TIMEOUT_MS)
        async with aclosing(asked.stream(pause / 1000)) as batches:
            async for batch in batches:
                yield batch

    async def tokenize(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """The tokens of a text, or of a chat."""
        model = self._running().model

        def tokens() -> list[int]:
            if hasattr(request, "messages"):
                return list(Conversation(request, model, self._options.chat_template_kwargs).prompt().tokens)
            return list(model.tokenizer.encode(request.prompt, add_special_tokens=request.add_special_tokens))

        try:
            found = await self._read(tokens)
        except BadRequest as error:
            yield _error(error)
            return
        strings = model.tokenizer.convert_ids_to_tokens(found) if request.return_token_strs else None
        yield TokenizeResponse(count=len(found), max_model_len=self._options.context, tokens=found, token_strs=strings)

    async def detokenize(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """The text of tokens."""
        model = self._running().model
        try:
            text = await self._read(lambda: str(model.tokenizer.decode(valid_prompt(request.tokens, model))))
        except BadRequest as error:
            yield _error(error)
            return
        yield DetokenizeResponse(prompt=text)

    async def check_health(self) -> None:
        """Raises when the engine, or another rank of its ring, does not work any more."""
        self._running().check()
        if self._ring is not None:
            self._ring.check()

    async def reset_prefix_cache(self) -> None:
        """Forget the prompts that have been read."""
        self._running().forget()

    async def llm_config(self) -> Any:  # noqa: ANN401
        """The model's config, as Ray has it."""
        return self._config

    def __del__(self) -> None:
        """Serve calls this when a replica has finished its requests."""
        if getattr(self, "engine", None) is not None:
            self._running().stop()

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)


def _name(request: Any, info: RawRequestInfo | None) -> str:  # noqa: ANN401
    """What a request is called in logs and answers: as the client says, or as Serve does."""
    headers = {name.lower(): value for name, value in (info.headers if info else {}).items()}
    chosen = request.request_id if "request_id" in request.model_fields_set else ""
    # Serve gives every request such a header, so it says less than the client.
    return str(chosen or headers.get("x-request-id") or get_serve_request_id() or request.request_id)


def _error(error: BadRequest) -> ErrorResponse:
    return ErrorResponse(error=ErrorInfo(**error_data(error)))
