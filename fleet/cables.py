"""Which Thunderbolt port of which Mac is cabled to which, from what every Mac says of its own ports.

Each port is a Thunderbolt domain with a UUID, and a Mac names the domain at the other end of a cable. A dock, a
display or a disk has no domain of its own: what hangs behind one is not cabled to the Mac.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, pairwise, permutations
from typing import Any

# Beyond that, the order in which the Macs stand is the only ring that is looked at for what is missing.
_MOST_ORDERS = 8
_SPEED = re.compile(r"(\d+) Gb/s")


@dataclass(frozen=True)
class Port:
    """One Thunderbolt port of a Mac."""

    name: str
    """What the network settings call it: `Thunderbolt 1`, for the receptacle with the number 1."""
    interface: str
    """`en2`; empty when the network settings do not know the port."""
    domain: str
    """The UUID of its Thunderbolt domain."""
    peer: str = ""
    """The UUID of the domain at the other end of its cable; empty when that is no computer."""
    holds: str = ""
    """What is plugged in, for people: `Mac Studio`, `CalDigit TS4`."""
    speed: int = 0
    """Gb/s that the link has agreed on; 0 without one."""


@dataclass(frozen=True)
class PortReport:
    """What one Mac says of its Thunderbolt ports, and of the interfaces that its network has."""

    ports: tuple[Port, ...] = ()
    """In the order of their numbers."""
    rdma: tuple[str, ...] = ()
    """Interfaces with RDMA; none unless it is switched on."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """IPv4 addresses by interface."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The interfaces that each bridge joins now, by the bridge's interface."""

    @staticmethod
    def parse(profiler: str, hardware_ports: str, interfaces: str, rdma: str, rdma_devices: str) -> PortReport:
        """From the output of system_profiler, networksetup, ifconfig, rdma_ctl and ibv_devices. Never raises."""
        return PortReport(
            tuple(_ports(profiler, hardware_port_names(hardware_ports))),
            tuple(re.findall(r"^\s*rdma_(\w+)\s", rdma_devices, re.M)) if rdma.strip() == "enabled" else (),
            interface_addresses(interfaces),
            bridge_members(interfaces),
        )

    @staticmethod
    def remembered(stored: Mapping[str, Any]) -> PortReport:
        """What `to_remember` gave; nothing is known when it is something else."""
        try:
            return PortReport(tuple(Port(**port) for port in stored["ports"]), tuple(stored["rdma"]))
        except (KeyError, TypeError):
            return PortReport()

    def to_remember(self) -> dict[str, Any]:
        """The cables, for a later run that does not ask this Mac; not what changes by itself."""
        return {"ports": [asdict(port) for port in self.ports], "rdma": list(self.rdma)}

    def port_of(self, interface: str) -> Port | None:
        """The port with that interface."""
        return next((port for port in self.ports if port.interface == interface), None)

    def bridge_of(self, interface: str) -> str:
        """The bridge that joins this interface to others; empty when none does."""
        return next((bridge for bridge, members in self.members.items() if interface in members), "")


def hardware_port_names(text: str) -> dict[str, str]:
    """Interface by hardware port, from `networksetup -listallhardwareports`."""
    return dict(re.findall(r"^Hardware Port: (.+)\nDevice: (\S+)$", text.replace("\r", ""), re.M))


def interface_addresses(text: str) -> dict[str, tuple[str, ...]]:
    """The IPv4 addresses of every interface, from `ifconfig -a`."""
    return {name: tuple(re.findall(r"^\s+inet (\S+)", body, re.M)) for name, body in _interfaces(text)}


def bridge_members(text: str) -> dict[str, tuple[str, ...]]:
    """The members of every bridge, from `ifconfig -a`."""
    found = {name: tuple(re.findall(r"^\s+member: (\S+)", body, re.M)) for name, body in _interfaces(text)}
    return {name: members for name, members in found.items() if members}


def _interfaces(text: str) -> Iterator[tuple[str, str]]:
    """Each interface of ifconfig's output with the lines below its name."""
    parts = re.split(r"^(\w+): flags=", text, flags=re.M)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _ports(profiler: str, hardware_ports: Mapping[str, str]) -> list[Port]:
    try:
        buses = json.loads(profiler)["SPThunderboltDataType"]
        found = [port for bus in buses if (port := _port(bus, hardware_ports))]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(found, key=lambda port: (len(port.name), port.name))


def _port(bus: Mapping[str, Any], hardware_ports: Mapping[str, str]) -> Port | None:
    """One bus; None for one without a receptacle, such as that of an internal device."""
    tag = bus.get("receptacle_1_tag", {})
    if "domain_uuid_key" not in bus or "receptacle_id_key" not in tag:
        return None
    name = f"Thunderbolt {tag['receptacle_id_key']}"
    items = bus.get("_items", [])
    peer: Mapping[str, Any] = next((item for item in items if "domain_uuid_key" in item), {})
    speed = _SPEED.fullmatch(tag.get("current_speed_key", ""))
    return Port(
        name,
        hardware_ports.get(name, ""),
        bus["domain_uuid_key"],
        peer.get("domain_uuid_key", ""),
        ", ".join(str(item.get("_name", "a device")) for item in items),
        # A port without a link says what it could: `Up to 120 Gb/s`.
        int(speed[1]) if speed else 0,
    )


@dataclass(frozen=True)
class End:
    """One end of a cable."""

    mac: str
    port: Port


@dataclass(frozen=True)
class Cable:
    """A Thunderbolt cable between two Macs."""

    ends: tuple[End, End]
    """The Mac that stands first in the inventory has the first."""

    @property
    def macs(self) -> frozenset[str]:
        return frozenset(end.mac for end in self.ends)

    @property
    def speed(self) -> int:
        """Gb/s; 0 when neither end tells."""
        return min((end.port.speed for end in self.ends if end.port.speed), default=0)

    def end_at(self, mac: str) -> End:
        """The end in that Mac. Raises KeyError when the cable is not there."""
        for end in self.ends:
            if end.mac == mac:
                return end
        raise KeyError(mac)


def find_cables(reports: Mapping[str, PortReport]) -> tuple[Cable, ...]:
    """Every cable between two of the Macs, in the order of `reports` and of the ports' numbers.

    One end that names the other is enough: a Mac that is off, known from earlier, is not named by its peers.
    """
    owners = {port.domain: End(mac, port) for mac, report in reports.items() for port in report.ports}
    cables: dict[frozenset[str], Cable] = {}
    names = list(reports)
    for end in owners.values():
        other = owners.get(end.port.peer)
        if other is None or other.mac == end.mac:
            continue
        first, second = sorted((end, other), key=lambda each: names.index(each.mac))
        cables.setdefault(frozenset((end.port.domain, other.port.domain)), Cable((first, second)))
    return tuple(cables.values())


Pairs = Collection[frozenset[str]]


def ring_pairs(order: Sequence[str]) -> list[tuple[str, str]]:
    """The neighbours in a ring; two Macs are neighbours once."""
    closing = [(order[-1], order[0])] if len(order) > 2 else []
    return [*pairwise(order), *closing]


def ring_order(macs: Sequence[str], pairs: Pairs) -> tuple[str, ...] | None:
    """The Macs in an order in which each is cabled to the next and the last to the first; None when there is none.

    The first Mac stays the first, and the order is as near to the given one as cables allow.
    """

    def extend(path: tuple[str, ...]) -> tuple[str, ...] | None:
        if len(path) == len(macs):
            return path if len(path) == 2 or frozenset((path[-1], path[0])) in pairs else None
        following = (mac for mac in macs if mac not in path and frozenset((path[-1], mac)) in pairs)
        return next((whole for mac in following if (whole := extend((*path, mac)))), None)

    return extend((macs[0],)) if len(macs) > 1 else None


def is_mesh(macs: Sequence[str], pairs: Pairs) -> bool:
    """Whether every Mac is cabled to every other."""
    return all(frozenset(pair) in pairs for pair in combinations(macs, 2))


def nearest_ring(macs: Sequence[str], pairs: Pairs) -> tuple[str, ...]:
    """The order in which the fewest cables are missing for a ring, the given one where that is equal."""
    orders: Iterable[tuple[str, ...]] = [tuple(macs)]
    if len(macs) <= _MOST_ORDERS:
        orders = ((macs[0], *rest) for rest in permutations(macs[1:]))
    return min(orders, key=lambda order: len(missing(order, pairs)))


def missing(order: Sequence[str], pairs: Pairs) -> list[tuple[str, str]]:
    """The neighbours of this ring that no cable joins."""
    return [pair for pair in ring_pairs(order) if frozenset(pair) not in pairs]


def bridge_loops(
    reports: Mapping[str, PortReport], cables: Iterable[Cable], leaving: Collection[tuple[str, str]]
) -> list[tuple[str, ...]]:
    """Macs whose Thunderbolt Bridges join to a loop; frames circle in it until nothing else gets through.

    `leaving` are ports (Mac and interface) that are about to leave their bridge, and close no loop.
    """
    joined: dict[tuple[str, str], set[tuple[str, str]]] = {}
    loops: list[set[tuple[str, str]]] = []
    for cable in cables:
        bridges = [(end.mac, _bridge(reports[end.mac], end, leaving)) for end in cable.ends]
        if not all(bridge for _, bridge in bridges):
            continue
        one, other = (joined.setdefault(bridge, {bridge}) for bridge in bridges)
        if one is other:
            loops.append(set(one))
        one |= other
        for bridge in other:
            joined[bridge] = one
    # Two loops of the same Macs are one thing to mend.
    return list(dict.fromkeys(tuple(mac for mac in reports if mac in {name for name, _ in loop}) for loop in loops))


def _bridge(report: PortReport, end: End, leaving: Collection[tuple[str, str]]) -> str:
    return "" if (end.mac, end.port.interface) in leaving else report.bridge_of(end.port.interface)
