"""The settings: what a person may write, each with its meaning, unit, default and an example beside it.

A Mac's own settings stand beside its name in the inventory; the fleet's stand in group_data, a model's in
model_settings.py. `Fleet` is what every other part of raylab works with. Relative paths count from the folder in
which pyinfra runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

from fleet import layout
from fleet.model_settings import Between, Model, Stored, doc
from fleet.ports import Ports
from fleet.release import Release
from fleet.wheel import CodeWheel

Platform = Literal["osx-arm64", "linux-64"]
Role = Literal["head", "worker"]
# Bytes. Apple calls 2^30 bytes a gigabyte of memory, and so does everything here.
GB = 1024**3

_PLATFORM = doc("What the artifacts are made for: osx-arm64 for Macs.", example='"osx-arm64"')
_LOCKS = doc(
    "The folder with conda.lock, wheels.lock and tools.lock. By default locks/<platform>.",
    example='"locks/next"',
)


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
    thunderbolt: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Its Thunderbolt interfaces that raylab may set up, for cables from Mac to Mac: they leave the Thunderbolt "
            "Bridge, and get addresses of their own. Groups of Macs then talk over them.",
            example='["en2", "en3"]',
        ),
    )
    platform: Platform = field(default="osx-arm64", metadata=_PLATFORM)
    locks: Path = field(default=Path("locks/osx-arm64"), metadata=_LOCKS)
    where: str = field(default="", compare=False)
    """Where it stands: `inventory/lab.py:7`."""

    @property
    def is_head(self) -> bool:
        return self.role == "head"

    @property
    def is_loopback(self) -> bool:
        """True for the Mac that runs everything itself and talks to nobody."""
        return self.node_ip.startswith("127.")


@dataclass(frozen=True)
class Application:
    """A Serve application of the user's own, beside raylab's: an entry of the setting `applications`."""

    name: str = field(metadata=doc("Its name in Serve.", example='"rerank"'))
    route_prefix: str = field(metadata=doc("The path below which it answers.", example='"/rerank"'))
    import_path: str = field(
        metadata=doc("The application, or the function that builds it, as module:name.", example='"rerank:app"')
    )
    wheel: CodeWheel | None = field(
        default=None,
        metadata=doc(
            "A wheel on the control machine with the code, pure Python. By default the release has it.",
            example='"dist/rerank-1.0-py3-none-any.whl"',
            written=Path,
        ),
    )
    args: dict[str, Any] = field(
        default_factory=dict,
        metadata=doc("Arguments of the function that builds it.", example='{"model": "qwen3-8b"}'),
    )


class TlsFiles(TypedDict):
    """A certificate of the user's own with its chain, and its key: PEM files on the control machine."""

    certificate: str
    key: str


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
            "Ray's folder on the Macs for sockets and session logs, at most 33 bytes.",
            example='"/opt/raylab/ray/tmp"',
        ),
    )
    ray_cpus: int = field(
        default=4,
        metadata=doc(
            "CPU slots that Ray hands out on each Mac. A replica of a model takes a fifth of one, an application's "
            "replica one unless it says otherwise.",
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
        metadata=doc("Entries of the port table to change, by name.", example='{"door": 8100}'),
    )
    models: tuple[Model, ...] = field(
        default=(),
        metadata=doc(
            "The models to serve, a list of dicts.",
            example='[{"id": "qwen3-8b", "source": "~/models/Qwen3-8B"}]',
        ),
    )
    api_keys: tuple[str, ...] = field(
        default=("default",),
        metadata=doc(
            "Names of API keys. Each is a file of its name in the folder api-keys of `secrets`, made by the first run; "
            "a name that is taken out opens no door any more.",
            example='["chat", "laptop"]',
        ),
    )
    tls: Literal["own", "off"] | TlsFiles = field(
        default="own",
        metadata=doc(
            "What the door shows its clients: certificates of the fleet's own CA, which is door-ca.pem in `secrets`; "
            "a certificate of yours; or nothing, so that keys and prompts can be read on the network.",
            example='{"certificate": "tls/llm.pem", "key": "tls/llm-key.pem"}',
        ),
    )
    door_names: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Further host names and addresses by which clients reach the Macs, for the certificates.",
            example='["llm.example.org"]',
        ),
    )
    allowed_origins: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Web pages that may ask the fleet from a browser, by scheme, host and port; * for all. By default none.",
            example='["https://chat.example.org"]',
        ),
    )
    applications: tuple[Application, ...] = field(
        default=(),
        metadata=doc(
            "Further Serve applications of your own, a list of dicts.",
            example='[{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app", '
            '"wheel": "dist/rerank-1.0-py3-none-any.whl"}]',
        ),
    )
    firewall: bool = field(
        default=True,
        metadata=doc("Whether pf lets only the fleet's Macs reach the port table, but for the door.", example="False"),
    )
    allow: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Further addresses and networks that the firewall lets in everywhere, such as a machine with Prometheus.",
            example='["192.168.1.5"]',
        ),
    )
    serving: CodeWheel = field(default=CodeWheel("", b""), repr=False)
    """What raylab itself runs inside Ray."""
    releases: dict[Path, Release] = field(default_factory=dict, repr=False)
    """Each folder of locks that a Mac names, read from there."""
    side: int = 1
    """Which of its two port tables the Ray cluster has, 1 or 2. `ports` is that one; the Macs tell, never a person."""

    def on_side(self, side: int) -> Fleet:
        """The same fleet with its Ray cluster on that side."""
        return replace(self, side=side, ports=self.ports.moved(side - self.side))

    def led_by(self, head: Mac) -> Fleet:
        """The same fleet with this Mac as its head."""
        others = (replace(mac, role="worker") for mac in self.macs if mac.name != head.name)
        return replace(self, macs=(replace(head, role="head"), *others))

    @property
    def tables(self) -> tuple[Ports, Ports]:
        """The port tables of side one and side two."""
        return self.on_side(1).ports, self.on_side(2).ports

    @property
    def temp_dir(self) -> str:
        """Ray's folder for sockets and session logs, of this side's cluster."""
        return layout.of_side(self.ray_temp_dir, self.side)

    @property
    def store_dir(self) -> str:
        """Where this side's store keeps Ray's cluster state."""
        return layout.of_side(layout.STORE_DIR, self.side)

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

    def allowed(self, model: Model) -> tuple[Mac, ...]:
        """Where a model may run."""
        return tuple(mac for mac in self.macs if not model.macs or mac.name in model.macs)

    @property
    def stored(self) -> tuple[Stored, ...]:
        """Everything that the Macs get for models."""
        return tuple(stored for model in self.models for stored in model.stored)

    @property
    def code(self) -> tuple[CodeWheel, ...]:
        """What Ray imports beside the release: raylab's own code first, then that of the applications."""
        wheels = (self.serving, *(each.wheel for each in self.applications if each.wheel))
        return tuple({wheel.sha256: wheel for wheel in wheels}.values())

    def release(self, mac: Mac) -> Release:
        """What this Mac shall run."""
        return self.releases[mac.locks]


# By which name a person sets what: a Mac's settings, the fleet's, a model's, an application's.
MAC_SETTINGS = {entry.name: entry for entry in fields(Mac) if entry.metadata}
# `name` would be mistaken for a Mac's.
FLEET_SETTINGS = {
    "fleet_name" if entry.name == "name" else entry.name: entry for entry in fields(Fleet) if entry.metadata
}
MODEL_SETTINGS = {entry.name: entry for entry in fields(Model) if entry.metadata}
APPLICATION_SETTINGS = {entry.name: entry for entry in fields(Application) if entry.metadata}
# What only one Mac can have, and what one Mac may have otherwise than the fleet.
PER_MAC_ONLY = frozenset({"node_ip", "host_name", "memory_gb", "thunderbolt_ip", "thunderbolt"})
PER_MAC = PER_MAC_ONLY | {"platform", "locks"}

__all__ = [
    "APPLICATION_SETTINGS",
    "FLEET_SETTINGS",
    "GB",
    "MAC_SETTINGS",
    "MODEL_SETTINGS",
    "PER_MAC",
    "PER_MAC_ONLY",
    "Application",
    "Between",
    "Fleet",
    "Mac",
    "Model",
    "Platform",
    "Role",
    "Stored",
    "TlsFiles",
]
