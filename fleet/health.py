"""Is the fleet well? What was observed, against what the settings say. Pure: others observe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median_low
from typing import Any

from fleet import layout
from fleet.applications import ENTRY
from fleet.firewall import faults, make_rules
from fleet.placement import SLOTS
from fleet.plan import Plan
from fleet.prune import amount
from fleet.ray import MLX
from fleet.seen import Cluster, Contents, Deployed, Job, MacHealth
from fleet.serve import application_name
from fleet.settings import Fleet, Mac

# Serve's word for an application that is as it should be.
RUNNING = "RUNNING"
# And for one that it has given up.
FAILED = "DEPLOY_FAILED"
# A job that launchd restarts lives shorter than this between two launches.
STABLE_SECONDS = 10
LOW_DISK = 0.05
LOW_DAYS = 30
LOW_MEMORY_BYTES = 1 << 30
CLOCK_SKEW_SECONDS = 5
# What is so while the head is away.
_HEADLESS = (
    "the others serve on by themselves, but nothing heals: a model or a Mac that fails stays away, no model scales, "
    "and no settings can change"
)
# Versions that Ray and the engine need to be the same on every Mac.
SAME_VERSIONS = ("python", "ray", "vllm")


@dataclass(frozen=True)
class Lack:
    """One thing that keeps the fleet from serving what it should."""

    name: str
    """The model, the application, `entry`, or `Ray nodes`."""
    found: str
    """What was seen instead, in words."""
    failed: bool = False
    """Whether Serve has given it up; the others may only need time."""

    def __str__(self) -> str:
        return f"{self.name}: {self.found}"


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
    between: str = "",
) -> list[Check]:
    """Every check, those of the fleet first.

    `cluster` is None when nobody asked the head, or it is away; `silent` names Macs that were asked and did not answer.
    `between` says why the Macs are not all in one Ray cluster; then nothing is asked of that as a whole.
    """
    if between:
        fix = "An upgrade is under way, or has to be: deploy/upgrade.py brings it to its end"
        checks = [Check("Ray cluster", "", False, between, fix)]
    else:
        checks = list(cluster_checks(fleet, plan, cluster)) if cluster else []
    for name in silent:
        found, fix = "gave no answer, see above", "Wake it; ssh to it must work"
        if name == fleet.head.name:
            found, fix = (
                f"{found}; {_HEADLESS}",
                f"{fix}. If it is gone for good: deploy/upgrade.py, after you make another Mac the head",
            )
        checks.append(Check("reachable", name, False, found, fix))
    for name, seen in macs.items():
        mac = fleet.mac(name)
        checks += _jobs(mac, seen)
        checks += [
            _names(fleet, mac, seen),
            _weights(plan, mac, seen),
            _disk(mac, seen),
            _memory(mac, seen),
            *_limit(plan, mac, seen),
            _power(mac, seen),
            *_door(fleet, mac, seen),
            *_draining(mac, seen),
            *_firewall(fleet, mac, seen),
            _generation(fleet, mac, seen),
            *_certificate(fleet, mac, seen),
            *(_contents(mac, folder) for folder in seen.contents),
        ]
    checks += _equal_versions(macs)
    checks += _clocks(macs)
    return checks


def cluster_checks(fleet: Fleet, plan: Plan, cluster: Cluster) -> Iterator[Check]:
    """Whether Ray has every Mac of the inventory and no other, and Serve all of the plan."""
    alive = f"{len(fleet.macs)} alive, each with its node IP"
    if cluster.error:
        yield Check("Ray nodes", "", False, cluster.error, "Look at the head: deploy/logs.py --data job=ray")
        return
    wrong = "; ".join(_nodes(fleet, cluster, frozenset()))
    fix = "See deploy/status.py, then deploy/restart.py --limit NAME"
    yield Check("Ray nodes", "", not wrong, wrong or alive, fix)
    wrong = "; ".join(map(str, _unserved(fleet, plan, cluster, 0)))
    yield Check("Serve", "", not wrong, wrong or _served(fleet, plan, cluster), "deploy/logs.py --data job=engine")


def lacks(fleet: Fleet, plan: Plan, cluster: Cluster, absent: frozenset[str] = frozenset()) -> list[Lack]:
    """What is missing of what `cluster_checks` looks at.

    `absent` names Macs that may be missing: nothing that only they could give is asked for.
    """
    if cluster.error:
        return [Lack("Ray nodes", cluster.error)]
    nodes = "; ".join(_nodes(fleet, cluster, absent))
    return [*([Lack("Ray nodes", nodes)] if nodes else []), *_unserved(fleet, plan, cluster, len(absent))]


def _nodes(fleet: Fleet, cluster: Cluster, absent: frozenset[str]) -> Iterator[str]:
    """What is wrong with Ray's nodes."""
    expected = {mac.node_ip for mac in fleet.macs}
    excused = {mac.node_ip for mac in fleet.macs if mac.name in absent}
    for ip in sorted(expected - excused - cluster.nodes.keys()):
        yield f"{_name_of(fleet, ip)} ({ip}) is not in the cluster"
    for ip in sorted(cluster.nodes.keys() - expected):
        yield f"{ip} is no Mac of the inventory: stop Ray there, or add it"
    for ip, resources in cluster.nodes.items():
        if ip in expected and resources.get(MLX) != SLOTS:
            yield f"{_name_of(fleet, ip)} offers {resources.get(MLX, 0):g} {MLX} instead of {SLOTS}"


def _unserved(fleet: Fleet, plan: Plan, cluster: Cluster, absent: int) -> Iterator[Lack]:
    """What Serve has not of each model, of the entries that take requests in, and of the user's own applications."""
    placements = {name: each for name, each in plan.placements.items() if each.copies}
    for name, each in placements.items():
        seen = cluster.applications.get(application_name(each.model), Deployed())
        if seen.status != RUNNING or not each.minimum - absent <= seen.replicas <= len(each.copies):
            yield Lack(name, f"{seen.replicas} of {each.minimum} replicas, {seen}", seen.status == FAILED)
    entry = cluster.applications.get(ENTRY, Deployed())
    if placements and (entry.status != RUNNING or entry.replicas < len(fleet.macs) - absent):
        found = f"{entry.replicas} of {len(fleet.macs)} Macs take requests, {entry}"
        yield Lack("entry", found, entry.status == FAILED)
    for own in fleet.applications:
        seen = cluster.applications.get(own.name, Deployed())
        if seen.status != RUNNING:
            yield Lack(own.name, str(seen), seen.status == FAILED)


def _served(fleet: Fleet, plan: Plan, cluster: Cluster) -> str:
    """What Serve has, in words."""
    models = [
        f"{name} × {cluster.applications[application_name(each.model)].replicas}"
        for name, each in plan.placements.items()
        if each.copies
    ]
    return ", ".join([*(models or ["no models"]), *(own.name for own in fleet.applications)])


def _name_of(fleet: Fleet, address: str) -> str:
    return next((mac.name for mac in fleet.macs if mac.node_ip == address), address)


def _jobs(mac: Mac, seen: MacHealth) -> Iterator[Check]:
    wanted = layout.labels(mac.is_head)
    jobs = {job.label: job for job in seen.jobs}
    wrong = {}
    for label in wanted:
        job = jobs.get(label, Job(label))
        if job.pid is None:
            wrong[label] = f"{label} does not run (last exit: {job.last_exit or 'never started'})"
        elif job.seconds < STABLE_SECONDS:
            wrong[label] = f"{label} has run for only {job.seconds:.0f} s"
    short = next(iter(wrong), "NAME").rsplit(".", 1)[-1]
    yield Check(
        "jobs",
        mac.name,
        not wrong,
        "; ".join(wrong.values()) or ", ".join(f"{label.rsplit('.', 1)[-1]} {jobs[label].pid}" for label in wanted),
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


def _power(mac: Mac, seen: MacHealth) -> Check:
    wrong = [
        *([f"it sleeps after {seen.facts.sleep} minutes"] if seen.facts.sleep else []),
        *(["it stays off after a power cut"] if seen.facts.autorestart == 0 else []),
    ]
    return Check("power", mac.name, not wrong, "; ".join(wrong) or "it never sleeps", "deploy/cluster.py sets it again")


def _door(fleet: Fleet, mac: Mac, seen: MacHealth) -> Iterator[Check]:
    if seen.door_current is not None:
        found = "it has the keys and settings of this machine"
        if not seen.door_current:
            found = "it has other keys or settings than this machine"
        fix = f"deploy/cluster.py; before that, if the newest {fleet.secrets} is on another machine, copy it here"
        yield Check("door", mac.name, seen.door_current, found, fix)


def _draining(mac: Mac, seen: MacHealth) -> Iterator[Check]:
    if seen.facts.draining:
        fix = "When nobody is at it, a roll was interrupted: the same command again, or deploy/cluster.py"
        yield Check("requests", mac.name, False, "it gets none, as it has its turn in a roll", fix)


def _firewall(fleet: Fleet, mac: Mac, seen: MacHealth) -> Iterator[Check]:
    if fleet.firewall:
        rules = make_rules(fleet, mac)
        wrong = list(faults(rules, seen.filter))
        said = "; ".join(fault for fault, _ in wrong) or "strangers reach the door only"
        yield Check("firewall", mac.name, not wrong, said, "; ".join(dict.fromkeys(fix for _, fix in wrong)))


def _generation(fleet: Fleet, mac: Mac, seen: MacHealth) -> Check:
    answer = seen.answer
    missing = [model.id for model in fleet.models if model.id not in answer.models]
    silent = [model.id for model in fleet.models if not answer.tokens.get(model.id)]
    wrong = [
        *filter(None, [answer.error]),
        *(f"asked on the Mac itself, {what}: {error}" for what, error in seen.own.items()),
        *(f"{model} is not in /v1/models" for model in missing),
        *(f"{model} generates nothing" for model in silent if model not in missing),
    ]
    found = "; ".join(wrong) or f"{len(fleet.models)} models answer, {answer.seconds:.1f} s"
    return Check("generation", mac.name, not wrong, found, "deploy/logs.py --data job=engine")


def _certificate(fleet: Fleet, mac: Mac, seen: MacHealth) -> Iterator[Check]:
    days = seen.answer.days
    if days is not None:
        fix = "deploy/cluster.py makes another one"
        if isinstance(fleet.tls, dict):
            fix = f"Put newer files where `tls` has {fleet.tls['certificate']} and its key, then deploy/cluster.py"
        yield Check("certificate", mac.name, days >= LOW_DAYS, f"the door's holds for {days:.0f} more days", fix)


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
    # The lower one in the middle is a clock that a Mac has: of two Macs, the other one is said to be ahead of it.
    usual = median_low(clocks.values())
    away = {name: round(clock - usual) for name, clock in clocks.items() if abs(clock - usual) > CLOCK_SKEW_SECONDS}
    fix = "Switch on “Set time automatically” on it, in System Settings > General > Date & Time"
    for name, seconds in away.items():
        found = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the others'"
        yield Check("clocks", name, False, found, fix)
    if not away:
        skew = max(clocks.values()) - min(clocks.values())
        yield Check("clocks", "", True, f"within {skew:.0f} s of each other")
