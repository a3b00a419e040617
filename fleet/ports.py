"""Every port that a Mac of the fleet listens on, in one table; docs/ports.md shows it.

All are pinned, so that a firewall can be told about them. They lie below 32768: on Linux, a port above that may already
be the source of somebody's outgoing connection when Ray starts.

What belongs to a Ray cluster is there twice, on two sides: while a fleet goes over to another Ray, Python or head, a
new cluster grows on the side that is free. Doors and firewalls know both sides at all times.
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
# A port of side two is the one of side one and this.
APART = 500
# What is no cluster's.
SHARED = frozenset({"door", "door_ready", "relay"})


def _port(number: int, doc: str) -> int:
    value: int = field(default=number, metadata={"doc": doc})
    return value


@dataclass(frozen=True)
class Ports:
    """The port table, of one side. The setting `ports` overrides single entries by name, for the whole fleet."""

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
    serve_http: int = _port(8000, "Serve on each Mac, for the doors of all Macs")
    door: int = _port(8443, "the OpenAI-compatible endpoint on each Mac, for everybody")
    door_ready: int = _port(6390, "whether a Mac takes requests, for the doors of all Macs")
    relay: int = _port(6389, "artifacts on their way from Mac to Mac, while a deploy runs")
    worker_min: int = _port(10100, "first port of Ray's worker processes")
    worker_max: int = _port(10299, "last port of Ray's worker processes; each process takes one")

    def single(self) -> dict[str, int]:
        """All ports by name, without the two ends of the worker range."""
        return {name: port for name, port in asdict(self).items() if name not in ("worker_min", "worker_max")}

    def with_overrides(self, overrides: Mapping[str, int]) -> Ports:
        """This table with some entries changed. Names must be fields of this class."""
        return replace(self, **overrides)

    def moved(self, sides: int) -> Ports:
        """The table of the other side: 1 leads from side one to side two, -1 back."""
        own = {name: port for name, port in asdict(self).items() if name not in SHARED}
        return replace(self, **{name: port + sides * APART for name, port in own.items()})


_GROUPS = f"inside the ports of groups of Macs {RING_PORT}–{RING_LAST}"
NAMES = tuple(entry.name for entry in fields(Ports))


def clashes(ports: Ports) -> list[tuple[str, str]]:
    """Pairs (name, what it clashes with, in words) of ports that are taken twice on one Mac. `ports` is side one.

    The head listens on every port of the table, and while a fleet goes over to another cluster on those of both sides,
    so tables without doubles are right for all Macs. Each name is told once.
    """
    other = ports.moved(1)
    found = _wide(ports, other)
    # A range that is wrong itself may hold anything of the other side.
    tables = [ports] if found else [ports, other]
    seen: dict[int, str] = {}
    for name, port in ports.single().items():
        if port in seen:
            found.setdefault(name, f"`{seen[port]}`")
        elif inside := _inside(port, *tables):
            found.setdefault(name, inside)
        seen.setdefault(port, name)
    for name, port in other.single().items() if len(tables) > 1 else ():
        if name not in SHARED and port in seen:
            found.setdefault(seen[port], f"`{name}` of side two, which is {APART} above that of side one")
        elif name not in SHARED and (inside := _inside(port, *tables)):
            found.setdefault(name, f"{inside}, as it is {APART} higher on side two")
    return list(found.items())


def _wide(ports: Ports, other: Ports) -> dict[str, str]:
    """What the range of worker ports clashes with."""
    if ports.worker_min <= RING_LAST and ports.worker_max >= RING_PORT:
        return {"worker_min" if ports.worker_min >= RING_PORT else "worker_max": _GROUPS}
    if ports.worker_max >= other.worker_min:
        return {"worker_max": f"inside the worker ports of side two, which begin {APART} above those of side one"}
    if other.worker_min <= RING_LAST and other.worker_max >= RING_PORT:
        return {"worker_max": f"{_GROUPS}, as it is {APART} higher on side two"}
    return {}


def _inside(port: int, *tables: Ports) -> str:
    """Which range it is inside of, in words; empty when it is in none."""
    for table in tables:
        if table.worker_min <= port <= table.worker_max:
            return f"inside the worker ports {table.worker_min}–{table.worker_max}"
    return _GROUPS if RING_PORT <= port <= RING_LAST else ""
