"""Two Ray clusters beside each other: which one the Macs go over to, and its head while it is coming."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.deploy import deploy
from pyinfra.context import host

from fleet import layout, sides
from fleet.jobs import next_jobs
from fleet.settings import Fleet
from fleet.sides import Course, Member
from fleet.upgrade import packages, packages_of
from macos.facts import Files
from macos.facts.running import Clusters, ServePort
from macos.facts.running import Running as RunningFact
from macos.facts.traces import Traces
from macos.operations import files, launchd
from macos.operations.files import Directory, TextFile
from macos.operations.objects import folders_absent
from macos.quiet import Commands, mac_operation
from roles import announce, ray, serve
from roles.context import everyone, goes, joined, reached, the_fleet, the_release, this_mac


def running_arguments() -> dict[str, Any]:
    """For the fact about what a Mac runs."""
    return {"labels": [*([layout.STORE_LABEL] if this_mac().is_head else []), layout.RAY_LABEL]}


def members() -> dict[str, Member]:
    """Where each Mac of this run is."""
    found, runs = everyone(Clusters), everyone(RunningFact, running_arguments)
    return {
        name: Member(where.cluster, where.next, packages(runs[name].files))
        for name, where in found.items()
        if name in runs
    }


@cache
def course() -> Course:
    """Where the settings want the Macs of this run."""
    return sides.course(the_fleet(), members())


def under_way() -> str:
    """Why the Macs are not all in one cluster under the settings' head, in words; empty when they are."""
    found = everyone(Clusters)
    return sides.under_way(the_fleet(), {name: Member(where.cluster, where.next) for name, where in found.items()})


def taken() -> None:
    """From here on this run is about the fleet in the cluster that the settings want."""
    if not course().blocked:
        goes(course().fleet)


def crosses(name: str) -> bool:
    """Whether this Mac leaves a cluster in its turn, or has left it in one that was interrupted."""
    mac = reached(name)
    return mac is not None and joined(mac).cluster != sides.address(the_fleet())


def now(name: str) -> Fleet:
    """The fleet on the side that this Mac is on at this moment."""
    mac = reached(name)
    side = sides.side_of(the_fleet(), joined(mac).cluster) if mac else None
    return the_fleet().on_side(side or the_fleet().side)


def whole() -> None:
    """End the run, before any Mac is touched, when the Macs are not all in one cluster."""
    if between := under_way():
        announce.say(f"error: {not_whole(between)}", "No Mac was touched.")
        announce.end(2)


def not_whole(between: str) -> str:
    """What to do first, for those who need all Macs in one cluster; `between` is how they are."""
    return f"the Macs are on their way to another Ray cluster: {between}. Run deploy/upgrade.py first, which ends that."


@deploy("The cluster that is coming")
def grown() -> None:
    """Its head, on the Mac that will be it in its own turn. What an earlier one has left is not taken over."""
    if course().new:
        emptied()
    release, reads = the_release(), _reads()
    files.tree(
        name="Files of the cluster that is coming",
        directories=[Directory(layout.NEXT), Directory(layout.NEXT_LIBEXEC)],
        files=[
            *{file.path: file for each in reads.values() for file in each}.values(),
            serve.config(layout.NEXT_SERVE_CONFIG),
            TextFile(_marker(), ""),
        ],
    )
    for job in next_jobs(the_fleet(), release):
        launchd.job(job.label, job.plist, depends=[file.content for file in reads[job.label]], name=job.label)


def emptied() -> None:
    """On the head of a cluster that nobody is in yet: whatever an earlier one of its side has left goes."""
    absent(name="No cluster that was coming before")
    _anew()


def outgrown() -> bool:
    """Whether the cluster of this Mac shall begin anew: with another Ray or Python, or with Serve at another port."""
    mine = members().get(host.name, Member())
    fits = sides.fits(mine, packages_of(the_release()))
    return bool(mine.cluster) and not (fits and not serve_moves())


def serve_moves() -> int:
    """The setting `serve_http` of the cluster that this run reaches, when it is another one now; else 0."""
    clusters = {name: joined.cluster for name, joined in everyone(Clusters).items()}
    return sides.former_serve_port(the_fleet(), clusters, everyone(ServePort))


@deploy("The cluster of another Ray")
def ended() -> None:
    """Nothing of it is left on the head: no Ray reads the state of another one."""
    for label in reversed(layout.CLUSTER_LABELS):
        launchd.stop(label, name=f"{label} ends")
    _anew()
    # Last: by them, whoever goes on after an interruption knows what was there.
    for label in reversed(layout.CLUSTER_LABELS):
        launchd.absent(label, name=f"No {label}")


def _anew() -> None:
    folders_absent([the_fleet().store_dir, the_fleet().temp_dir], name="What an earlier cluster has left")
    files.tree(name="Folders of the cluster", directories=folders())


def folders() -> list[Directory]:
    """What a Ray cluster keeps on a Mac."""
    return [
        Directory(the_fleet().store_dir, layout.ACCOUNT, layout.ACCOUNT, "0750"),
        # Ray itself gives this one to everybody.
        Directory(the_fleet().temp_dir, layout.ACCOUNT, layout.ACCOUNT, "0777"),
    ]


@mac_operation("sides.absent")
def absent() -> Commands:
    """No head of a cluster that is coming is on this Mac."""
    yield from _without(layout.NEXT_LABELS)


@mac_operation("sides.cleared")
def cleared() -> Commands:
    """When all Macs are in one cluster: nothing of another one is on this Mac."""
    others = () if this_mac().is_head else (layout.STORE_LABEL, layout.SERVE_LABEL)
    yield from _without((*others, *layout.NEXT_LABELS))
    other = the_fleet().on_side(3 - the_fleet().side)
    markers = [layout.growing(table.serve_http) for table in the_fleet().tables]
    yield from folders_absent._inner([layout.NEXT, other.store_dir, other.temp_dir, *markers])  # type: ignore[attr-defined]


def _without(labels: Sequence[str]) -> Commands:
    """None of these jobs is there."""
    found = host.get_fact(Traces).jobs
    there = [label for label in reversed(labels) if label in found]
    if not there:
        host.noop("no job of another cluster is there")
    for label in there:
        yield from launchd.absent._inner(label)  # type: ignore[attr-defined]  # pyinfra's way to nest operations


@mac_operation("sides.stopped")
def stopped() -> Commands:
    """The head of the cluster that is coming does not run on this Mac, so that the Mac itself can be it."""
    for label in reversed(layout.NEXT_LABELS):
        yield from launchd.stop._inner(label)  # type: ignore[attr-defined]  # pyinfra's way to nest operations
    if host.get_fact(Files, paths=[_marker()]):
        yield StringCommand("rm", "-f", QuoteString(_marker()))


@mac_operation("sides.started")
def started() -> Commands:
    """It runs again, as the Mac itself could not be it."""
    if not host.get_fact(Clusters).next:
        host.noop("this Mac is not the head of a cluster that is coming")
        return
    yield from files.tree._inner(files=[TextFile(_marker(), "")])  # type: ignore[attr-defined]
    for label in layout.NEXT_LABELS:
        yield from launchd.start._inner(label)  # type: ignore[attr-defined]


def _marker() -> str:
    return layout.growing(the_fleet().ports.serve_http)


def _reads() -> dict[str, list[TextFile]]:
    """What the jobs of the cluster that is coming read at their start."""
    return {
        layout.NEXT_STORE_LABEL: ray.store_files(layout.NEXT_LIBEXEC, layout.NEXT_STORE_CONFIG),
        layout.NEXT_RAY_LABEL: ray.node_files(layout.NEXT_LIBEXEC),
        layout.NEXT_SERVE_LABEL: serve.programs(layout.NEXT_LIBEXEC),
    }
