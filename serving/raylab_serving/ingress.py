"""The OpenAI-compatible front of the fleet, one on every Mac; runs inside Ray Serve.

Ray's own front sends a request to any replica of the model, wherever that is, and lets it wait for as long as there is
none. This one prefers the replica on its own Mac, so that a Mac whose neighbour goes away does not notice; it asks
another replica when one fails before it has answered anything; and it says at once when a model cannot answer now.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from ray.llm._internal.serve.constants import DEFAULT_LLM_ROUTER_HTTP_TIMEOUT
from ray.llm._internal.serve.core.configs.openai_api_models import ErrorResponse, ModelCard, ModelList
from ray.llm._internal.serve.core.ingress.ingress import router_request_timeout
from ray.llm._internal.serve.core.ingress.utils import NON_STREAMING_RESPONSE_TYPES
from ray.llm._internal.serve.utils.server_utils import replace_prefix
from ray.serve.handle import DeploymentHandle
from ray.serve.llm.ingress import OpenAiIngress
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from raylab_serving import answers, handles, loading
from raylab_serving.calls import Call
from raylab_serving.catalog import Catalog, Model, Served
from raylab_serving.errors import (
    LOADING_RETRY_S,
    UNDERSTOOD,
    ApiError,
    EngineFailed,
    OpenAiErrors,
    answer,
    api_error,
    closed,
    is_failure,
)

# Seconds before each further attempt. A replica whose engine is dead refuses everything at once, until its health check
# has failed three times; together these outlast that. The first ones come soon: Serve chooses by chance, and may well
# choose the same replica again.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 2.5)
# Seconds between two looks whether a request that no replica has taken can still hope for one.
LOOK_S = 1.0
# Seconds for which one reading of a replica's progress serves every request that asks.
NEWS_S = 1.0


class AllowedOrigins(CORSMiddleware):  # type: ignore[misc]
    """Lets pages of these origins call, or of all for "*". Which they are is looked up for each request."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(app, allow_methods=["GET", "POST"], allow_headers=["*"])
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Starlette's hook."""
        return origin in self._origins or "*" in self._origins


class FleetIngress(OpenAiIngress):  # type: ignore[misc]
    """OpenAiIngress with other names for models, limits, and answers instead of silence.

    Its models are applications of their own. It has no arguments: what it knows of them comes by `reconfigure`.
    """

    def __init__(self) -> None:
        super().__init__({}, {})
        self._catalog = Catalog()
        # The middleware reads this list: it stays the same one.
        self._origins: list[str] = []
        # By application and deployment. A way to a model that is gone costs next to nothing, and may be used again.
        self._ways: dict[tuple[str, str], handles.Way] = {}
        self._news: dict[str, tuple[float, loading.Progress | None]] = {}

    async def reconfigure(self, known: Mapping[str, Sequence[Any]]) -> None:
        """Serve's hook, before the first request and for each change of the deployment's `user_config`.

        `known` has the `models`, each as the fields of Model, and `allowed_origins`: web pages that may call us.
        Requests on their way are not disturbed: they have what they need.
        """
        catalog = Catalog(Model(**about) for about in known["models"])
        for model in catalog.models:
            if (where := (model.application, model.deployment)) not in self._ways:
                self._ways[where] = handles.Way(*where)
        self._catalog = catalog
        self._origins[:] = known["allowed_origins"]

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve's hook: Ray's app, but closed to web pages of others, and with errors in OpenAI's form."""
        app: FastAPI = self.app
        replaced = (CORSMiddleware, BaseHTTPMiddleware)
        app.user_middleware = [entry for entry in app.user_middleware if entry.cls not in replaced]
        app.add_middleware(OpenAiErrors)
        app.add_middleware(AllowedOrigins, origins=self._origins)
        app.add_exception_handler(RequestValidationError, answer)
        app.add_exception_handler(HTTPException, answer)
        return app

    async def models(self) -> ModelList:
        """Every name that a request may give."""
        return ModelList(data=[self._card(served) for served in self._catalog])

    async def model_data(self, model: str) -> ModelCard:
        """One of them. In a path, Ray's clients may write -- for the / of a name."""
        return self._card(
            self._catalog.get(model) or self._catalog.get(replace_prefix(model)) or self._catalog.find(model)
        )

    def _card(self, served: Served) -> ModelCard:
        model = served.model
        # As Ray's own ingress tells them.
        about = {"model_id": model.id, "input_modality": "text", "max_request_context_length": model.context}
        if served.is_adapter:
            about["base_model_id"] = model.id
        return ModelCard(id=served.name, object="model", owned_by="organization-owner", permission=[], metadata=about)

    async def _process_llm_request(
        self,
        body: Any,  # noqa: ANN401
        call_method: str,
        raw_request: Request | None = None,
    ) -> Response:
        """Ray's, but an engine's refusal keeps its own words, and a stream that breaks says so."""
        parts = self._get_response(body=body, call_method=call_method, raw_request=raw_request)
        async with router_request_timeout(DEFAULT_LLM_ROUTER_HTTP_TIMEOUT):
            part = await anext(parts)
        first = answers.head(part)
        if isinstance(first, ErrorResponse):
            told = first.error
            raise ApiError(told.code, told.message, kind=told.type, code=told.code, param=told.param)
        if isinstance(first, NON_STREAMING_RESPONSE_TYPES):
            await parts.aclose()
            return JSONResponse(first.model_dump())
        return StreamingResponse(_stream(part, parts), media_type="text/event-stream")

    async def _get_response(
        self,
        *,
        body: Any,  # noqa: ANN401
        call_method: str,
        raw_request: Request | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The answer's parts; from another replica when one fails before the first part."""
        if raw_request is not None:
            setattr(raw_request.state, UNDERSTOOD, True)
        served = self._catalog.find(body.model)
        way = self._ways[served.model.application, served.model.deployment]
        call = await Call.made(call_method, body, raw_request, served)
        handle, pauses = way.near, iter(PAUSES)
        while True:
            begun = False
            try:
                async with contextlib.aclosing(self._parts(served.model.id, way, handle, call)) as parts:
                    async for part in parts:
                        if not begun and call.lifts_limit(part):
                            break
                        begun = True
                        yield answers.renamed(part, served.name) if served.is_alias else part
                    else:
                        return
            except Exception as error:
                if begun:
                    raise
                pause = next(pauses, None)
                if pause is None or call.here or not is_failure(error):
                    # Ours already: Serve has an answer of its own to errors of its own.
                    raise api_error(error) from error
                await asyncio.sleep(pause)
                handle = way.anywhere

    async def _parts(
        self, model: str, way: handles.Way, handle: DeploymentHandle, call: Call
    ) -> AsyncGenerator[Any, None]:
        """One replica's answer. Its work ends when nobody wants it any more."""
        await self._check_ready(model, way, call.here)
        response = call.send(handle)
        begun = False
        try:
            taken = handles.taken(response)
            while not (await asyncio.wait({taken}, timeout=LOOK_S))[0]:
                await self._check_ready(model, way, call.here)
            async for part in response:
                if not begun and answers.failed_start(part):
                    raise EngineFailed(model)
                begun = True
                yield part
        except BaseException:
            # A whole answer is complete with its one part, though nobody asks whether there are more.
            if call.is_stream or not begun:
                with contextlib.suppress(Exception):
                    response.cancel()
            raise

    async def _check_ready(self, model: str, way: handles.Way, here: bool) -> None:
        """Raise ApiError when no replica could take a request now: Serve would let it wait, however long."""
        if await way.replicas(here):
            return
        progress = await self._progress(model)
        if way.is_closed and not progress:
            raise closed(f'the model "{model}"')
        lacking = f"has no replica {'on this Mac ' if here else ''}that takes requests now"
        state = f"is not ready: {progress}" if progress else lacking
        message = f'The model "{model}" {state}. Try again later.'
        raise ApiError(503, message, code="model_not_ready", retry_after=LOADING_RETRY_S)

    async def _progress(self, model: str) -> loading.Progress | None:
        """What the model's replicas say of themselves; not asked for by every request that is refused."""
        read_at, known = self._news.get(model, (-NEWS_S, None))
        if time.monotonic() - read_at < NEWS_S:
            return known
        self._news[model] = (time.monotonic(), known)
        with contextlib.suppress(TimeoutError):
            known = await asyncio.wait_for(asyncio.to_thread(loading.progress, model), NEWS_S)
        self._news[model] = (time.monotonic(), known)
        return known


async def _stream(first: Any, parts: AsyncGenerator[Any, None]) -> AsyncGenerator[str, None]:  # noqa: ANN401
    """Server-sent events. When the answer breaks off, the last of them says so: its status has gone out long ago."""
    text = answers.events(first)
    try:
        async with contextlib.aclosing(parts):
            yield text
            async for part in parts:
                text = answers.events(part)
                yield text
    except Exception as error:
        message = "The replica that worked on this answer failed: there is no more of it."
        told = ApiError(502, message, code="replica_lost") if is_failure(error) else api_error(error)
        yield told.event()
        return
    if not text.endswith(answers.DONE):
        yield answers.DONE
