"""The settings: what a person may write, each with its meaning, unit, default and an example beside it.

A Mac's own settings stand beside its name in the inventory; the fleet's stand in group_data. `Fleet` is what
every other part of raylab works with. Relative paths count from the folder in which pyinfra runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from fleet import layout
from fleet.origin import Origin
from fleet.ports import Ports
from fleet.release import Release
from fleet.weights import Weights

ENGINES = ("vllm",)
Platform = Literal["osx-arm64", "linux-64"]
Role = Literal["head", "worker"]
# Bytes. Apple calls 2^30 bytes a gigabyte of memory, and so does everything here.
GB = 1024**3


def doc(
    meaning: str, *, example: str, unit: str = "", low: int | None = None, high: int | None = None
) -> dict[str, Any]:
    """What a setting means, and the bounds of its value (both allowed)."""
    return {"doc": meaning, "example": example, "unit": unit, "low": low, "high": high}


_PLATFORM = doc("What the artifacts are made for: osx-arm64 for Macs.", example='"osx-arm64"')
_LOCKS = doc(
    "The folder with conda.lock, wheels.lock and tools.lock. By default locks/<platform>.",
    example='"locks/next"',
)


@dataclass(frozen=True)
class Model:
    """One model that the fleet serves: an entry of the setting `models`."""

    id: str = field(metadata=doc("The name clients ask for.", example='"qwen3-8b"'))
    source: Origin = field(
        metadata=doc(
            "Where config.json, the tokenizer and *.safetensors are: a folder on the control machine; hf:OWNER/NAME, "
            "a repository on Hugging Face; or @mac/NAME:/FOLDER, a folder on a Mac of the fleet. What is not on the "
            "control machine is fetched to it once.",
            example='"~/models/Qwen3-8B"',
        )
    )
    revision: str | None = field(
        default=None,
        metadata=doc(
            "Which commit of a repository on Hugging Face, by its 40 hex digits.",
            example='"b968826d9c46dd6066d109eabc6255188de91218"',
        ),
    )
    private: bool | None = field(
        default=None,
        metadata=doc(
            "True: nobody on the network may read the weights, so they travel encrypted, and slower. By default only "
            "those of a private repository do.",
            example="True",
        ),
    )
    engine: str = field(default="vllm", metadata=doc("What runs the model: vllm.", example='"vllm"'))
    replicas: int | Literal["all"] = field(
        default="all",
        metadata=doc(
            'How many Macs hold the model; "all": every Mac that it fits and that no other model takes.',
            example="2",
            low=1,
        ),
    )
    context: int = field(
        default=4096,
        metadata=doc(
            "The longest conversation, prompt and answer together; never more than the model was made for.",
            unit="tokens",
            example="32768",
            low=16,
        ),
    )
    concurrency: int = field(
        default=4,
        metadata=doc("Requests that one Mac works on at the same time.", unit="requests", example="16", low=1),
    )
    memory_gb: float | None = field(
        default=None,
        metadata=doc(
            "Memory that the model takes on a Mac. By default worked out from weights and context.",
            unit="GB",
            example="24.5",
            low=0,
        ),
    )
    env: dict[str, str] = field(
        default_factory=dict,
        metadata=doc("Environment variables of the engine.", example='{"VLLM_LOGGING_LEVEL": "DEBUG"}'),
    )
    engine_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=doc("Further arguments of the engine, by the engine's names.", example='{"enforce_eager": True}'),
    )
    weights: Weights = field(default_factory=Weights)
    """What the source holds. Read from there, not written by a person; empty until then."""

    @property
    def path(self) -> str:
        """Where the weights are on a Mac."""
        return layout.weights_dir(self.id, self.weights.revision)


@dataclass(frozen=True)
class Mac:
    """One host of the inventory, written as `("@mac/alpha", {"node_ip": "10.77.0.11"})`."""

    name: str
    """The name after `@mac/`, or `@local`: pyinfra calls the host so."""
    role: Role
    """`head` for the one Mac of the group `head`, `worker` for those of `workers`."""
    node_ip: str = field(
        metadata=doc(
            "The one address that Ray, vLLM, gloo and /etc/hosts agree on. SSH uses it too, "
            "unless ssh_hostname is set.",
            example='"192.168.1.20"',
        )
    )
    host_name: str | None = field(
        default=None,
        metadata=doc(
            "The host name that the Mac gets. By default its name in the inventory; "
            "a Mac reached as @local keeps its own.",
            example='"studio-1"',
        ),
    )
    memory_gb: int | None = field(
        default=None,
        metadata=doc(
            "The Mac's memory, so that the plan is whole when only some Macs are asked. Checked against the Mac.",
            unit="GB",
            example="64",
            low=8,
        ),
    )
    thunderbolt_ip: str | None = field(
        default=None,
        metadata=doc(
            "Its address on a Thunderbolt network that some of the Macs share: weights then travel that way.",
            example='"10.99.0.2"',
        ),
    )
    platform: Platform = field(default="osx-arm64", metadata=_PLATFORM)
    locks: Path = field(default=Path("locks/osx-arm64"), metadata=_LOCKS)

    @property
    def is_head(self) -> bool:
        return self.role == "head"

    @property
    def is_loopback(self) -> bool:
        """True for the Mac that runs everything itself and talks to nobody."""
        return self.node_ip.startswith("127.")


@dataclass(frozen=True)
class Fleet:
    """Everything that the inventory and its group_data say, checked."""

    macs: tuple[Mac, ...]
    """The head first, then the workers, in the inventory's order."""
    name: str = field(
        metadata=doc(
            "The fleet's name; what Ray has stored belongs to it. By default the inventory file's name. "
            "Written as fleet_name.",
            example='"lab"',
        )
    )
    platform: Platform = field(default="osx-arm64", metadata=_PLATFORM)
    locks: Path = field(default=Path("locks/osx-arm64"), metadata=_LOCKS)
    depot: Path = field(
        default=Path(".depot"),
        metadata=doc("The folder that keeps every artifact by its sha256.", example='"/Volumes/depot"'),
    )
    secrets: Path = field(
        default=Path("~/.raylab"),
        metadata=doc(
            "The folder with the fleet's token and keys, 0600 each, made by the first run. "
            "By default ~/.raylab/<fleet_name>, outside of any repository.",
            example='"~/.raylab/secrets"',
        ),
    )
    ray_temp_dir: str = field(
        default=layout.RAY_TEMP,
        metadata=doc(
            "Ray's folder on the Macs for sockets and session logs, at most 41 bytes.",
            example='"/opt/raylab/ray/tmp"',
        ),
    )
    ray_cpus: int = field(
        default=4,
        metadata=doc(
            "CPU slots that Ray hands out on each Mac; a replica takes one.",
            unit="slots",
            example="8",
            low=2,
            high=256,
        ),
    )
    object_store_mb: int = field(
        default=1024,
        metadata=doc(
            "Ray's shared memory on each Mac. Serving hardly uses it.",
            unit="MB",
            example="512",
            low=80,
            high=65536,
        ),
    )
    ports: Ports = field(
        default_factory=Ports,
        metadata=doc("Entries of the port table to change, by name.", example='{"serve_http": 8100}'),
    )
    models: tuple[Model, ...] = field(
        default=(),
        metadata=doc(
            "The models to serve, a list of dicts.",
            example='[{"id": "qwen3-8b", "source": "~/models/Qwen3-8B"}]',
        ),
    )
    releases: dict[Path, Release] = field(default_factory=dict, repr=False)
    """Each folder of locks that a Mac names, read from there."""

    @property
    def head(self) -> Mac:
        return next(mac for mac in self.macs if mac.is_head)

    @property
    def workers(self) -> tuple[Mac, ...]:
        return tuple(mac for mac in self.macs if not mac.is_head)

    def mac(self, name: str) -> Mac:
        """The Mac that pyinfra calls `name`. Raises KeyError for a name that is not in the inventory."""
        for mac in self.macs:
            if mac.name == name:
                return mac
        raise KeyError(name)

    def release(self, mac: Mac) -> Release:
        """What this Mac shall run."""
        return self.releases[mac.locks]


# By which name a person sets what: a Mac's settings, the fleet's, a model's.
MAC_SETTINGS = {entry.name: entry for entry in fields(Mac) if entry.metadata}
# `name` would be mistaken for a Mac's.
FLEET_SETTINGS = {
    "fleet_name" if entry.name == "name" else entry.name: entry for entry in fields(Fleet) if entry.metadata
}
MODEL_SETTINGS = {entry.name: entry for entry in fields(Model) if entry.metadata}
# What only one Mac can have, and what one Mac may have otherwise than the fleet.
PER_MAC_ONLY = frozenset({"node_ip", "host_name", "memory_gb", "thunderbolt_ip"})
PER_MAC = PER_MAC_ONLY | {"platform", "locks"}
