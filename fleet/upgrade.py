"""What an upgrade changes on each Mac, and what it means for those who ask meanwhile. Pure: others look, and act."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from fleet.applications import ENTRY
from fleet.health import FAILED, Lack
from fleet.lockfile import CONDA_NAME
from fleet.placement import Placement
from fleet.plan import Plan
from fleet.release import Release
from fleet.seen import Cluster, Deployed
from fleet.serve import application_name
from fleet.settings import Fleet, Mac

# Names that one line can hold.
_SHOWN = 6
# A Mac has become slow when it takes more than so many times as long, and longer than seconds worth looking at.
_SLOWER, _SLOW_S = 3.0, 2.0


@dataclass(frozen=True)
class Running:
    """What a Mac runs now: as launchd has loaded it, which may not be what stands on its disk."""

    release: str = ""
    """The id of its release; empty on a Mac where Ray's job is not loaded."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """By job: what it was started with."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of everything in its release, by name."""
    draining: bool = False
    """Whether it gets no requests: a roll was interrupted in its turn."""


@dataclass(frozen=True)
class Change:
    """What becomes of one Mac."""

    mac: Mac
    restarts: bool
    """Whether its Ray is restarted; False when it is as it should be."""
    runs: bool
    """Whether it serves now, so that somebody may notice."""
    what: str
    """In words."""
    drains: bool = False
    """Whether it gets no requests: a roll was interrupted in its turn."""

    @property
    def rolls(self) -> bool:
        """Whether it needs a turn of its own: also one whose Ray a turn that was interrupted has ended."""
        return self.drains or (self.runs and self.restarts)


def change(fleet: Fleet, mac: Mac, running: Running, digests: Mapping[str, str]) -> Change:
    """What becomes of a Mac whose jobs shall be started with `digests`, by job."""
    release = fleet.release(mac)
    wanted = packages_of(release)
    if not running.release:
        what = f"joins with release {release.id}"
        return Change(mac, restarts=True, runs=False, what=what, drains=running.draining)
    if all(running.digests.get(label) == digest for label, digest in digests.items()):
        said = "started, and not looked at yet" if running.draining else "as it is"
        return Change(mac, restarts=False, runs=True, what=f"release {release.id}, {said}", drains=running.draining)
    if running.release == release.id:
        what = f"release {release.id}, started with other settings"
        return Change(mac, restarts=True, runs=True, what=what, drains=running.draining)
    told = "; ".join(differences(running.packages, wanted)) or "the same versions, built otherwise"
    what = f"release {running.release} → {release.id}: {told}"
    return Change(mac, restarts=True, runs=True, what=what, drains=running.draining)


def packages_of(release: Release) -> dict[str, str]:
    """Versions of everything in a release, by name."""
    return packages([*(file.name for file in release.conda)], {wheel.name: wheel.version for wheel in release.wheels})


def packages(files: Iterable[str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Versions by name, out of the names of conda packages and wheels; `known` is added."""
    found = {}
    for name in files:
        conda = CONDA_NAME.fullmatch(name)
        if conda:
            found[conda["name"]] = conda["version"]
        elif PurePosixPath(name).suffix == ".whl":
            distribution, version = name.split("-")[:2]
            found[distribution.lower().replace("_", "-")] = version
    return found | dict(known or {})


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What changes, by name: `ray 2.59.0 → 2.59.1`, `+ idna 3.10`, `- six 1.17.0`; the first few, then a count."""
    said = [
        *(
            f"{name} {before[name]} → {after[name]}"
            for name in sorted(before.keys() & after.keys())
            if _other(name, before, after)
        ),
        *(f"+ {name} {after[name]}" for name in sorted(after.keys() - before.keys())),
        *(f"- {name} {before[name]}" for name in sorted(before.keys() - after.keys())),
    ]
    more = len(said) - _SHOWN
    return said if more <= 1 else [*said[:_SHOWN], f"{more} more"]


def _other(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    # "+cpu" says how it was built, and its file's name writes it otherwise.
    return before[name].partition("+")[0] != after[name].partition("+")[0]


def order(fleet: Fleet, left: Collection[str] = ()) -> tuple[Mac, ...]:
    """Whose turn comes when: the head at the end, for it keeps the cluster's books.

    After it come the heads of clusters that the Macs leave, by their node IPs: those need them until nobody is left.
    """
    before = [mac for mac in fleet.workers if mac.node_ip in left]
    return (*(mac for mac in fleet.workers if mac not in before), fleet.head, *before)


def batches(macs: Sequence[Mac], size: int, left: Collection[str] = ()) -> list[tuple[Mac, ...]]:
    """So many at a time, of Macs in their `order`; each head is alone."""
    heads = [mac for mac in macs if mac.is_head or mac.node_ip in left]
    workers = [mac for mac in macs if mac not in heads]
    parts = [tuple(workers[start : start + size]) for start in range(0, len(workers), size)]
    return [*parts, *((mac,) for mac in heads)]


def halved(plan: Plan) -> list[str]:
    """The models that one of two clusters may lack while the Macs go over: those without a copy on every Mac, by id."""
    return [name for name, each in plan.placements.items() if each.copies and not _everywhere(plan, each)]


def _everywhere(plan: Plan, placement: Placement) -> bool:
    return placement.size == 1 and placement.minimum == len(placement.copies) == len(plan.fleet.macs)


def scaled(plan: Plan) -> list[str]:
    """The models whose copies come and go with requests, by id: a Mac may have none in its turn."""
    return [name for name, each in plan.placements.items() if each.minimum < len(each.copies)]


def interrupted(plan: Plan, batch: Sequence[Mac]) -> list[str]:
    """The models that nobody may serve while these Macs have their turn, by id."""
    return [name for name, each in plan.placements.items() if each.copies and not _stays(each, batch)]


def start_told(seconds: float | None) -> str:
    """For how long a model is away, in words; `seconds` are those of its last start, when they are known."""
    if seconds is None:
        return "for as long as its engine takes to start"
    told = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} s"
    return f"for about {told}, which its engine took to start, and some time for Ray"


def _stays(placement: Placement, batch: Sequence[Mac]) -> bool:
    """Whether a copy surely is on other Macs. Of those that come and go with requests, any may be the one that runs."""
    touched = sum(bool(set(copy) & set(batch)) for copy in placement.copies)
    return touched < placement.minimum


def pace(seconds: float, elsewhere: Sequence[float], earlier: Sequence[float]) -> tuple[bool, str]:
    """Whether a Mac has become slow, and its pace in words, by the seconds that an answer takes.

    It is not when it is about as fast as the fastest of the others, or as it was `earlier`: an older Mac need not keep
    up with the others, and a fleet may have no others.
    """
    told = [f"answers on it in {seconds:.1f} s"]
    told += [f"{min(elsewhere):.1f} s elsewhere"] if elsewhere else []
    told += [f"{min(earlier):.1f} s on it before"] if earlier else []
    usual = max((min(each) for each in (elsewhere, earlier) if each), default=seconds)
    return seconds > max(_SLOW_S, _SLOWER * usual), ", ".join(told)


def always_on(plan: Plan, mac: Mac) -> list[str]:
    """The models with a replica of their own on this Mac whatever is asked of the fleet, by id."""
    return [name for name, placement in plan.placements.items() if _always_on(placement, mac)]


def _always_on(placement: Placement, mac: Mac) -> bool:
    return placement.size == 1 and mac in placement.macs and placement.minimum == len(placement.copies)


def due_on(plan: Plan, mac: Mac, cluster: Cluster) -> list[str]:
    """The models that can be served with this Mac: a group needs all its Macs in the cluster, by id."""
    return [
        name
        for name, placement in plan.placements.items()
        if any(mac in copy and (len(copy) == 1 or _together(copy, cluster)) for copy in placement.copies)
    ]


def _together(copy: Iterable[Mac], cluster: Cluster) -> bool:
    return all(mac.node_ip in cluster.nodes for mac in copy)


def alone(plan: Plan, batch: Collection[Mac], clusters: Sequence[Cluster]) -> list[str]:
    """What would be served by nobody while these Macs have their turn, and is now: models by id, and ENTRY.

    Without those that the plan has nowhere else, to which a person has agreed. `clusters` are all that the Macs are in.
    """
    agreed = interrupted(plan, [*batch])
    served = {name: _places(clusters, application_name(each.model)) for name, each in plan.placements.items()}
    touched = {
        name: {mac.node_ip for copy in each.copies if set(copy) & set(batch) for mac in copy}
        for name, each in plan.placements.items()
    }
    found = [name for name in served if name not in agreed and _only(served[name], touched[name])]
    entries = _places(clusters, ENTRY)
    others = len(plan.fleet.macs) > len(batch)
    return [*found, *([ENTRY] if others and _only(entries, {mac.node_ip for mac in batch}) else [])]


def _places(clusters: Iterable[Cluster], application: str) -> set[str]:
    return {ip for cluster in clusters for ip in cluster.applications.get(application, Deployed()).places}


def _only(places: set[str], touched: set[str]) -> bool:
    return bool(places & touched) and not places - touched


def missing_on(plan: Plan, mac: Mac, cluster: Cluster, gone: str = "") -> list[Lack]:
    """What this Mac lacks of what the plan wants on it.

    Of copies that come and go with requests it need not have one, and of a group all copies must be there. The node
    that Ray calls `gone` is the one of before a restart, which may look alive for a while.
    """
    if cluster.error:
        return [Lack("Ray nodes", cluster.error)]
    if cluster.ids.get(mac.node_ip, gone) == gone:
        return [Lack("Ray nodes", f"Ray has no node {mac.node_ip} yet")]
    lacking = []
    for name in due_on(plan, mac, cluster):
        placement = plan.placements[name]
        seen = cluster.applications.get(application_name(placement.model), Deployed())
        if placement.size > 1:
            there = seen.replicas >= placement.minimum
        else:
            there = mac.node_ip in seen.places or not _always_on(placement, mac)
        lacking += [] if there else [Lack(name, str(seen), seen.status == FAILED)]
    entry = cluster.applications.get(ENTRY, Deployed())
    if any(each.copies for each in plan.placements.values()) and mac.node_ip not in entry.places:
        lacking.append(Lack("entry", f"requests are not taken in: {entry}", entry.status == FAILED))
    return lacking
