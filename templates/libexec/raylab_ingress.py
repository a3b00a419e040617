"""The OpenAI-compatible front of the fleet, one on every Mac; runs inside Ray Serve.

Ray's own front sends a request to any replica of the model, wherever that is. This one prefers the replica
on its own Mac, so that a Mac whose neighbour goes away does not notice, and it asks another replica when
one fails before it has answered anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.handle import DeploymentHandle
from ray.serve.llm.ingress import OpenAiIngress

# Seconds before each further attempt. A replica whose engine is dead refuses everything at once, until its
# health check has failed three times; together these outlast that.
PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0)
# vLLM's words for: this engine does not answer any more, whatever it is asked.
ENGINE_FAILURES = frozenset({"EngineDeadError", "EngineGenerateError"})


class FleetIngress(OpenAiIngress):  # type: ignore[misc]
    """OpenAiIngress that prefers its own Mac, and another where that fails."""

    def __init__(self, llm_deployments: dict[str, Any], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        near = {model: _near(handle) for model, handle in llm_deployments.items()}
        super().__init__(near, *arguments, **options)
        # Its handles are as Ray makes them: all Macs are alike to them.
        self._anywhere = OpenAiIngress(llm_deployments, *arguments, **options)

    async def _get_response(self, **request: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        """The answer's parts; from another replica when one fails before the first part."""
        source = super()._get_response
        for pause in (*PAUSES, None):
            begun = False
            try:
                async for part in source(**request):
                    begun = True
                    yield part
            except Exception as error:
                if begun or pause is None or not is_failure(error):
                    raise
                await asyncio.sleep(pause)
                source = self._anywhere._get_response
            else:
                return


def is_failure(error: BaseException) -> bool:
    """Whether it was the replica's fault, so that another one may do better."""
    if isinstance(error, RayActorError):
        return True
    return isinstance(error, RayTaskError) and type(error.cause).__name__ in ENGINE_FAILURES


def _near(handle: DeploymentHandle) -> DeploymentHandle:
    """A handle to the same deployment that prefers replicas on this Mac."""
    near = DeploymentHandle(handle.deployment_name, handle.app_name)
    near._init(_prefer_local_routing=True)
    return near
