"""Every port that a Mac of the fleet listens on, in one table; docs/ports.md shows it.

All are pinned, so that a firewall can be told about them. They lie below 32768: on Linux, a port above that may already
be the source of somebody's outgoing connection when Ray starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

# Below 1024 only root may listen; from 49152 on macOS hands ports out by itself.
LOWEST, HIGHEST = 1024, 49151
# Macs that hold one model together have this many ports, one for each Mac and the same again for its lifeline, wherever
# the slot of their model says: a change of other models moves none. There are 64 slots.
RING_PORTS = 64
RING_PORT, RING_LAST = 32768 - 64 * RING_PORTS, 32767


def _port(number: int, doc: str) -> int:
    value: int = field(default=number, metadata={"doc": doc})
    return value


@dataclass(frozen=True)
class Ports:
    """The port table. The setting `ports` overrides single entries by name, for the whole fleet."""

    gcs: int = _port(6379, "Ray's control service on the head; every Mac connects to it")
    store: int = _port(6380, "the store that keeps Ray's cluster state; loopback only")
    ray_client: int = _port(10001, "Ray Client on the head")
    dashboard: int = _port(8265, "Ray's dashboard, Jobs and Serve REST; loopback only")
    dashboard_metrics: int = _port(6387, "Prometheus metrics of the dashboard, on the head")
    autoscaler_metrics: int = _port(6388, "Prometheus metrics of the autoscaler monitor, on the head")
    node_manager: int = _port(6381, "the raylet of each Mac")
    object_manager: int = _port(6382, "objects moving between Macs")
    runtime_env_agent: int = _port(6383, "the agent that prepares workers' environments")
    agent_grpc: int = _port(6384, "the dashboard's agent on each Mac, gRPC")
    agent_http: int = _port(6385, "the dashboard's agent on each Mac, HTTP")
    metrics: int = _port(6386, "Prometheus metrics of Ray, Serve and vLLM on each Mac")
    serve_http: int = _port(8000, "the OpenAI-compatible endpoint on each Mac")
    relay: int = _port(6389, "artifacts on their way from Mac to Mac, while a deploy runs")
    worker_min: int = _port(10100, "first port of Ray's worker processes")
    worker_max: int = _port(10299, "last port of Ray's worker processes; each process takes one")

    def single(self) -> dict[str, int]:
        """All ports by name, without the two ends of the worker range."""
        return {name: port for name, port in asdict(self).items() if name not in ("worker_min", "worker_max")}

    def with_overrides(self, overrides: Mapping[str, int]) -> Ports:
        """This table with some entries changed. Names must be fields of this class."""
        return replace(self, **overrides)


_GROUPS = f"inside the ports of groups of Macs {RING_PORT}–{RING_LAST}"
NAMES = tuple(entry.name for entry in fields(Ports))


def clashes(ports: Ports) -> list[tuple[str, str]]:
    """Pairs (name, what it clashes with, in words) of ports that are taken twice on one Mac.

    The head listens on every port of the table, so one table without doubles is right for all Macs.
    """
    found = []
    seen: dict[int, str] = {}
    for name, port in ports.single().items():
        if port in seen:
            found.append((name, f"`{seen[port]}`"))
        elif ports.worker_min <= port <= ports.worker_max:
            found.append((name, f"inside the worker ports {ports.worker_min}–{ports.worker_max}"))
        elif RING_PORT <= port <= RING_LAST:
            found.append((name, _GROUPS))
        seen.setdefault(port, name)
    if ports.worker_min <= RING_LAST and ports.worker_max >= RING_PORT:
        found.append(("worker_min" if ports.worker_min >= RING_PORT else "worker_max", _GROUPS))
    return found
