"""By which addresses the Macs of a group reach each other, and which addresses their Thunderbolt ports get.

A cable from Mac to Mac is a network of its own: two addresses and no router. That needs ports that the inventory
hands over. Without them a group talks over the Thunderbolt Bridge, or over the node IPs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Literal

from fleet import cables as cabling
from fleet.cables import Cable, PortReport
from fleet.errors import Code, Problem
from fleet.settings import Fleet, Mac

# Private, and in nobody's way: home routers, Docker, Parallels, VMware, Internet Sharing and Tailscale all hand out
# others. Link-local addresses would not do, macOS changes them; nor would a part of somebody's LAN.
RANGE = IPv4Network("10.183.0.0/16")
NETMASK = "255.255.255.252"
_BLOCKS = 1 << (30 - RANGE.prefixlen)
# macOS makes RDMA devices for Thunderbolt 4 ports too, which cannot do it.
_RDMA_SPEED = 80

Backend = Literal["ring", "jaccl"]
Over = Literal["cables", "bridge", "lan"]
_WORDS = {"cables": "Thunderbolt cables", "bridge": "the Thunderbolt Bridge", "lan": "the LAN"}


@dataclass(frozen=True)
class Rank:
    """One Mac of a group."""

    mac: Mac
    address: str
    """Where its left neighbour reaches it: the Mac before it, and the last for the first."""
    devices: tuple[str | None, ...] = ()
    """jaccl only: its RDMA device towards each rank, None towards itself."""


@dataclass(frozen=True)
class Links:
    """How the Macs of one group talk to each other."""

    backend: Backend
    over: Over
    ranks: tuple[Rank, ...]
    """In rank order, which is not always the order of the plan: neighbours are cabled. The first Mac is the same."""
    problems: tuple[Problem, ...] = ()
    """Cables that are missing, as warnings."""

    def describe(self) -> str:
        """`alpha – beta – gamma over Thunderbolt cables, with RDMA`."""
        names = " – ".join(rank.mac.name for rank in self.ranks)
        return f"{names} over {_WORDS[self.over]}{', with RDMA' if self.backend == 'jaccl' else ''}"


def make_links(fleet: Fleet, group: Sequence[Mac], reports: Mapping[str, PortReport]) -> Links:
    """The links of a group, its Macs in the plan's order. `reports`: what the Macs say of their ports, by name.

    Cables where every Mac of the group hands over ports and the cables at those make a ring; else the Thunderbolt
    Bridge where every Mac has an address on it; else the node IPs.
    """
    problems: tuple[Problem, ...] = ()
    if len(group) > 1 and all(mac.thunderbolt and mac.name in reports for mac in group):
        order = cabling.ring_order([mac.name for mac in group], used_cables(fleet, reports).keys())
        if order:
            return _over_cables(fleet, order, reports)
        problems = (_no_ring(fleet, group, reports),)
    bridge = [mac.thunderbolt_ip for mac in group]
    if all(bridge):
        return Links("ring", "bridge", tuple(Rank(mac, str(mac.thunderbolt_ip)) for mac in group), problems)
    return Links("ring", "lan", tuple(Rank(mac, mac.node_ip) for mac in group), problems)


def _over_cables(fleet: Fleet, order: Sequence[str], reports: Mapping[str, PortReport]) -> Links:
    cables = used_cables(fleet, reports)
    networks = cable_networks([mac.name for mac in fleet.macs])
    fast = cabling.is_mesh(order, cables.keys()) and all(
        _has_rdma(cables[frozenset(pair)], reports) for pair in combinations(order, 2)
    )
    ranks = []
    for rank, name in enumerate(order):
        pair = frozenset((order[rank - 1], name))
        devices = tuple(_device(cables, name, other) for other in order) if fast else ()
        ranks.append(Rank(fleet.mac(name), _address(networks[pair], pair, name), devices))
    return Links("jaccl" if fast else "ring", "cables", tuple(ranks))


def _device(cables: Mapping[frozenset[str], Cable], name: str, other: str) -> str | None:
    if name == other:
        return None
    return f"rdma_{cables[frozenset((name, other))].end_at(name).port.interface}"


def _has_rdma(cable: Cable, reports: Mapping[str, PortReport]) -> bool:
    """Both ends have it switched on, and the link is one of Thunderbolt 5."""
    switched_on = all(end.port.interface in reports[end.mac].rdma for end in cable.ends)
    return switched_on and cable.speed >= _RDMA_SPEED


def used_cables(fleet: Fleet, reports: Mapping[str, PortReport]) -> dict[frozenset[str], Cable]:
    """The cable that raylab uses between two Macs, by their names: both its ends are handed over.

    Of several between the same two it is the one at the first port of the Mac that stands first in the inventory.
    """
    found: dict[frozenset[str], Cable] = {}
    for cable in _known_cables(fleet, reports):
        if all(end.port.interface in fleet.mac(end.mac).thunderbolt for end in cable.ends):
            found.setdefault(cable.macs, cable)
    return found


def _known_cables(fleet: Fleet, reports: Mapping[str, PortReport]) -> tuple[Cable, ...]:
    return cabling.find_cables({mac.name: reports[mac.name] for mac in fleet.macs if mac.name in reports})


def port_addresses(fleet: Fleet, reports: Mapping[str, PortReport]) -> dict[str, dict[str, str]]:
    """The address that each port at a used cable gets: by Mac, by interface."""
    networks = cable_networks([mac.name for mac in fleet.macs])
    found: dict[str, dict[str, str]] = {mac.name: {} for mac in fleet.macs}
    for pair, cable in used_cables(fleet, reports).items():
        for end in cable.ends:
            found[end.mac][end.port.interface] = _address(networks[pair], pair, end.mac)
    return found


def cable_networks(names: Sequence[str]) -> dict[frozenset[str], IPv4Network]:
    """The network of a cable between any two of the Macs, `names` in the inventory's order.

    It follows from the two names. Where that gives two pairs the same one, the pair that came later into the
    inventory takes the next that is free, so a Mac added at the end changes no other's addresses.
    """
    taken: set[int] = set()
    networks = {}
    for later, name in enumerate(names):
        for other in names[:later]:
            digest = hashlib.sha256("\n".join(sorted((name, other))).encode()).digest()
            block = int.from_bytes(digest[:4], "big") % _BLOCKS
            while block in taken:
                block = (block + 1) % _BLOCKS
            taken.add(block)
            networks[frozenset((name, other))] = IPv4Network((int(RANGE.network_address) + 4 * block, 30))
    return networks


def _address(network: IPv4Network, pair: frozenset[str], mac: str) -> str:
    """One of the two: the name that sorts first has the first."""
    return str(network[1 + sorted(pair).index(mac)])


def check_ports(fleet: Fleet, reports: Mapping[str, PortReport]) -> list[Problem]:
    """What is wrong with the ports that the inventory hands over, and with how the Macs are cabled."""
    problems: list[Problem] = []
    for mac in fleet.macs:
        if any(other.thunderbolt for other in fleet.macs):
            problems += _range_taken(mac, reports.get(mac.name, PortReport()))
        if mac.name in reports:
            problems += _unfit_ports(mac, reports[mac.name])
    leaving = {(mac, port) for mac, ports in port_addresses(fleet, reports).items() for port in ports}
    for names in cabling.bridge_loops(reports, _known_cables(fleet, reports), leaving):
        fix = "Pull one of the cables, or hand the ports over: thunderbolt = [...] for each of these Macs."
        problems.append(Problem(Code.CABLE_LOOP, "", "", "thunderbolt", _listed(names), fix))
    return problems


def _unfit_ports(mac: Mac, report: PortReport) -> Iterator[Problem]:
    has = ", ".join(port.interface for port in report.ports if port.interface) or "none"
    for interface in mac.thunderbolt:
        if report.port_of(interface) is None:
            fix = "Correct it: networksetup -listallhardwareports tells the interface of each port."
            yield Problem(Code.THUNDERBOLT_UNKNOWN, "", mac.name, "thunderbolt", interface, fix, has)
            continue
        for where in filter(None, (interface, report.bridge_of(interface))):
            if mac.node_ip in report.addresses.get(where, ()):
                fix = "Take it out of the list, or give the Mac a node IP on another network."
                yield Problem(Code.THUNDERBOLT_TAKEN, "", mac.name, "thunderbolt", interface, fix, mac.node_ip)


def _range_taken(mac: Mac, report: PortReport) -> Iterator[Problem]:
    """Addresses in raylab's own range that are not raylab's."""
    others = {mac.node_ip, mac.thunderbolt_ip} - {None}
    others |= {
        address
        for interface, addresses in report.addresses.items()
        for address in addresses
        if interface not in mac.thunderbolt
    }
    for address in sorted(str(other) for other in others):
        if IPv4Address(address) in RANGE:
            fix = "Move that network to other addresses, or hand over no Thunderbolt ports."
            yield Problem(Code.LINK_RANGE, "", mac.name, "", address, fix, str(RANGE))


def _no_ring(fleet: Fleet, group: Sequence[Mac], reports: Mapping[str, PortReport]) -> Problem:
    """Which cables a group lacks, and which of them are there but at ports that were not handed over."""
    pairs = used_cables(fleet, reports).keys()
    order = cabling.nearest_ring([mac.name for mac in group], pairs)
    lacking = cabling.missing(order, pairs)
    given = ", ".join(f"{one} and {other}" for one, other in lacking)
    needs = ", ".join(f"{one}–{other}" for one, other in cabling.ring_pairs(order))
    whole = f"a ring of {_listed(order)} needs {needs}" if len(order) > 2 else "the two Macs of a group need one"
    elsewhere = [
        f"{end.port.interface} of {end.mac}"
        for cable in _known_cables(fleet, reports)
        for end in cable.ends
        if cable.macs in map(frozenset, lacking) and end.port.interface not in fleet.mac(end.mac).thunderbolt
    ]
    fix = "Plug them in at ports that the inventory hands over; until then the group uses a slower way."
    if elsewhere:
        fix = f"Hand over {', '.join(elsewhere)}, where a cable is; until then the group uses a slower way."
    elif beside := _beside(order, reports):
        fix = f"{fix} Not from Mac to Mac: {beside}."
    return Problem(Code.CABLE_MISSING, "", "", "thunderbolt", given, fix, whole)


def _beside(names: Sequence[str], reports: Mapping[str, PortReport]) -> str:
    """What else is plugged into the group's ports, such as a dock on the way to another Mac."""
    owned = {port.domain for report in reports.values() for port in report.ports}
    return ", ".join(
        f"{port.holds} at {port.name} of {name}"
        for name in names
        for port in reports[name].ports
        if port.holds and port.peer not in owned
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
