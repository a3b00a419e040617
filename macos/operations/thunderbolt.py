"""Addresses of Thunderbolt ports that are cabled to other Macs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pyinfra.context import host

from fleet.layout import THUNDERBOLT_BEFORE
from macos.facts.thunderbolt import PREFERENCES, NetworkPorts, PortSettings, SshAddress, service_name
from macos.operations.undo import Step, confirmed, undoing
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

# The cable's link comes up again after its port left a bridge.
_PATIENCE = 20
_PORT = re.compile(r"Thunderbolt \d+")


@mac_operation("thunderbolt.addresses")
def addresses(
    wanted: Mapping[str, str], netmask: str, handed: Collection[str], reached_by: Collection[str]
) -> Commands:
    """The ports `wanted` (address by interface) carry their addresses, now and after every restart.

    Such a port leaves the Thunderbolt Bridge and gets a network service of raylab's own; the services it had are
    switched off. How it was is recorded first. `handed`: all interfaces that may be used so; a port that was taken
    and is no longer among them becomes what it was, one whose cable is out stays as it is. A port that carries one
    of `reached_by`, or the address of the SSH connection, by itself or by its bridge, fails its Mac untouched. Should
    a change cut the Mac off all the same, it undoes it.
    """
    ssh = host.get_fact(SshAddress, _sudo=False)
    found = host.get_fact(NetworkPorts, interfaces=sorted(handed))
    reasons = [reason for each in wanted if (reason := _refused(each, {*reached_by, ssh} - {""}, found))]
    if reasons:
        yield script_command(["files"], [["die", "; ".join(reasons)]], wanted)
        return
    steps = list(_steps(wanted, netmask, handed, found))
    if steps:
        interfaces = [interface for interface, _ in steps]
        yield from undoing(["files", "thunderbolt"], [step for _, step in steps], interfaces, _VARIABLES)
    elif found.pending:
        # By a run that was interrupted before it could say that the Mac still answers.
        yield from confirmed()
    else:
        host.noop("the Thunderbolt ports are as they should be")


_VARIABLES: dict[str, str | int] = {"preferences": PREFERENCES, "before": THUNDERBOLT_BEFORE, "patience": _PATIENCE}


def _steps(
    wanted: Mapping[str, str],
    netmask: str,
    handed: Collection[str],
    found: PortSettings,
) -> Iterator[tuple[str, Step]]:
    """What is to be done, by interface."""
    given_back = [
        interface
        for interface in found.before
        # A cable that moved to another port takes its address along.
        if interface not in handed or (interface not in wanted and found.given.get(interface) in wanted.values())
    ]
    for interface in given_back:
        port = _Port(interface, found)
        yield interface, Step(list(_given_back(port)), list(_taken_again(port, netmask)))
    for interface, address in wanted.items():
        port = _Port(interface, found)
        if calls := _taken(port, address, netmask):
            yield interface, Step(calls, list(_as_found(port, netmask)))


def _refused(interface: str, reached_by: Collection[str], found: PortSettings) -> str:
    """Why this interface must not be touched; empty when it may."""
    port = found.ports.get(interface)
    if port is None:
        return f"{interface} is no interface of this Mac"
    if not _PORT.fullmatch(port):
        return f"{interface} is {port}, not a Thunderbolt port"
    bridges = [name for name, members in (*found.bridges.items(), *found.joined.items()) if interface in members]
    for where in (interface, *bridges):
        for address in found.addresses.get(where, ()):
            if address in reached_by:
                return f"{interface} is left alone: {where} carries {address}, by which this Mac is reached"
    return ""


@dataclass(frozen=True)
class _Port:
    """One port in the settings that were found."""

    interface: str
    found: PortSettings

    @property
    def service(self) -> str:
        return service_name(self.interface)

    @property
    def bridges(self) -> list[str]:
        """Bridges that have it as a member, in the settings or at the moment."""
        everywhere = (*self.found.bridges.items(), *self.found.joined.items())
        return list(dict.fromkeys(name for name, members in everywhere if self.interface in members))

    @property
    def others(self) -> list[str]:
        """The services of others that use it."""
        services = (one for one in self.found.services if one.interface == self.interface)
        return [one.name for one in services if one.enabled and one.name != self.service]

    @property
    def own(self) -> bool | None:
        """Whether raylab's service is enabled; None when there is none."""
        return next((one.enabled for one in self.found.services if one.name == self.service), None)

    def record(self) -> list[str]:
        """How it is now, on top of what an earlier run has recorded."""
        before = self.found.before.get(self.interface, ())
        bridges = [
            f"bridge {name} {members.index(self.interface)}"
            for name, members in self.found.bridges.items()
            if self.interface in members and not any(line.startswith(f"bridge {name} ") for line in before)
        ]
        return list(dict.fromkeys([*before, *bridges, *(f"service {name}" for name in self.others)]))


def _taken(port: _Port, address: str, netmask: str) -> list[list[str]]:
    """What makes the port carry its address; nothing when it does."""
    interface, service = port.interface, port.service
    calls = [["unbridged", interface, bridge] for bridge in port.bridges]
    if port.own is None:
        calls.append(["created", service, port.found.ports.get(interface, "")])
    elif not port.own:
        calls.append(["switched", service, "on"])
    calls += [["switched", name, "off"] for name in port.others]
    if port.found.given.get(interface) != address:
        calls.append(["addressed", service, address, netmask])
    if not calls and interface in port.found.before:
        return []
    text = "".join(f"{line}\n" for line in port.record())
    return [["recorded", interface, text], *calls, ["carried", interface, address]]


def _as_found(port: _Port, netmask: str) -> Iterator[list[str]]:
    """What undoes `_taken`."""
    interface, service, found = port.interface, port.service, port.found
    for bridge, members in found.bridges.items():
        if interface in members:
            yield ["bridged", interface, bridge, str(members.index(interface))]
    if port.own is None:
        yield ["removed", service]
    else:
        if interface in found.given:
            yield ["addressed", service, found.given[interface], netmask]
        yield ["switched", service, "on" if port.own else "off"]
    for name in port.others:
        yield ["switched", name, "on"]
    for bridge, members in found.joined.items():
        if interface in members:
            yield ["rejoined", interface, bridge]
    yield _recorded(port)


def _recorded(port: _Port) -> list[str]:
    """The record of the port as it was found."""
    lines = port.found.before.get(port.interface)
    if lines is None:
        return ["forgotten", port.interface]
    return ["recorded", port.interface, "".join(f"{line}\n" for line in lines)]


def _taken_again(port: _Port, netmask: str) -> Iterator[list[str]]:
    """What undoes `_given_back`."""
    interface, service, found = port.interface, port.service, port.found
    yield _recorded(port)
    for kind, name in _record_lines(port):
        if kind == "bridge" and interface not in found.bridges.get(name.split(" ")[0], ()):
            yield ["unbridged", interface, name.split(" ")[0]]
    if port.own is not None:
        yield ["created", service, found.ports.get(interface, "")]
        yield ["switched", service, "on" if port.own else "off"]
        if interface in found.given:
            yield ["addressed", service, found.given[interface], netmask]
    off = {one.name for one in found.services if not one.enabled}
    for kind, name in _record_lines(port):
        if kind == "service" and name in off:
            yield ["switched", name, "off"]


def _record_lines(port: _Port) -> list[tuple[str, str]]:
    """Kind and rest of each line of the record."""
    return [(kind, rest) for kind, _, rest in (line.partition(" ") for line in port.found.before[port.interface])]


def _given_back(port: _Port) -> Iterator[list[str]]:
    """What makes a port that was taken what it was before."""
    interface, found = port.interface, port.found
    lines = _record_lines(port)
    bridges = [rest.split(" ") for kind, rest in lines if kind == "bridge"]
    known = {service.name for service in found.services}
    for bridge, at in bridges:
        members = found.bridges.get(bridge)
        if members is not None and interface not in members:
            yield ["bridged", interface, bridge, str(min(int(at), len(members)))]
    if port.service in known:
        yield ["removed", port.service]
    for kind, name in lines:
        if kind == "service" and name in known:
            yield ["switched", name, "on"]
    for bridge, _ in bridges:
        if bridge in found.bridges:
            yield ["rejoined", interface, bridge]
    yield ["forgotten", interface]
