"""One run at a time changes a Mac. A second one is told who runs what, and ends before it touches anything."""

from __future__ import annotations

import atexit
import getpass
import os
import shlex
import socket
import time
from typing import TYPE_CHECKING, NoReturn

import gevent
from gevent.lock import RLock
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import host, state

from depot.fanout.channel import ProcessChannel, SshChannel
from fleet import layout
from macos import lease
from macos.connector import MacConnector
from macos.facts.running import Clusters, Running
from macos.lease import Holder, Lease, Taken, hold_command
from macos.quiet import Commands, mac_operation
from roles import announce, sides
from roles.context import command, everyone, joined, on, the_fleet

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# The exit status of a run that may not change the Macs now.
STATUS = 3

_held: dict[str, Lease] = {}
_refused: dict[str, str] = {}
"""Macs that cannot be held by anybody, with the reason: they fail alone."""
_taking = RLock()


@mac_operation("The hold of this run")
def taken() -> Commands:
    """This run holds every Mac of it until it ends; when another one holds any, it ends here with status 3.

    The first operation of whatever changes a Mac. Nothing is held while pyinfra only prepares.
    """
    if not state.is_executing:
        host.noop("held while the run changes something")
        return
    with _taking:
        if not (_held or _refused):
            _take_all()
    if host.name in _refused:
        yield FunctionCommand(_fail, [], {})


def let_go(mac: Host) -> None:
    """The Mac is about to restart, which ends every hold on it."""
    _fence(mac, None)
    _held.pop(mac.name).release()


def take_again(mac: Host) -> bool:
    """This run holds the Mac as before `let_go`; False when it cannot. Ends the run when another one has it by now."""
    _refused.pop(mac.name, None)
    _take(mac, "Nothing more is done.")
    return mac.name in _held or _fail(state, mac)


def _take_all() -> None:
    """In the inventory's order, so that of two runs at the same moment one gets all."""
    atexit.register(_release_all)
    place = [mac.name for mac in the_fleet().macs]
    macs = sorted(state.inventory.get_active_hosts(), key=lambda mac: place.index(mac.name))
    for mac in macs:
        _take(mac, "No Mac was touched.")
    # What this run is about to do was decided before it held them, and a person may have thought about it since.
    looks = {mac: gevent.spawn(_moved, mac) for mac in macs if mac.name in _held}
    gevent.joinall(list(looks.values()), raise_error=True)
    if moved := [mac.name for mac, look in looks.items() if look.value]:
        announce.say(
            f"error: {', '.join(moved)}: another run has changed what runs there since this one looked. No Mac was "
            "touched.",
            "Run it again: it looks anew.",
        )
        announce.end(STATUS)


def _moved(mac: Host) -> bool:
    """Whether the Mac is in another cluster, or runs something else, than what this run was decided by."""
    clusters, runs = everyone(Clusters), everyone(Running, sides.running_arguments)
    with on(mac):
        now = mac.get_fact(Running, **sides.running_arguments())
    return joined(mac) != clusters.get(mac.name) or now != runs.get(mac.name)


def _take(mac: Host, otherwise: str) -> None:
    """Hold one Mac; when somebody else does, tell `otherwise` too, and end the run."""
    try:
        hold = Lease(_line(mac), lambda reason: _lost(mac, reason))
    except Taken as taken:
        _others(mac.name, taken.holder, otherwise)
    except (OSError, SSHException) as error:
        _refused[mac.name] = str(error)
    else:
        _held[mac.name] = hold
        _fence(mac, hold)


def _line(mac: Host) -> ProcessChannel | SshChannel:
    holder = hold_command(layout.LOCK, _this_run())
    if isinstance(mac.connector, SSHConnector):
        transport = mac.connector.client.get_transport() if mac.connector.client else None
        if transport is None:
            raise OSError("its SSH connection is closed")
        return SshChannel(transport, holder)
    return ProcessChannel(shlex.split(holder))


def _this_run() -> Holder:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return Holder(who, command(), time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _fence(mac: Host, hold: Lease | None) -> None:
    """Over SSH nothing reaches a Mac any more that this run does not hold."""
    if isinstance(mac.connector, MacConnector):
        mac.connector.lease = hold


def _others(name: str, holder: Holder, otherwise: str) -> NoReturn:
    announce.say(
        f"error: {name}: {holder}. {otherwise}",
        "Wait for the end of that run, or end it there with Ctrl-C. A Mac is free as soon as its run has ended, and "
        f"{lease.LEASE_S:.0f} s after it has heard from it last.",
    )
    announce.end(STATUS)


def _lost(mac: Host, reason: str) -> None:
    """A Mac that is lost alone fails alone; when all are, the run ends."""
    lost = f"error: {mac.name} is not held by this run any more: {reason}. Others may change it now"
    line = mac.connector.client if isinstance(mac.connector, MacConnector) else None
    if line and not all(hold.late for hold in _held.values()):
        announce.say(f"{lost}, so nothing more is done there. When it is back, run it again.")
        # Whatever waits for an answer of it has one.
        line.close()
        return
    announce.say(f"{lost}, so nothing more is done.", "Run it again: what is right stays untouched.")
    # Not as a run ends otherwise: pyinfra would first wait for what it is about.
    os._exit(STATUS)


def _release_all() -> None:
    for hold in _held.values():
        hold.release()


def _fail(state: State, host: Host) -> bool:
    host.log_styled(f"cannot be held for this run: {_refused[host.name]}", fg="red", log_func=logger.error)
    return False
