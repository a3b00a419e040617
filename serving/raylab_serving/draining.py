"""A Mac that drains is asked no more: its replicas tell that it does, and routers leave them out.

The flag is a file, at the path that the environment's RAYLAB_DRAINING names. Whoever takes the Mac's turn writes it,
and writes it again while they wait for its last answers. A model that no other Mac has is refused for that time, or its
replica would never be without work. When the turn was interrupted, nobody waits any more, and it is asked again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter

# Under these names a replica tells it, among what Serve asks every replica every PERIOD_S seconds.
DRAINS, AWAITED = "raylab_drains", "raylab_awaited"
PERIOD_S = 2.0
# For so long after the flag was written somebody waits for the last answers.
AWAITED_S = 30.0


def told(application: str = "") -> dict[str, bool]:
    """What a replica says of its Mac: whether it drains, and whether somebody waits for its last answers.

    For a group there may be a flag of its own, while another of its Macs drains: that one is good for AWAITED_S.
    """
    flag = os.environ.get("RAYLAB_DRAINING")
    if not flag:
        return {DRAINS: False, AWAITED: False}
    age, of_group = _age(flag), _age(f"{flag}-{application.rpartition(':')[2]}") if application else None
    awaited = any(each is not None and each < AWAITED_S for each in (age, of_group))
    return {DRAINS: age is not None or awaited, AWAITED: awaited}


def _age(flag: str) -> float | None:
    """Seconds since it was written; None when it is not there."""
    try:
        return time.time() - Path(flag).stat().st_mtime
    except OSError:
        return None


class Router(PowerOfTwoChoicesRequestRouter):  # type: ignore[misc]
    """Serve's own, without the replicas that drain, as long as there are others."""

    def apply_locality_routing(self, pending_request: Any = None) -> set[Any]:  # noqa: ANN401
        """The replicas to choose from: those of this Mac first, as Serve does it.

        On a Mac that drains itself they are the only ones: no door sends it anything, so it is asked to show whether
        it serves.
        """
        near: set[Any] = super().apply_locality_routing(pending_request)
        everybody: set[Any] = self._replica_id_set
        if (own := self._own()) and told()[DRAINS]:
            return own
        return self._without(DRAINS, near) or self._without(DRAINS, everybody) or self._without(AWAITED, near)

    def asked(self, here: bool = False) -> int:
        """How many replicas a request may be sent to now; one that only this Mac may answer, with `here`."""
        return len(self._own() if here else self.apply_locality_routing())

    def _own(self) -> set[Any]:
        """Those of this Mac."""
        return {each for each in self._replica_id_set if self._replicas[each].node_id == self._self_node_id}

    def _without(self, what: str, replicas: set[Any]) -> set[Any]:
        """Those of which this is not told."""
        return {each for each in replicas if not self._replicas[each].routing_stats.get(what)}
