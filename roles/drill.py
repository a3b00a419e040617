"""The drill: one Mac after the other restarts, and shows that it serves again by itself."""

from __future__ import annotations

import atexit
import subprocess
import time
from typing import TYPE_CHECKING

import gevent
from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from fleet import drill
from fleet.drill import GENERATION, RAY, SSH, Turn
from macos.facts import Boot, MacReport
from macos.operations import boot
from macos.quiet import Commands, mac_operation
from roles import announce, drain, lock, sides, turn
from roles.context import everyone, the_fleet, this_mac
from roles.health import ask
from roles.jobs import stop_at_the_first, turn_over
from roles.report import seen_by_head
from roles.serve import PATIENCE_S, POLL_S, SAY_EVERY_S

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

_turns: list[Turn] = []
_checked: list[bool] = []
_checking = RLock()


@deploy("Drill")
def macs() -> None:
    """Every Mac of this run restarts, the head last; the first that does not come back is the last one."""
    _check()
    lock.taken()
    stop_at_the_first(name="One Mac after the other")
    for mac in host.loop([mac.name for mac in drill.order(the_fleet())]):  # type: ignore[no-untyped-call]
        if host.name == mac:
            restarted(name=f"{mac} restarts and serves again")
        turn_over(name=f"Turn of {mac} is over")


def _check() -> None:
    """Say what will be, or end the run with status 2 before any Mac is touched. Once, whichever Mac comes first."""
    facts, boots = everyone(MacReport), everyone(Boot)
    with _checking:
        if _checked:
            return
        _checked.append(True)
        plan = announce.quiet_plan()
        asked = [mac.name for mac in state.inventory if state.is_host_in_limit(mac)]
        accepted = [word for word in (drill.FILEVAULT, drill.YES) if host.data.get(word)]
        sessions = {name: boot.session for name, boot in boots.items()}
        sides.whole()
        found = list(drill.obstacles(plan, asked, facts, sessions, _here(), seen_by_head(), accepted))
        if found:
            announce.say(*(f"error: {line}" for line in found), "No Mac was restarted.")
            announce.end(2)
        names = [mac.name for mac in drill.order(the_fleet()) if mac.name in asked]
        announce.say(f"Drill of {the_fleet().name}: {', then '.join(names)}; each when the one before serves again.")
        for line in drill.cautions(plan, asked, facts):
            announce.tell(f"warning: {line}")


def _here() -> str:
    """Which start of this machine this is, if it is a Mac."""
    try:
        done = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


@mac_operation("drill.restarted", is_idempotent=False)
def restarted() -> Commands:
    """This Mac restarts, joins Ray, has its models back and answers, with nobody's help. Always acts."""
    yield FunctionCommand(_begin, [], {})
    yield FunctionCommand(drain.drain, [], {})
    yield FunctionCommand(_let_go, [], {})
    yield from boot.restarted._inner()  # type: ignore[attr-defined]  # pyinfra's way to nest operations
    yield FunctionCommand(_take_again, [], {})
    yield FunctionCommand(drain.let_in, [], {})
    yield FunctionCommand(_serves, [], {})


def _let_go(state: State, host: Host) -> bool:
    """A restart ends the hold on the Mac. It is what is timed."""
    lock.let_go(host)
    _turns[-1].began = time.monotonic()
    _turns[-1].restarts = True
    return True


def _take_again(state: State, host: Host) -> bool:
    return lock.take_again(host)


def _begin(state: State, host: Host) -> bool:
    view = seen_by_head()
    if view.error:
        host.log_styled(f"not restarted: {view.error}", fg="red", log_func=logger.error)
        return False
    if not _turns:
        atexit.register(_tell)
    _turns.append(Turn(this_mac(), view.ids.get(this_mac().node_ip, ""), time.monotonic()))
    return True


def _serves(state: State, host: Host) -> bool:
    """Wait until a real generation of every model has come through this Mac, and every copy is where it was."""
    mine, said = _turns[-1], 0.0
    mine.seconds[SSH] = time.monotonic() - mine.began
    while (waited := time.monotonic() - mine.began) < PATIENCE_S:
        step, missing = drill.not_back(announce.quiet_plan(), mine, seen_by_head())
        if step != RAY:
            mine.seconds.setdefault(RAY, waited)
        if not step:
            missing = drill.silent(the_fleet(), ask(the_fleet(), mine.mac)) or _own(host)
        if not missing:
            mine.seconds[GENERATION] = time.monotonic() - mine.began
            mine.console = host.get_fact(Boot).console
            return True
        if waited - said >= SAY_EVERY_S:
            said = waited
            host.log(f"{waited:.0f} s: {missing}", logger.info)
        gevent.sleep(POLL_S)
    host.log_styled(f"does not serve after {waited:.0f} s: {missing}", fg="red", log_func=logger.error)
    return False


def _own(host: Host) -> str:
    """What goes wrong with what the Mac is asked on itself; a door may ask any Mac."""
    found = turn.tried(host, turn.models_of(host))
    return "; ".join(f"{model}: {tried.error}" for model, tried in found.items() if tried.error)


def _tell() -> None:
    """Below pyinfra's own results: the table, and what to do about a Mac that is not back."""
    announce.say(*drill.table(_turns))
    if _turns[-1].missing:
        announce.say(f"error: {drill.advice(_turns[-1])}")
