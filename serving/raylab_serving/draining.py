"""A Mac that drains is asked no more: its replicas tell that it does, and routers leave them out.

The flag is a file, at the path that the environment's RAYLAB_DRAINING names: whoever takes the Mac's turn writes it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter

# Under this name a replica tells it, among what Serve asks every replica every PERIOD_S seconds.
DRAINS = "raylab_drains"
PERIOD_S = 2.0


def drains() -> bool:
    """Whether this Mac does."""
    flag = os.environ.get("RAYLAB_DRAINING")
    return bool(flag) and Path(str(flag)).exists()


class Router(PowerOfTwoChoicesRequestRouter):  # type: ignore[misc]
    """Serve's own, without the replicas that drain, as long as there are others."""

    def apply_locality_routing(self, pending_request: Any = None) -> set[Any]:  # noqa: ANN401
        """The replicas to choose from: those of this Mac first, as Serve does it."""
        near: set[Any] = super().apply_locality_routing(pending_request)
        return self._ready(near) or self._ready(self._replica_id_set) or near

    def _ready(self, replicas: set[Any]) -> set[Any]:
        return {each for each in replicas if not self._replicas[each].routing_stats.get(DRAINS)}
