"""What a look at the fleet has found: each Mac, what a client got through it, Ray and Serve. Pure: others look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.firewall import Filter
from fleet.macfacts import MacFacts


@dataclass(frozen=True)
class Job:
    """One launchd job as seen: its pid, how long that pid has lived, and how the job ended last."""

    label: str
    pid: int | None = None
    seconds: float = 0.0
    last_exit: str = ""


@dataclass(frozen=True)
class Answer:
    """What a client got through one Mac. `error` is empty when it got what it asked for."""

    models: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens that a real generation gave, by model."""
    seconds: float = 0.0
    error: str = ""
    days: float | None = None
    """How much longer the certificate of the door holds; None where it shows none."""


@dataclass(frozen=True)
class Contents:
    """The files of one folder, all read again."""

    title: str
    """What the folder holds, for people: `weights of tiny`."""
    path: str
    files: Mapping[str, str] | None
    """The right sha256 of each, by name, as the Mac's manifest says; None when it has none."""
    size: int
    """Bytes of all of them."""
    found: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of each file that could be read, by name."""


@dataclass(frozen=True)
class MacHealth:
    """Everything seen of one Mac."""

    facts: MacFacts
    jobs: tuple[Job, ...]
    versions: Mapping[str, str]
    resolves: Mapping[str, str]
    """The address that each name of the fleet has on this Mac, empty when it has none."""
    weights: frozenset[str]
    """The folders of weights that are whole on this Mac."""
    memory_free_bytes: int
    answer: Answer
    own: Mapping[str, str] = field(default_factory=dict)
    """What went wrong with what it was asked on itself, by what that was; without what went well."""
    filter: Filter = field(default_factory=Filter)
    door_current: bool | None = None
    """Whether its door has loaded what the inventory says; None when that is not known."""
    contents: tuple[Contents, ...] = ()
    """Empty unless everything was to be read again."""


@dataclass(frozen=True)
class Deployed:
    """A Serve application as seen."""

    status: str = ""
    """Serve's word for its state: RUNNING, DEPLOYING, …"""
    replicas: int = 0
    """How many of its replicas run; each application of raylab's has one deployment."""
    message: str = ""
    places: frozenset[str] = frozenset()
    """The node IPs of the replicas that run."""
    failing: frozenset[tuple[str, int]] = frozenset()
    """The node IPs where replicas have failed to start, with the pids that they had, as far as their errors tell."""

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.status or "not applied", self.message[:300]]))


@dataclass(frozen=True)
class Cluster:
    """What Ray and Serve say on the head. `error` says why nothing could be learned."""

    nodes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Alive nodes: node IP → total resources."""
    applications: Mapping[str, Deployed] = field(default_factory=dict)
    """By name, see `fleet.serve.application_name`."""
    error: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Node IP → Ray's own name for that node, another one after each start of Ray there."""
