"""Is the fleet well? What was observed, against what the settings say. Pure: others observe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fleet import layout
from fleet.applications import ENTRY
from fleet.macfacts import MacFacts
from fleet.placement import SLOTS
from fleet.plan import Plan
from fleet.prune import amount
from fleet.ray import MLX
from fleet.serve import application_name
from fleet.settings import Fleet, Mac

# Serve's word for an application that is as it should be.
RUNNING = "RUNNING"
# And for one that it has given up.
FAILED = "DEPLOY_FAILED"
# A job that launchd restarts lives shorter than this between two launches.
STABLE_SECONDS = 10
LOW_DISK = 0.05
LOW_MEMORY_BYTES = 1 << 30
CLOCK_SKEW_SECONDS = 5
# Versions that Ray and the engine need to be the same on every Mac.
SAME_VERSIONS = ("python", "ray", "vllm")


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


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    mac: str
    """The Mac, or empty when it concerns the whole fleet."""
    ok: bool
    found: str
    """What was seen, in words."""
    fix: str = ""
    """What to do when it is not well."""

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        return asdict(self)


def evaluate(
    fleet: Fleet,
    plan: Plan,
    macs: Mapping[str, MacHealth],
    cluster: Cluster | None,
    silent: Sequence[str] = (),
) -> list[Check]:
    """Every check, those of the fleet first.

    `cluster` is None when the run leaves the head out; `silent` names Macs that were asked and did not answer.
    """
    checks = list(cluster_checks(fleet, plan, cluster)) if cluster else []
    for name in silent:
        checks.append(Check("reachable", name, False, "gave no answer, see above", "Wake it; ssh to it must work"))
    for name, seen in macs.items():
        mac = fleet.mac(name)
        checks += _jobs(mac, seen)
        checks += [
            _names(fleet, mac, seen),
            _weights(plan, mac, seen),
            _disk(mac, seen),
            _memory(mac, seen),
            *_limit(plan, mac, seen),
            _generation(fleet, mac, seen),
            *(_contents(mac, folder) for folder in seen.contents),
        ]
    checks += _equal_versions(macs)
    checks += _clocks(macs)
    return checks


def cluster_checks(fleet: Fleet, plan: Plan, cluster: Cluster, absent: frozenset[str] = frozenset()) -> Iterator[Check]:
    """Whether Ray has every Mac of the inventory and no other, and Serve every replica of the plan.

    `absent` names Macs that may be missing: nothing that only they could give is asked for.
    """
    if cluster.error:
        yield Check("Ray nodes", "", False, cluster.error, "Look at the head: deploy/logs.py --data job=ray")
        return
    expected = {mac.node_ip for mac in fleet.macs}
    excused = {mac.node_ip for mac in fleet.macs if mac.name in absent}
    missing, strangers = expected - excused - cluster.nodes.keys(), cluster.nodes.keys() - expected
    wrong = [
        *(f"{_name_of(fleet, ip)} ({ip}) is not in the cluster" for ip in sorted(missing)),
        *(f"{ip} is no Mac of the inventory: stop Ray there, or add it" for ip in sorted(strangers)),
        *(
            f"{_name_of(fleet, ip)} offers {resources.get(MLX, 0):g} {MLX} instead of {SLOTS}"
            for ip, resources in cluster.nodes.items()
            if ip in expected and resources.get(MLX) != SLOTS
        ),
    ]
    yield Check(
        "Ray nodes",
        "",
        not wrong,
        "; ".join(wrong) or f"{len(expected)} alive, each with its node IP",
        "See deploy/status.py, then deploy/restart.py --limit NAME",
    )
    yield _serve(fleet, plan, cluster, len(absent))


def _serve(fleet: Fleet, plan: Plan, cluster: Cluster, absent: int) -> Check:
    """What Serve has of each model, and of the entries that take requests in."""
    found, wrong = [], []
    placements = {name: each for name, each in plan.placements.items() if each.copies}
    for name, each in placements.items():
        seen = cluster.applications.get(application_name(each.model), Deployed())
        found.append(f"{name} × {seen.replicas}")
        if seen.status != RUNNING or not each.minimum - absent <= seen.replicas <= len(each.copies):
            wrong.append(f"{name}: {seen.replicas} of {each.minimum} replicas, {seen}")
    entry = cluster.applications.get(ENTRY, Deployed())
    if placements and (entry.status != RUNNING or entry.replicas < len(fleet.macs) - absent):
        wrong.append(f"{entry.replicas} of {len(fleet.macs)} Macs take requests, {entry}")
    said = "; ".join(wrong) or ", ".join(found) or "no models"
    return Check("Serve", "", not wrong, said, "deploy/logs.py --data job=serve")


def _name_of(fleet: Fleet, address: str) -> str:
    return next((mac.name for mac in fleet.macs if mac.node_ip == address), address)


def _jobs(mac: Mac, seen: MacHealth) -> Iterator[Check]:
    wanted = layout.LABELS if mac.is_head else (layout.RAY_LABEL,)
    jobs = {job.label: job for job in seen.jobs}
    wrong = []
    for label in wanted:
        job = jobs.get(label, Job(label))
        if job.pid is None:
            wrong.append(f"{label} does not run (last exit: {job.last_exit or 'never started'})")
        elif job.seconds < STABLE_SECONDS:
            wrong.append(f"{label} has run for only {job.seconds:.0f} s")
    short = wanted[0].rsplit(".", 1)[-1] if len(wanted) == 1 else "NAME"
    yield Check(
        "jobs",
        mac.name,
        not wrong,
        "; ".join(wrong) or ", ".join(f"{label.rsplit('.', 1)[-1]} {jobs[label].pid}" for label in wanted),
        f"deploy/logs.py --limit {mac.name} --data job={short}",
    )


def _names(fleet: Fleet, mac: Mac, seen: MacHealth) -> Check:
    expected = {other.host_name: other.node_ip for other in fleet.macs if other.host_name}
    wrong = [
        f"{name} resolves to {seen.resolves.get(name) or 'nothing'} instead of {address}"
        for name, address in expected.items()
        if seen.resolves.get(name) != address
    ]
    found = "; ".join(wrong) or f"{len(expected)} names resolve to their node IPs"
    return Check("names", mac.name, not wrong, found, "deploy/cluster.py repairs /etc/hosts")


def _weights(plan: Plan, mac: Mac, seen: MacHealth) -> Check:
    wanted = [stored for model in plan.models_on(mac) for stored in model.stored]
    missing = [stored.id for stored in wanted if stored.path not in seen.weights]
    found = f"missing: {', '.join(missing)}" if missing else f"of {', '.join(each.id for each in wanted) or 'no model'}"
    return Check("weights", mac.name, not missing, found, "deploy/cluster.py copies them again")


def _disk(mac: Mac, seen: MacHealth) -> Check:
    free, total = seen.facts.disk_free_bytes, seen.facts.disk_total_bytes
    ok = total > 0 and free >= LOW_DISK * total
    return Check("disk", mac.name, ok, f"{free / 1e9:.0f} of {total / 1e9:.0f} GB free", "Free some space")


def _memory(mac: Mac, seen: MacHealth) -> Check:
    free = seen.memory_free_bytes
    return Check(
        "memory",
        mac.name,
        free >= LOW_MEMORY_BYTES,
        f"{free / 1e9:.1f} GB free",
        "Quit other programs, or give the models a shorter context",
    )


def _limit(plan: Plan, mac: Mac, seen: MacHealth) -> Iterator[Check]:
    wanted = next(row.wired_limit_mb for row in plan.macs if row.mac == mac)
    if wanted is not None:
        found = seen.facts.wired_limit_mb
        said = f"the GPU may wire {found} MB, the plan wants {wanted}"
        yield Check("GPU limit", mac.name, found == wanted, said, "deploy/cluster.py sets it again")


def _generation(fleet: Fleet, mac: Mac, seen: MacHealth) -> Check:
    answer = seen.answer
    missing = [model.id for model in fleet.models if model.id not in answer.models]
    silent = [model.id for model in fleet.models if not answer.tokens.get(model.id)]
    wrong = [
        *filter(None, [answer.error]),
        *(f"{model} is not in /v1/models" for model in missing),
        *(f"{model} generates nothing" for model in silent if model not in missing),
    ]
    found = "; ".join(wrong) or f"{len(fleet.models)} models answer, {answer.seconds:.1f} s"
    return Check("generation", mac.name, not wrong, found, "deploy/logs.py --data job=serve")


def _contents(mac: Mac, folder: Contents) -> Check:
    fix = "pyinfra INVENTORY deploy/cluster.py --data deep=1 brings again what is not right"
    if folder.files is None:
        found = f"{folder.title}: no manifest, so nothing to compare with"
        return Check("contents", mac.name, False, found, fix)
    missing = [name for name in folder.files if name not in folder.found]
    damaged = [name for name, sha256 in folder.files.items() if folder.found.get(name, sha256) != sha256]
    wrong = [
        *([f"damaged: {', '.join(damaged)}"] if damaged else []),
        *([f"missing or not to be read: {', '.join(missing)}"] if missing else []),
    ]
    found = "; ".join(wrong) or f"{len(folder.files)} files, {amount(folder.size)}, are what they were"
    return Check("contents", mac.name, not wrong, f"{folder.title}: {found}", fix)


def _equal_versions(macs: Mapping[str, MacHealth]) -> Iterator[Check]:
    for what in SAME_VERSIONS:
        versions = {name: seen.versions.get(what, "none") for name, seen in macs.items()}
        same = len(set(versions.values())) == 1 and "none" not in versions.values()
        found = next(iter(versions.values())) if same else ", ".join(f"{k}: {v}" for k, v in versions.items())
        yield Check("versions", "", same, f"{what} {found}", "deploy/cluster.py lays the same release everywhere")
    macos = {name: seen.facts.macos_version for name, seen in macs.items()}
    yield Check("versions", "", True, "macOS " + ", ".join(f"{k}: {v}" for k, v in macos.items()))


def _clocks(macs: Mapping[str, MacHealth]) -> Iterator[Check]:
    clocks = {name: seen.facts.clock_epoch for name, seen in macs.items()}
    if len(clocks) < 2:
        return
    skew = max(clocks.values()) - min(clocks.values())
    found = f"within {skew:.0f} s of each other"
    fix = "Switch on “Set time automatically” on each Mac"
    yield Check("clocks", "", skew <= CLOCK_SKEW_SECONDS, found, fix)
