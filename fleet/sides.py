"""In which Ray cluster each Mac is, and in which it shall be. Pure: others look, and act.

All Macs of a cluster run the same Ray and Python, under one head. For another Ray, Python or head a new cluster grows
beside the one that there is, on the ports of the other side, and the Macs go over to it one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.ports import APART
from fleet.settings import Fleet, Mac
from fleet.upgrade import packages_of

# What all nodes of one Ray cluster must have in common.
CLUSTER_WIDE = ("python", "ray")
# For a table that has never been changed.
_OTHER = {1: 2, 2: 1}


@dataclass(frozen=True)
class Member:
    """Where one Mac is. Clusters are told by the address of their head: `10.77.0.11:6379`."""

    cluster: str = ""
    """Empty on a Mac without Ray's job."""
    next: str = ""
    """The cluster that is coming whose head it is, beside its own node."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of everything in the release that it runs, by name; empty when it runs none."""


@dataclass(frozen=True)
class Course:
    """What has to happen until all Macs are in the cluster that the settings want."""

    fleet: Fleet
    """The fleet on the side of that cluster."""
    moving: tuple[Mac, ...] = ()
    """The Macs that are in another one."""
    new: bool = False
    """Whether nobody is in it yet."""
    grows: bool = False
    """Whether its head must be there before the Mac that will be it has left another cluster."""
    left: frozenset[str] = frozenset()
    """The node IPs of the heads of the clusters that are left."""
    blocked: str = ""
    """Why it cannot be had Mac by Mac; empty when it can."""


def address(fleet: Fleet) -> str:
    """The address of the fleet's cluster."""
    return f"{fleet.head.node_ip}:{fleet.ports.gcs}"


def side_of(fleet: Fleet, cluster: str) -> int:
    """On which side a cluster is; 0 for one whose port is in neither table."""
    port = cluster.rpartition(":")[2]
    return next((side for side, table in enumerate(fleet.tables, 1) if str(table.gcs) == port), 0)


def now(fleet: Fleet, clusters: Mapping[str, str]) -> int:
    """The side that the fleet is on, from the clusters of its Macs by name: the head's own, or that of most."""
    joined = [cluster for cluster in clusters.values() if side_of(fleet, cluster)]
    own = clusters.get(fleet.head.name, "")
    led = [cluster for cluster in joined if cluster.rpartition(":")[0] == fleet.head.node_ip]
    most = [cluster for cluster, _ in Counter(led or joined).most_common(1)]
    return side_of(fleet, own) or (side_of(fleet, most[0]) if most else 1)


def former_serve_port(fleet: Fleet, clusters: Mapping[str, str], listens: Mapping[str, int]) -> int:
    """The setting `serve_http` of the cluster that runs, when it is another one now; else 0.

    Both by Mac: the cluster that it is in, and the port in the Serve config that it has.
    """
    known = {table.serve_http for table in fleet.tables}
    for mac in fleet.macs:
        cluster, port = clusters.get(mac.name, ""), listens.get(mac.name, 0)
        # What another Mac than its head has in that file is left over from when it was one.
        if cluster.rpartition(":")[0] == mac.node_ip and port and port not in known:
            return port - APART * (side_of(fleet, cluster) == 2)
    return 0


def view(fleet: Fleet, cluster: str) -> Fleet | None:
    """The fleet as that cluster has it; None when its head is no Mac of the fleet."""
    head = next((mac for mac in fleet.macs if mac.node_ip == cluster.rpartition(":")[0]), None)
    side = side_of(fleet, cluster)
    return fleet.led_by(head).on_side(side) if head and side else None


def course(fleet: Fleet, members: Mapping[str, Member]) -> Course:
    """Where the fleet goes, from where its Macs are by name. All of them must be known."""
    running = {name: member for name, member in members.items() if member.cluster}
    if any(not side_of(fleet, member.cluster) for member in running.values()):
        return Course(fleet, blocked="Ray's ports are others than those that it runs with")
    there = _there(fleet, running)
    fleet = fleet.on_side(there or _free(fleet, running))
    target = address(fleet)
    moving = tuple(mac for mac in fleet.macs if mac.name in running and running[mac.name].cluster != target)
    if moving and not there and any(member.cluster == target for member in running.values()):
        said = "the Macs are on their way to another Ray, Python or head, and this is a third one"
        return Course(fleet, blocked=said)
    return Course(
        fleet,
        moving,
        new=bool(moving) and not there,
        grows=fleet.head in moving and len(running) > 1,
        left=frozenset(running[mac.name].cluster.rpartition(":")[0] for mac in moving),
    )


def _there(fleet: Fleet, running: Mapping[str, Member]) -> int:
    """The side on which there is a cluster as the settings want it; 0 when there is none."""
    wanted = packages_of(fleet.release(fleet.head))
    own = running.get(fleet.head.name, Member()).cluster
    found = []
    for side in (1, 2):
        target = address(fleet.on_side(side))
        inside = [member for member in running.values() if member.cluster == target]
        if inside and all(fits(member, wanted) for member in inside):
            found.append((target != own, side))
    return min(found)[1] if found else 0


def fits(member: Member, wanted: Mapping[str, str]) -> bool:
    """Whether what it runs can be in one cluster with these versions."""
    return all(member.versions.get(name, wanted.get(name)) == wanted.get(name) for name in CLUSTER_WIDE)


def _free(fleet: Fleet, running: Mapping[str, Member]) -> int:
    """The side on which the head can have a cluster that is none of those that there are."""
    own = running.get(fleet.head.name)
    taken = own.cluster if own else next(iter(running.values()), Member()).cluster
    return _OTHER[side_of(fleet, taken)] if taken else 1


def under_way(fleet: Fleet, members: Mapping[str, Member]) -> str:
    """Why the Macs are not all in one cluster under the settings' head, in words; empty when they are."""
    groups: dict[str, list[str]] = {}
    for name, member in members.items():
        if member.cluster:
            groups.setdefault(member.cluster, []).append(name)
    if len(groups) > 1:
        return "; ".join(
            f"{_named(names)} in the Ray cluster of {_head(fleet, each)}" for each, names in groups.items()
        )
    if coming := [name for name, member in members.items() if member.next]:
        return f"a Ray cluster has begun to grow on {_named(coming)}, and nobody is in it"
    wrong = [each for each in groups if each.rpartition(":")[0] != fleet.head.node_ip]
    return f"the Macs are in the Ray cluster of {_head(fleet, wrong[0])}" if wrong else ""


def _named(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _head(fleet: Fleet, cluster: str) -> str:
    ip, _, port = cluster.rpartition(":")
    name = next((mac.name for mac in fleet.macs if mac.node_ip == ip), ip)
    return f"{name}, port {port}"
