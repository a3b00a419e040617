"""Addresses of Thunderbolt ports that are cabled to other Macs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pyinfra.context import host

from fleet.layout import THUNDERBOLT_BEFORE
from macos.facts.thunderbolt import PREFERENCES, NetworkPorts, PortSettings, SshAddress, service_name
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
    of `reached_by`, or the address of the SSH connection, by itself or by its bridge, fails its Mac untouched.
    """
    ssh = host.get_fact(SshAddress, _sudo=False)
    found = host.get_fact(NetworkPorts, interfaces=sorted(handed))
    calls = list(_all_calls(wanted, netmask, handed, {*reached_by, ssh} - {""}, found))
    if not calls:
        host.noop("the Thunderbolt ports are as they should be")
        return
    subjects = dict.fromkeys(name for name in (*found.before, *wanted) if any(name in call for call in calls))
    variables: dict[str, str | int] = {"preferences": PREFERENCES, "before": THUNDERBOLT_BEFORE, "patience": _PATIENCE}
    yield script_command(["files", "thunderbolt"], calls, subjects, variables)


def _all_calls(
    wanted: Mapping[str, str],
    netmask: str,
    handed: Collection[str],
    reached_by: Collection[str],
    found: PortSettings,
) -> Iterator[list[str]]:
    for interface in wanted:
        if reason := _refused(interface, reached_by, found):
            yield ["die", reason]
    for interface in found.before:
        # A cable that moved to another port takes its address along.
        moved = interface not in wanted and found.given.get(interface) in wanted.values()
        if interface not in handed or moved:
            yield from _given_back(interface, found)
    for interface, address in wanted.items():
        yield from _taken(_Port(interface, found), address, netmask)


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


def _given_back(interface: str, found: PortSettings) -> Iterator[list[str]]:
    """What makes a port that was taken what it was before."""
    lines = [line.split(" ", 1) for line in found.before[interface]]
    bridges = [rest.split(" ") for kind, rest in lines if kind == "bridge"]
    known = {service.name for service in found.services}
    for bridge, at in bridges:
        members = found.bridges.get(bridge)
        if members is not None and interface not in members:
            yield ["bridged", interface, bridge, str(min(int(at), len(members)))]
    if service_name(interface) in known:
        yield ["removed", service_name(interface)]
    for kind, name in lines:
        if kind == "service" and name in known:
            yield ["switched", name, "on"]
    for bridge, _ in bridges:
        if bridge in found.bridges:
            yield ["rejoined", interface, bridge]
    yield ["forgotten", interface]
