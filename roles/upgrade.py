"""An upgrade of the fleet: what it changes, shown first; then one Mac after the other."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, NoReturn

from pyinfra.context import host

from depot.secrets import RAY_TOKEN
from fleet import layout
from fleet.rollback import number
from fleet.serve import application_name
from fleet.settings import Mac
from fleet.upgrade import (
    Change,
    Running,
    batches,
    change,
    halved,
    interrupted,
    order,
    packages,
    scaled,
    start_told,
)
from macos.facts import Files
from macos.facts.report import MacReport
from macos.facts.running import Clusters, Kept, Starts, Turns
from macos.facts.running import Running as RunningFact
from roles import announce, ray, serve, sides, turn
from roles.context import everyone, on, reached, the_fleet, this_mac
from roles.jobs import stop_at_the_first, turn_over
from roles.told import told_plan


@cache
def changes() -> tuple[Change, ...]:
    """What becomes of each Mac of this run, in the order of their turns."""
    fleet, found = the_fleet(), everyone(RunningFact, sides.running_arguments)
    return tuple(_change(mac, found[mac.name]) for mac in order(fleet, sides.course().left) if mac.name in found)


def _change(mac: Mac, found: Any) -> Change:  # noqa: ANN401
    target = reached(mac.name)
    if target is None:
        raise RuntimeError(f"{mac.name} is not part of this run")
    with on(target):
        digests = {label: ray.digest(label, read) for label, read in ray.reads().items()}
    release = found.release.rpartition("/")[2]
    draining = everyone(MacReport)[mac.name].draining
    return change(the_fleet(), mac, Running(release, found.digests, packages(found.files), draining), digests)


def batch_size() -> int:
    """How many Macs have their turn at once: `--data batch=2`; one by default."""
    given = str(host.data.get("batch") or 1)
    if not given.isdigit() or int(given) < 1:
        refuse(f"--data batch={given} is no number of Macs; write --data batch=2, or leave it out.")
    return int(given)


def turns() -> list[tuple[Mac, ...]]:
    """The Macs that need a turn, as many at once as asked for; first, alone, those that serve nobody meanwhile."""
    rolling = [each for each in changes() if each.rolls]
    idle = [(each.mac,) for each in rolling if each.drains]
    return [*idle, *batches([each.mac for each in rolling if not each.drains], batch_size(), sides.course().left)]


def restarts_nobody() -> None:
    """End the run, before any Mac is touched, when it would restart Ray on Macs that serve.

    `--data at_once=1` does it all the same: on all Macs together, and nothing is served meanwhile.
    """
    rolling = [each for each in changes() if each.runs and each.restarts]
    between = sides.under_way()
    if host.data.get("at_once") or _said("cluster"):
        return
    _serve_stays()
    if not (rolling or between):
        return
    announce.say(*_lines(rolling))
    announce.say(
        "error: Ray would be restarted on these Macs, which serve. No Mac was touched."
        if rolling
        else f"error: {sides.not_whole(between)} No Mac was touched.",
        "deploy/upgrade.py does it Mac by Mac, while the others serve.",
        "deploy/cluster.py --data at_once=1 does it on all of them together; nothing is served for some minutes.",
    )
    announce.end(2)


def without_turn() -> bool:
    """Whether this run gives Ray on this Mac something else, with no turn to keep what it ran: no rollback has that."""
    restarts = any(each.runs and each.restarts for each in changes()) or sides.serve_moves()
    if host.data.get("at_once") and restarts:
        return True
    # In a turn that was interrupted, that was kept.
    if everyone(MacReport)[host.name].draining:
        return False
    laid = host.get_fact(Kept, path=layout.plist_path(layout.RAY_LABEL))
    return bool(laid) and laid != ray.digest(layout.RAY_LABEL, ray.reads()[layout.RAY_LABEL])


def announced() -> None:
    """Show what the upgrade changes; end the run when it needs an interruption to which nobody has agreed."""
    # For every Mac's part of the deploy, before it goes on.
    sides.taken()
    if _said("upgrade"):
        return
    everybody("an upgrade")
    course = sides.course()
    if course.blocked:
        refuse(
            f"{course.blocked}.",
            "deploy/cluster.py --data at_once=1 does it on all Macs together; nothing is served for some minutes.",
        )
    if strangers := _strangers():
        refuse(
            f"{', '.join(strangers)} run with another token of Ray's than {the_fleet().secrets}/{RAY_TOKEN} is.",
            "Copy that folder from the control machine that has set them up. If it is lost for good, deploy/cluster.py "
            "--data at_once=1 gives all of them new secrets; nothing is served for some minutes, and clients need the "
            "new CA and keys.",
        )
    _serve_stays()
    if not course.moving and (added := _added()):
        refuse(
            f"{', '.join(added)} would be new, and Ray is restarted on Macs that serve: first one, then the other.",
            "Take what is new out of the settings, run deploy/upgrade.py, put it back, and run deploy/cluster.py.",
        )
    announce.say("Upgrade:", *_lines(changes()))
    if course.moving:
        head, side = the_fleet().head.name, the_fleet().side
        announce.say(f"They go over to another Ray cluster, whose head is {head}, on the ports of side {side}.")
    if turns() and (models := scaled(announce.plan())):
        announce.say(
            f"Copies of {', '.join(models)} come and go with requests: a Mac that has none in its turn passes without, "
            "and tries what is new when one comes."
        )
    agreed([*unserved(turns()), *_halved()])


def _token() -> dict[str, Any]:
    return {"paths": [layout.RAY_TOKEN]}


def _strangers() -> list[str]:
    """The Macs that serve with another token: one that has had its turn would not be let in."""
    wanted = sha256(ray.secrets().ray_token.encode()).hexdigest()
    found = {name: files[layout.RAY_TOKEN].sha256 for name, files in everyone(Files, _token).items() if files}
    return [each.mac.name for each in changes() if each.runs and found.get(each.mac.name, wanted) != wanted]


def _serve_stays() -> None:
    """End the run when Serve would listen on another port, which it does not while its cluster lives."""
    if not sides.serve_moves():
        return
    before, now = sides.serve_moves(), the_fleet().tables[0].serve_http
    refuse(
        f'Serve keeps to its port as long as its Ray cluster lives: "serve_http" was {before}, and is {now} now.',
        f"Write {before} again; or deploy/cluster.py --data at_once=1 begins a new cluster, and nothing is served for "
        "some minutes.",
    )


def _added() -> list[str]:
    """The Macs that are new while others have their turns: what Serve places on one of them, it takes from those."""
    if not turns():
        return []
    # One in the middle of its turn may have nothing of Ray at this moment.
    return [each.mac.name for each in changes() if not (everyone(Clusters)[each.mac.name].cluster or each.drains)]


def agreed(interruptions: Sequence[str]) -> None:
    """Tell what a run interrupts, and end the run when nobody agrees to it."""
    if interruptions:
        announce.say(*interruptions)
        if not _agreed():
            refuse("--data yes=1 says that this may be.")


def unserved(parts: Sequence[Sequence[Mac]]) -> list[str]:
    """What nobody serves while some Macs have their turn, in words; `parts` have it one after the other."""
    plan = told_plan()
    found = {model: names(part) for part in parts for model in interrupted(plan, part)}
    seconds = _starts() if found else {}
    return [
        f"{model} is served by nobody else while {macs} has its turn: {start_told(seconds.get(model))}."
        for model, macs in found.items()
    ]


def _starts() -> dict[str, float]:
    """Seconds that each model's engine took to start, by id; only the Mac with Serve's controller knows some."""
    found = {name: seconds for each in everyone(Starts, _metrics).values() for name, seconds in each.items()}
    return {model.id: found[at] for model in the_fleet().models if (at := application_name(model)) in found}


def _metrics() -> dict[str, Any]:
    return {"url": f"http://{this_mac().node_ip}:{sides.now(host.name).ports.metrics}/metrics"}


def _halved() -> list[str]:
    """What one of two clusters lacks while the Macs go over, in words."""
    if not sides.course().moving or len(the_fleet().macs) < 2:
        return []
    return [
        f"{model} has no copy on every Mac: while the Macs are in two clusters, one of these may not serve it."
        for model in halved(announce.plan())
    ]


def everybody(what: str) -> None:
    """End the run when it does not reach every Mac."""
    if missing := [mac.name for mac in the_fleet().macs if not reached(mac.name)]:
        refuse(
            f"{what} needs every Mac, and this run does not reach {', '.join(missing)}: give no --limit, switch it on, "
            "or delete its line in the inventory if it is gone for good."
        )


def names(macs: Sequence[Mac]) -> str:
    """For a sentence."""
    return " and ".join(mac.name for mac in macs)


def rolled() -> None:
    """Macs that serve have their turn one after the other, the head last; the others just start."""
    # The turns themselves ask by it.
    ray.report_program()
    stop_at_the_first(name="What fails ends the upgrade")
    waiting = {mac.name for batch in turns() for mac in batch}
    _comes(waiting)
    if host.name not in waiting:
        if "head" in host.groups:
            ray.store()
        ray.node()
        if "head" in host.groups and sides.course().moving:
            serve.kept()
    each(turns(), lambda batch: turn.taken(_number(), batch, name=f"Turn of {host.name}"))


@cache
def _number() -> int:
    """Of this upgrade, among all that there were."""
    return number(everyone(Turns), [each.mac.name for each in changes() if each.rolls and not each.drains])


def _comes(waiting: Collection[str]) -> None:
    """The head of the cluster that the Macs go over to is there before the first of them.

    When that Mac is not `waiting` for a turn, it serves nobody now, and just starts as the head.
    """
    course = sides.course()
    is_head = host.name == course.fleet.head.name
    if is_head and course.grows and host.name in waiting:
        sides.grown()
    elif is_head and course.new:
        sides.emptied()
    else:
        sides.absent(name="No Ray cluster that was coming before")


def each(parts: Sequence[Sequence[Mac]], action: Any) -> None:  # noqa: ANN401
    """Do it on the Macs of one part, then on those of the next; a Mac that fails is followed by no other.

    `action` is given the names of the part's Macs.
    """
    stop_at_the_first(name="One Mac after the other")
    for part in host.loop(list(parts)):  # type: ignore[no-untyped-call]
        batch = [mac.name for mac in part]
        if host.name in batch:
            action(batch)
        turn_over(name=f"Turn of {names(part)} is over")


def _lines(several: Sequence[Change]) -> list[str]:
    width = max(len(each.mac.name) for each in several)
    return [f"  {each.mac.name:<{width}}  {each.what}" for each in several]


def _agreed() -> bool:
    """Whether the person agrees, by an option or at the terminal."""
    if host.data.get("yes"):
        return True
    if not sys.stdin.isatty():
        return False
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def refuse(*lines: str) -> NoReturn:
    announce.say(f"error: {lines[0]}", *lines[1:], "No Mac was touched.")
    announce.end(2)


_once: set[str] = set()


def _said(what: str) -> bool:
    """Whether this was called before: it is said once for all Macs."""
    before = what in _once
    _once.add(what)
    return before
