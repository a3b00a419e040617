"""What a front needs of Serve's handles that Ray 2.59 has no public name for, kept in this one file."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ray.serve.handle import DeploymentHandle

# Seconds that a front which has just learned of a model gives Serve to tell it of replicas.
FIRST_NEWS_S = 5.0


class Way:
    """To the replicas of one deployment of another application, whether that exists yet, or still, or not.

    A request enters by the near handle, which prefers replicas on this Mac and alone limits how many may wait. The
    other one, to which all Macs are alike, only ever gets those that were let in already and whose replica failed.
    """

    def __init__(self, application: str, deployment: str) -> None:
        self.near = _streaming(application, deployment, prefer_near=True)
        self.anywhere = _streaming(application, deployment, prefer_near=False)
        self._since = time.monotonic()

    async def replicas(self, here: bool = False) -> int:
        """How many a request could be sent to now, or of them on this Mac; a moment is given to the first news."""
        while (count := _running(self.near, here)) is None and time.monotonic() - self._since < FIRST_NEWS_S:
            await asyncio.sleep(0.05)
        return count or 0

    @property
    def is_closed(self) -> bool:
        """Whether Serve has stopped trying to start replicas, or has taken the application away."""
        return not self.near._router._asyncio_router._deployment_available


def _streaming(application: str, deployment: str, *, prefer_near: bool) -> DeploymentHandle:
    handle = DeploymentHandle(deployment, application)
    handle._init(_prefer_local_routing=prefer_near)
    return handle.options(stream=True)


def _running(handle: DeploymentHandle, here: bool) -> int | None:
    """None while the handle has not been told of a deployment yet."""
    router = handle._router._asyncio_router._request_router
    if router is None:
        return None
    # Serve makes a class of its own out of ours, and has it only where the deployment's options name it.
    return router.asked(here) if hasattr(router, "asked") else len(router.curr_replicas)


def taken(response: Any) -> asyncio.Future[Any]:  # noqa: ANN401
    """Done when a replica has taken the request of this response, or none can."""
    future: asyncio.Future[Any] = asyncio.wrap_future(response._replica_result_future)
    # Whoever reads the response gets the error: it is not lost here.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
