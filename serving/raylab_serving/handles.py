"""What a front needs of Serve's handles that Ray 2.59 has no public name for, kept in this one file."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.serve.handle import DeploymentHandle


def near(handle: DeploymentHandle) -> DeploymentHandle:
    """A streaming handle to the same deployment that prefers replicas on this Mac."""
    twin = DeploymentHandle(handle.deployment_name, handle.app_name)
    twin._init(_prefer_local_routing=True)
    return twin.options(stream=True)


def running(handle: DeploymentHandle) -> int | None:
    """How many replicas the handle could send a request to; None while it has not been told yet."""
    router = handle._router._asyncio_router._request_router
    return None if router is None else len(router.curr_replicas)


def is_given_up(handle: DeploymentHandle) -> bool:
    """Whether Serve has stopped trying to start replicas."""
    return not handle._router._asyncio_router._deployment_available


def taken(response: Any) -> asyncio.Future[Any]:  # noqa: ANN401
    """Done when a replica has taken the request of this response, or none can."""
    future: asyncio.Future[Any] = asyncio.wrap_future(response._replica_result_future)
    # Whoever reads the response gets the error: it is not lost here.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
