"""Whatever goes wrong before the first byte of an answer, in the form that OpenAI's clients read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from ray.exceptions import RayActorError, RayTaskError
from ray.llm._internal.common.errors import VLLM_CLIENT_ERRORS
from ray.llm._internal.serve.core.configs.openai_api_models import OpenAIHTTPException
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

logger = logging.getLogger("ray.serve")

# Seconds after which a client should ask again: a place in the queue may be free by then, a replica there, or a person.
BUSY_RETRY_S = 1
LOADING_RETRY_S = 5
CLOSED_RETRY_S = 60

# vLLM's words for: this engine does not answer any more, whatever it is asked; and ours.
ENGINE_FAILURES = frozenset({"EngineDeadError", "EngineGenerateError", "EngineFailed"})

# What the ingress notes in a request's state once it has it whole: errors before that are the client's.
UNDERSTOOD = "raylab_understood"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "",
        code: str | int | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or ("invalid_request_error" if status < 500 else "server_error")
        self.code = code
        self.param = param
        self.retry_after = retry_after
        """Seconds."""

    def body(self) -> dict[str, Any]:
        """OpenAI's form."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """As HTTP answers it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}
        return JSONResponse(self.body(), status_code=self.status, headers=headers)

    def event(self) -> str:
        """As a stream tells it that has begun: no more can follow."""
        return f"data: {json.dumps(self.body())}\n\n"


def api_error(error: BaseException) -> ApiError:
    """What a client is told of any error."""
    if isinstance(error, ApiError):
        return error
    for kinds, told in _KINDS:
        if isinstance(error, kinds):
            return told(error)
    if is_failure(error):
        return _lost(error)
    return ApiError(500, "Something went wrong here. The log of the ingress says what.", code="internal_error")


class EngineFailed(Exception):
    """An engine does not answer any more, whatever it is asked: another replica may."""


def is_failure(error: BaseException) -> bool:
    """Whether it was the replica's fault, so that another one may do better."""
    if isinstance(error, (RayActorError, EngineFailed)):
        return True
    return isinstance(error, RayTaskError) and type(error.cause).__name__ in ENGINE_FAILURES


def _busy(error: Any) -> ApiError:  # noqa: ANN401
    message = "Every replica of this model is busy, and as many requests wait as may. Try again."
    wait = BUSY_RETRY_S if error.retry_after_s is None else error.retry_after_s
    return ApiError(error.status_code, message, kind="overloaded_error", code="queue_full", retry_after=wait)


def closed(model: str) -> ApiError:
    """For a model that Serve starts no replicas of; which of the two reasons it has, it does not tell a front."""
    message = (
        f"Serve starts no replicas of {model}: they failed to start too often, which the state of its deployment tells "
        "more of, or it was taken away a moment ago."
    )
    return ApiError(503, message, code="model_failed", retry_after=CLOSED_RETRY_S)


def _closed(_error: Any) -> ApiError:  # noqa: ANN401
    return closed("this model")


def _lost(_error: Any) -> ApiError:  # noqa: ANN401
    message = "The replica that worked on this failed, and so did each one that was asked instead. Try again."
    return ApiError(503, message, code="replica_lost", retry_after=BUSY_RETRY_S)


def _invalid(error: Any) -> ApiError:  # noqa: ANN401
    first = (error.errors() or [{"type": "", "loc": (), "msg": "it cannot be read"}])[0]
    steps = [str(step) for step in first["loc"] if step != "body"]
    if first["type"] == "json_invalid":
        message = f"The body is not JSON: {first['ctx']['error']} at character {steps[0]}"
        return ApiError(400, message, code="invalid_json")
    param = ".".join(steps)
    message = f"{param or 'The body, which must be a JSON object'}: {first['msg']}"
    return ApiError(400, message, code="invalid_parameter", param=param or None)


def _http(error: Any) -> ApiError:  # noqa: ANN401
    return ApiError(error.status_code, str(error.detail))


def _ray_http(error: Any) -> ApiError:  # noqa: ANN401
    return ApiError(error.status_code, error.message, kind=error.type)


def _vllm_client(error: Any) -> ApiError:  # noqa: ANN401
    return ApiError(400, str(getattr(error, "cause", error)), param=getattr(error, "parameter", None))


# The first that fits counts. An error of a replica arrives as an instance of its own class and of RayTaskError.
_KINDS: tuple[tuple[Any, Callable[[Any], ApiError]], ...] = (
    (BackPressureError, _busy),
    (DeploymentUnavailableError, _closed),
    (RequestValidationError, _invalid),
    (HTTPException, _http),
    (OpenAIHTTPException, _ray_http),
    (VLLM_CLIENT_ERRORS, _vllm_client),
)


async def answer(_request: Request, error: Exception) -> JSONResponse:
    """FastAPI's handler of errors that it knows."""
    return api_error(error).response()


class OpenAiErrors:
    """ASGI middleware: an error that nobody handled becomes an answer, unless one has begun."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        begun = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            told = api_error(error)
            if told.status == 500 and scope["method"] == "POST" and not scope.get("state", {}).get(UNDERSTOOD):
                # vLLM's own checks stumble over bodies that are no objects at all.
                told = ApiError(400, "The body cannot be read: it must be a JSON object.", code="invalid_parameter")
            if told.status >= 500:
                logger.error("A request failed: %s", told.message, exc_info=error)
            await told.response()(scope, receive, send)
