"""A Mac gets no requests for a while, so that something can be done to it; it finishes those that it has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyinfra.api.command import FunctionCommand
from pyinfra.context import host, state

from fleet import layout
from fleet.gateway import settle_seconds
from fleet.seen import Deployed
from fleet.serve import application_name
from macos.facts import Files
from macos.facts.running import Ongoing, Running
from macos.operations import turn
from macos.quiet import Commands, mac_operation
from roles import sides
from roles.acting import UNREACHED, fail, run, tell, until
from roles.context import on, the_fleet
from roles.report import seen_by_head
from roles.told import told_plan

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# What a request may take that has begun when the turn comes: a long answer of a large model. Then there is no turn.
DRAIN_S = 1800
# Until Ray's figures of what goes on, which are up to 10 s old, are of a time when all had been told.
FIGURES_S = 20
# Until it is believed that nothing goes on: a worker that is too busy to tell its figures has none for a while.
IDLE_S = 15


@mac_operation("drain.drained")
def drained() -> Commands:
    """This Mac gets no requests any more, and has finished those that it had."""
    if not host.get_fact(Running, labels=[layout.RAY_LABEL]).digests:
        host.noop("Ray does not run")
        return
    yield FunctionCommand(drain, [], {})


def drain(state: State, host: Host) -> bool:
    """As the operation `drained`, for those who do more in one: no door and no other Mac sends it anything any more.

    When that fails, nothing was changed on it, and it gets requests again; but for one whose turn was interrupted, of
    which nobody knows whether it serves.
    """
    before = flagged(host)
    try:
        done = _drained(host)
    except UNREACHED as error:
        done = fail(host, f"drains: {error}")
    if not (done or before):
        let_in(state, host)
    return done


def flagged(host: Host) -> bool:
    """Whether the Mac drains already."""
    with on(host):
        return bool(host.get_fact(Files, paths=[layout.DRAINING]))


def _drained(host: Host) -> bool:
    started = time.monotonic()
    if not run(host, turn.command("flag", layout.STATE)):
        return False
    tell(host, "drains: it gets no new requests, and finishes those that it has")
    leads, quiet = _leads(host.name), settle_seconds(the_fleet()) + FIGURES_S
    busy_at = started

    def busy() -> str:
        nonlocal busy_at
        # Replicas go by its age: somebody waits for their last answers.
        run(host, turn.command("flag", layout.STATE))
        figures = [_ongoing(host)]
        for mac, application in leads:
            # It is connected to when it is first asked something.
            figures.append(_ongoing(mac, application))
            run(mac, turn.command("flag", layout.STATE, group=application))
        now = time.monotonic()
        busy_at = busy_at if all(figure == 0 for figure in figures) else now
        if ongoing := sum(figure or 0 for figure in figures):
            return f"{ongoing} requests go on"
        if now - started <= quiet:
            return "the others are being told"
        return "" if now - busy_at > IDLE_S else "its last figures are awaited"

    done = until(host, busy, DRAIN_S, "drains")
    if done:
        tell(host, f"drained after {time.monotonic() - started:.0f} s")
    return done


def let_in(state: State, host: Host) -> bool:
    """Doors and other Macs send it requests again, once it takes them."""
    return run(host, turn.command("unflag", layout.STATE))


def _leads(name: str) -> list[tuple[Host, str]]:
    """The groups that this Mac is in and another one answers for: that Mac, and Serve's name of the model."""
    mac = the_fleet().mac(name)
    others = {
        application_name(placement.model): {each for copy in placement.copies if mac in copy for each in copy} - {mac}
        for placement in told_plan(sides.now(name)).placements.values()
        if placement.size > 1 and mac in placement.macs
    }
    seen = _applications(name) if others else {}
    return [
        # Also one that --limit leaves out.
        (state.inventory.get_host(each.name), application)
        for application, macs in others.items()
        for each in macs
        if each.node_ip in seen.get(application, Deployed()).places
    ]


def _applications(name: str) -> Mapping[str, Deployed]:
    """What Serve has in the cluster that this Mac is in; nothing when that cannot be learned."""
    try:
        return seen_by_head(sides.now(name)).applications
    except UNREACHED:
        return {}


def _ongoing(mac: Host, application: str = "") -> int | None:
    """How many requests a Mac works on, of one application or of all."""
    with on(mac):
        address = the_fleet().mac(mac.name).node_ip
        figure: int | None = mac.get_fact(Ongoing, address=address, application=application)
    return figure
