"""A Mac's turn in a roll: drained, switched, gated; and put back on what it ran before when that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import gevent
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.context import host, state

from fleet import layout
from fleet.applications import ENTRY
from fleet.health import Lack
from fleet.settings import Fleet
from fleet.sides import view
from fleet.upgrade import alone, always_on, due_on, missing_on, pace, scaled
from macos.facts.report import MacReport
from macos.facts.running import Generations, Kept, KeptJobs, Running, Tried
from macos.operations import files, launchd, turn
from macos.operations.files import TextFile
from macos.operations.objects import folders_absent
from macos.quiet import Commands, MacOperation, mac_operation
from roles import ray, serve, sides
from roles.acting import UNREACHED, fail, run, tell, until
from roles.context import joined, on, the_fleet, the_release
from roles.drain import drain, flagged, let_in
from roles.report import seen_by_head
from roles.serve import PATIENCE_S, Patience
from roles.told import told_plan

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# Serve tries again at once. What has failed twice, and for so long, goes on failing, whatever the size of the model:
# large ones take long to load, but they do not fail at it again and again.
FAILING_S = 60
# For how long to look again whether others serve, when it has drained.
AGAIN_S = 180
# What a model is answered for that no copy is loaded of.
LOADING = "model_not_ready"


@mac_operation("turn.taken")
def taken(number: int, batch: Sequence[str]) -> Commands:
    """This Mac runs what the settings say, and serves; else it is back on what it ran before, and the run fails.

    `number` is that of the upgrade, which a rollback goes by; `batch` are the Macs that have their turn at once.
    """
    changes = any(True for step in _steps() for _ in step())
    if not changes and not host.get_fact(MacReport).draining:
        host.noop("it runs what the settings say")
        return
    yield FunctionCommand(_take, [changes, number, batch], {})


@mac_operation("turn.back")
def back(goes: bool, batch: Sequence[str]) -> Commands:
    """This Mac runs again what it ran before its last turn; or, after a turn that was interrupted, what it has."""
    yield FunctionCommand(_go_back if goes else _start_again, [batch] if goes else [], {})


@mac_operation("turn.restarted", is_idempotent=False)
def restarted() -> Commands:
    """This Mac's Ray starts anew at once, and serves again. Always acts."""
    yield FunctionCommand(_restart, [], {})


def forgotten() -> None:
    """Nothing is kept to go back to: that would be what this Mac ran before something else than its last turn."""
    folders_absent([layout.PREVIOUS], name="Nothing to go back to")


@mac_operation("turn.opened")
def opened() -> Commands:
    """This Mac gets requests. Only a roll that was interrupted leaves one that does not."""
    if not host.get_fact(MacReport).draining:
        host.noop("it gets requests")
        return
    yield FunctionCommand(_open, [], {})


def _steps() -> list[Callable[[], Commands]]:
    """What makes this Mac's part of the cluster what the settings say, step by step: each looks at the Mac anew."""
    steps: list[Callable[[], Commands]] = []
    leaves = sides.crosses(host.name)
    if leaves:
        # First, so that the cluster that is coming is without its head for a short while only.
        steps += [partial(_inner(launchd.absent), label) for label in reversed(layout.CLUSTER_LABELS)]
        steps.append(_inner(sides.stopped))
    for label, read in ray.reads().items():
        steps += _job(label, read)
    if leaves and the_fleet().mac(host.name).is_head:
        steps.append(partial(_inner(files.tree), files=[serve.config()]))
        steps += _job(layout.SERVE_LABEL, serve.programs())
    return steps


def _job(label: str, read: Sequence[TextFile]) -> list[Callable[[], Commands]]:
    depends = [file.content for file in read]
    return [partial(_inner(files.tree), files=read), partial(_inner(launchd.job), label, ray.plist(label), depends)]


def _inner(operation: MacOperation) -> Callable[..., Commands]:
    """An operation's commands, for those who run them within an operation of theirs."""
    inner: Callable[..., Commands] = operation._inner  # type: ignore[attr-defined]  # pyinfra's way to nest operations
    return inner


def _take(state: State, host: Host, changes: bool, number: int, batch: Sequence[str]) -> bool:
    """The whole turn. On failure the Mac is back on what it ran before, as far as that serves."""
    before = tried(host, models_of(host), patient=False)
    if not _empty(state, host, batch):
        return False
    loaded = _loaded(host)
    if changes and loaded and not run(host, _on_disk("keep", loaded, number)):
        let_in(state, host)
        return fail(host, "nothing was changed, as what it runs could not be kept")
    tell(host, f"switches to release {_release(host)}")
    gone = _node(host, the_fleet())
    with on(host):
        steps = _steps()
    if _done(host, steps):
        gone = gone if _loaded(host) != loaded else ""
        if _serves(host, the_fleet(), gone) and _gate(host, before):
            return let_in(state, host)
    if not _kept(host):
        return _left_out(host, "nothing else is kept to go back to")
    old = view(the_fleet(), joined(host).kept)
    if old is None:
        return _left_out(host, "the head of the Ray cluster that it has left is no Mac of the fleet any more")
    fail(host, "goes back to what it ran before")
    gone, back = _node(host, old), _laid(host, "restore") and _done(host, [_inner(sides.started)])
    # What has failed is still said for a while.
    if back and _serves(host, old, gone, patient=True):
        fail(host, "serves again as before; the roll stops here, and the other Macs stay as they are")
        fail(host, f"for more of why: deploy/logs.py --limit {host.name} --data job=engine")
        let_in(state, host)
        return False
    return _left_out(host, "does not serve as before either")


def _empty(state: State, host: Host, batch: Sequence[str]) -> bool:
    """It serves nobody any more, and others do; else nothing was changed."""
    with on(host):
        looks = not (host.data.get("alone") or flagged(host))
    unserved = partial(_unserved, host, batch)
    if looks and not until(host, unserved, PATIENCE_S, "waits for its turn"):
        return fail(
            host, "nothing was changed on it; --data alone=1 waits for no other Mac, and requests may fail then"
        )
    if not drain(state, host):
        return fail(host, "nothing was changed on it")
    # That may have taken long.
    if looks and not until(host, unserved, AGAIN_S, "looks at the others again"):
        let_in(state, host)
        return fail(host, "nothing was changed on it")
    return True


def _unserved(host: Host, batch: Sequence[str]) -> str:
    """Who would be without an answer while these Macs have their turn, though the plan says otherwise; or nobody."""
    fleet = the_fleet()
    seen = [seen_by_head(fleet)]
    if seen[0].error and host.name != fleet.head.name:
        return f"the head's Ray does not answer: {seen[0].error}"
    left = view(fleet, joined(host).cluster) if sides.crosses(host.name) else None
    if left is not None:
        # Its head may be gone for good.
        with suppress(*UNREACHED):
            seen.append(seen_by_head(left))
    found = alone(told_plan(), [fleet.mac(name) for name in batch], seen)
    said = ["the endpoint" if name == ENTRY else name for name in found]
    return f"no other Mac serves {' and '.join(said)} at this moment" if said else ""


def _go_back(state: State, host: Host, batch: Sequence[str]) -> bool:
    """The turn of a rollback."""
    if not _empty(state, host, batch):
        return False
    gone = _node(host, the_fleet())
    if _laid(host, "swap") and _open(state, host, gone):
        return True
    return _left_out(host, "has not gone back")


def _start_again(state: State, host: Host) -> bool:
    """Its jobs are loaded as they stand on its disk, whenever the turn was interrupted."""
    jobs = [label for label in layout.CLUSTER_LABELS if label in layout.labels(the_fleet().mac(host.name).is_head)]
    gone, again = _node(host, the_fleet()), [partial(_inner(launchd.reload), label) for label in jobs]
    if not drain(state, host):
        return fail(host, "nothing was changed on it")
    if _done(host, again) and _open(state, host, gone):
        return True
    return _left_out(host, "does not serve")


def _restart(state: State, host: Host) -> bool:
    gone = _node(host, the_fleet())
    return _done(host, [partial(_inner(launchd.restart), layout.RAY_LABEL)]) and _serves(host, the_fleet(), gone)


def _left_out(host: Host, why: str) -> bool:
    """Said of a Mac whose turn has ended badly."""
    fail(host, f"{why}; it gets no requests, and the others serve on")
    return fail(
        host, f"see deploy/logs.py --limit {host.name} --data job=engine, mend it, and run the same command again"
    )


def _open(state: State, host: Host, gone: str = "") -> bool:
    """It gets requests once it serves them well."""
    return _serves(host, the_fleet(), gone) and _gate(host) and let_in(state, host)


def _node(host: Host, fleet: Fleet) -> str:
    """What Ray calls its node at this moment, which may look alive for a while after its end; empty without one."""
    try:
        return seen_by_head(fleet).ids.get(the_fleet().mac(host.name).node_ip, "")
    except UNREACHED:
        return ""


def _loaded(host: Host) -> str:
    """What its Ray was started with; empty when there is none."""
    with on(host):
        running = host.get_fact(Running, labels=[layout.RAY_LABEL])
    return str(running.digests.get(layout.RAY_LABEL, ""))


def _kept(host: Host) -> bool:
    """Whether it could go back to something else than it runs."""
    with on(host):
        kept = host.get_fact(Kept, path=f"{layout.PREVIOUS}{layout.plist_path(layout.RAY_LABEL)}")
    return bool(kept) and kept != _loaded(host)


def _laid(host: Host, verb: str) -> bool:
    """What was kept is on the disk again, and loaded; a job that was not there then is gone."""
    with on(host):
        kept = host.get_fact(KeptJobs)
    gone = [label for label in reversed(layout.CLUSTER_LABELS) if label not in kept]
    if not (_done(host, [partial(_inner(launchd.absent), label) for label in gone]) and run(host, _on_disk(verb))):
        return False
    again = [label for label in layout.CLUSTER_LABELS if label in kept]
    return _done(host, [partial(_inner(launchd.reload), label) for label in again])


def _done(host: Host, steps: Sequence[Callable[[], Commands]]) -> bool:
    """Whether one step after the other ended well."""
    for step in steps:
        with on(host):
            commands = list(step())
        if not all(run(host, command) for command in commands):
            return False
    return True


def _serves(host: Host, fleet: Fleet, gone: str = "", patient: bool = False) -> bool:
    """Ray has this Mac, under its node IP, and on it is all that Serve was told of. `patient` forgives errors.

    `fleet` is on the side of the cluster that the Mac is to be in, `gone` the node of before, which does not count.
    """
    mac, plan = the_fleet().mac(host.name), told_plan(fleet)
    limit, started = Patience(PATIENCE_S), time.monotonic()
    failed: dict[int, float] = {}
    missing: list[Lack] = []

    def lacking() -> str:
        missing.clear()
        seen = seen_by_head(fleet)
        for ip, pid in (each for deployed in seen.applications.values() for each in deployed.failing):
            if ip == mac.node_ip:
                failed.setdefault(pid, time.monotonic())
        missing.extend(missing_on(plan, mac, seen, gone))
        return "; ".join(map(str, missing))

    def hopeless(_: str) -> bool:
        # Serve tries for ever as long as another Mac has a replica that runs. A start that failed by chance may be
        # followed by one that takes long and ends well. Where no other has one, Serve gives up by itself.
        now = time.monotonic()
        failing = len(failed) > 1 and now - min(failed.values()) > FAILING_S
        given_up = bool(missing) and limit.over(now - started, missing)
        return not patient and (failing or given_up)

    return until(host, lacking, PATIENCE_S, "starts", hopeless)


def _gate(host: Host, before: Mapping[str, Tried] | None = None) -> bool:
    """Its own generations, asked on the Mac itself, are right, and as fast as those of the others or its own `before`.

    An older Mac need not be as fast as the others, and a fleet may have no others.
    """
    plan, mac, before = told_plan(), the_fleet().mac(host.name), before or {}
    models = _due(host)
    mine = tried(host, models, here=always_on(plan, mac))
    # At once: there may be fifty of them.
    others = [other for other in state.inventory.get_active_hosts() if other.name != host.name]
    theirs = [task.get() for task in [gevent.spawn(tried, other, models) for other in others]]
    for model in models:
        if model in scaled(plan) and LOADING in mine[model].error:
            tell(host, f"{model} has no copy that is loaded at this moment: not tried")
            continue
        if mine[model].error:
            return fail(host, f"{model} does not answer on it: {mine[model].error}")
        elsewhere = [found[model].seconds for found in theirs if not found[model].error]
        earlier = [before[model].seconds] if model in before and not before[model].error else []
        slow, told = pace(mine[model].seconds, elsewhere, earlier)
        if slow:
            return fail(host, f"{model} has become slow: {told}")
        tell(host, f"{model} {told}")
    return True


def _due(host: Host) -> list[str]:
    """What shall be served on it now, without groups whose other Macs are elsewhere."""
    try:
        seen = seen_by_head(the_fleet())
    except UNREACHED:
        return models_of(host)
    return models_of(host) if seen.error else due_on(told_plan(), the_fleet().mac(host.name), seen)


def models_of(host: Host) -> list[str]:
    """What shall be served on it now."""
    return [model.id for model in told_plan().models_on(the_fleet().mac(host.name))]


def tried(host: Host, models: Sequence[str], patient: bool = True, here: Sequence[str] = ()) -> dict[str, Tried]:
    """What a Mac answers, asked on itself; `patient` waits for a Serve that is not there yet.

    For the models `here` no other Mac answers, whatever becomes of its own replicas when they are asked.
    """
    with on(host):
        try:
            url = f"http://{the_fleet().mac(host.name).node_ip}:{sides.now(host.name).ports.serve_http}/v1"
            found: dict[str, Tried] = host.get_fact(Generations, url=url, models=models, patient=patient, here=here)
        except UNREACHED:
            found = {}
    return {model: found.get(model, Tried(0.0, "no answer")) for model in models}


def _on_disk(verb: str, digest: str = "", number: int = 0) -> StringCommand:
    plists = map(layout.plist_path, layout.CLUSTER_LABELS)
    copied = [layout.LIBEXEC, layout.STORE_CONFIG, layout.SERVE_CONFIG, layout.UPGRADE, *plists]
    return turn.command(verb, layout.STATE, copied, layout.RAY_LABEL, digest, number)


def _release(host: Host) -> str:
    with on(host):
        return the_release().id
