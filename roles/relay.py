"""Large files reach the Macs: the control machine sends one copy, and they pass it on among themselves."""

from __future__ import annotations

import shlex
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import host

from depot.errors import DepotError
from depot.fanout.channel import ProcessChannel, SshChannel
from depot.fanout.coordinator import Fanout
from depot.fanout.display import Display
from depot.fanout.members import Member
from depot.fanout.parcel import Parcel
from fleet import layout
from macos.facts.objects import Objects
from macos.facts.report import MacReport
from macos.operations import files
from macos.operations.files import Directory, TextFile
from macos.quiet import Commands, mac_operation
from roles.announce import tell
from roles.context import everyone, the_fleet

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

REPOSITORY = Path(__file__).resolve().parents[1]
AGENT = REPOSITORY / "depot" / "relay"
AGENT_FOLDER = f"{layout.LIBEXEC}/relay"
# The agent's own folder is all it needs beside Python.
RUN_AGENT = f"import sys; sys.path.insert(0, '{layout.LIBEXEC}'); from relay.agent import main; main()"

_parcels: dict[str, Parcel] = {}
_running: list[Fanout] = []
_starting = RLock()


def deep() -> bool:
    """Whether this run reads again what the Macs hold: `--data deep=1`."""
    return bool(host.data.get("deep"))


@deploy("Relay")
def agent() -> None:
    """The program that passes artifacts on; it runs only while a deploy does."""
    sources = [TextFile(f"{AGENT_FOLDER}/{path.name}", path.read_text()) for path in sorted(AGENT.glob("*.py"))]
    files.tree([Directory(AGENT_FOLDER)], sources, name="Relay agent")


def wanted() -> frozenset[str]:
    """The sha256 of every object that this run brings."""
    return frozenset(item.sha256 for parcel in _parcels.values() for item in parcel.items)


def arrived(parcel: Parcel, name: str) -> None:
    """This Mac has every object of the parcel, verified. All that the run wants travels from the first wait on."""
    # Here and not in the operation, which pyinfra may not look into before it runs it.
    # Models of one source are one parcel, which goes to the Macs of all of them.
    known = _parcels.get(parcel.id)
    _parcels[parcel.id] = known.joined(parcel) if known else parcel
    _arrived(parcel, name=name)


@mac_operation("relay.arrived")
def _arrived(parcel: Parcel) -> Commands:
    held = host.get_fact(Objects)
    if not deep() and all(held.get(item.sha256) == item.size for item in parcel.items):
        host.noop(f"{parcel.title}: {len(parcel.items)} files are there")
        return
    yield FunctionCommand(_wait, [parcel.id], {})


def _wait(state: State, host: Host, parcel: str) -> bool:
    try:
        share = _fanout(state).wait(host.name, parcel)
    except (DepotError, OSError) as error:
        host.log_styled(f"{_parcels[parcel].title}: {error}", fg="red", log_func=logger.error)
        return False
    host.log(f"{_parcels[parcel].title}: {share.received / 1e6:.1f} of {share.total / 1e6:.1f} MB came", logger.info)
    _close_when_settled()
    return True


def _fanout(state: State) -> Fanout:
    """The run's one fan-out, started by the first Mac that waits."""
    with _starting:
        if not _running:
            place = [mac.name for mac in the_fleet().macs]
            macs = sorted(state.inventory.get_active_hosts(), key=lambda mac: place.index(mac.name))
            seed = ProcessChannel([sys.executable, "-m", "depot.relay.agent"], folder=str(REPOSITORY))
            fleet = the_fleet()
            display = Display()
            fanout = Fanout(
                list(_parcels.values()),
                [_member(mac) for mac in macs],
                seed,
                Path(fleet.depot),
                fleet.ports.relay,
                bool(macs[0].data.get("deep")),
                display.show,
            )
            fanout.start()
            _running.append(fanout)
        return _running[0]


def _member(mac: Host) -> Member:
    settings = the_fleet().mac(mac.name)
    python = f"{layout.env_dir(the_fleet().release(settings).id)}/bin/python"
    command = ["sudo", "-n", python, "-I", "-c", RUN_AGENT]
    if isinstance(mac.connector, SSHConnector) and mac.connector.client:
        transport = mac.connector.client.get_transport()
        if transport is None:
            raise DepotError(f"{mac.name}: its SSH connection is closed. Run this again")
        start = partial(SshChannel, transport, shlex.join(command))
        # While nothing answers at the other end of its cables, a Mac has no such address.
        fast = settings.thunderbolt_ip if settings.thunderbolt_ip in everyone(MacReport)[mac.name].addresses else None
        return Member(mac.name, settings.node_ip, own_address(settings.node_ip), start, fast)
    return Member(mac.name, settings.node_ip, settings.node_ip, partial(ProcessChannel, command))


def own_address(towards: str) -> str:
    """This machine's address on the way to another one. Raises OSError when there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: connecting only chooses the route.
        probe.connect((towards, 9))
        address: str = probe.getsockname()[0]
        return address


def _close_when_settled() -> None:
    fanout = _running[0]
    if fanout.closed or not fanout.settled():
        return
    sent = fanout.close()
    total = sum(parcel.size for parcel in fanout.parcels)
    came = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sent.received.items())
    tell(f"relay: of {total / 1e6:.1f} MB this machine sent {sent.by_seed / 1e6:.1f} MB; received: {came}")
