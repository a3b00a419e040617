"""One request on its way to replicas: the same whichever of them is asked."""

from __future__ import annotations

from typing import Any

from ray.llm._internal.serve.core.configs.openai_api_models import (
    ChatCompletionRequest,
    CompletionRequest,
    ErrorResponse,
)
from ray.llm._internal.serve.core.ingress.utils import _sanitize_chat_completion_request
from ray.llm._internal.serve.core.protocol import RawRequestInfo
from ray.serve._private.http_util import session_id_from_headers
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

from raylab_serving import answers
from raylab_serving.catalog import Served
from raylab_serving.errors import ApiError

# Where each kind of request says how long its answer may get; the first is the one that we set.
_LIMITS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (ChatCompletionRequest, ("max_completion_tokens", "max_tokens")),
    (CompletionRequest, ("max_tokens",)),
)
# What engines name as the cause when a prompt leaves no room for as long an answer as the request allows, or when it
# allows less than the client wants at least.
_TOO_LONG = frozenset({"max_tokens", "max_completion_tokens", "min_tokens", "input_tokens", "input_text"})

# What a roll sends to see whether the Mac serves that it asks: no other one shall answer for it.
HERE = "x-raylab-here"


class Call:
    """What a replica is sent."""

    def __init__(self, method: str, body: Any, raw: Request | None) -> None:  # noqa: ANN401
        self.body = body
        self._method = method
        self._info = RawRequestInfo.from_starlette_request(raw) if raw else None
        self._session = session_id_from_headers(raw.headers) if raw else None
        self._limit = ""
        self.here = raw is not None and HERE in raw.headers
        """Whether only a replica on this Mac may answer it, and nobody is asked in its place."""

    @classmethod
    async def made(cls, method: str, body: Any, raw: Request | None, served: Served) -> Call:  # noqa: ANN401
        """The call for a client's request. Raises ApiError for one that cannot be sent."""
        body.model = served.known_as
        if isinstance(body, ChatCompletionRequest):
            try:
                body = _sanitize_chat_completion_request(body)
            # Parts of a message are only read now.
            except ValueError as error:
                raise ApiError(
                    400, str(error.__cause__ or error), code="invalid_parameter", param="messages"
                ) from error
        call = cls(method, body, raw)
        if served.model.max_tokens and raw:
            await call._set_limit(served.model.max_tokens, raw)
        return call

    async def _set_limit(self, max_tokens: int, raw: Request) -> None:
        """The default of a request that names no limit; a parsed request does not tell, it has vLLM's default."""
        names = next((names for kind, names in _LIMITS if isinstance(self.body, kind)), ())
        if not names:
            return
        given = await raw.json()
        if all(given.get(name) is None for name in names):
            self._limit = names[0]
            setattr(self.body, self._limit, max_tokens)

    def lifts_limit(self, part: Any) -> bool:  # noqa: ANN401
        """Whether the first part of an answer refuses a limit that is ours, not the client's: it is gone then.

        An answer may then fill what the prompt leaves of the context, which is less than the limit.
        """
        first = answers.head(part)
        if not self._limit or not isinstance(first, ErrorResponse) or first.error.param not in _TOO_LONG:
            return False
        setattr(self.body, self._limit, None)
        self._limit = ""
        return True

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes in parts."""
        return bool(getattr(self.body, "stream", False))

    def send(self, handle: DeploymentHandle) -> Any:  # noqa: ANN401
        """Ask one of the replicas behind a handle; gives the parts of its answer."""
        if self._session:
            handle = handle.options(session_id=self._session)
        return getattr(handle, self._method).remote(self.body, self._info)
