"""By which addresses the Macs of a group reach each other."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import combinations

import pytest
from thunderbolt_macs import MACBOOK, MINI, STUDIO, Desk

from fleet.links import RANGE, Links, cable_networks, check_ports, make_links, port_addresses
from fleet.settings import Fleet, Mac

NAMES = ("alpha", "beta", "gamma", "delta")
HANDED = ("en2", "en3", "en4")
RING = [("alpha", 1, "beta", 1), ("beta", 2, "gamma", 1), ("gamma", 2, "alpha", 2)]
MESH_OF_FOUR = [*RING, ("delta", 1, "alpha", 3), ("delta", 2, "beta", 3), ("delta", 3, "gamma", 3)]


@pytest.fixture
def fleet() -> Fleet:
    """Four Macs that hand over all three of their ports."""
    return Fleet(tuple(mac(name, at) for at, name in enumerate(NAMES)), name="lab")


def mac(name: str, at: int) -> Mac:
    role = "worker" if at else "head"
    return Mac(name, role, node_ip=f"192.168.1.{20 + at}", thunderbolt=HANDED)  # type: ignore[arg-type]


def with_macs(fleet: Fleet, **changes: object) -> Fleet:
    return replace(fleet, macs=tuple(replace(mac, **changes) for mac in fleet.macs))  # type: ignore[arg-type]


def desk(cables: list[tuple[str, int, str, int]], rdma: bool = False, speed: int = 80) -> Desk:
    return Desk(dict.fromkeys(NAMES, MINI), cables=cables, rdma=rdma, speed=speed)


def linked(fleet: Fleet, desk: Desk, count: int = 3) -> Links:
    return make_links(fleet, fleet.macs[:count], desk.reports())


def order(links: Links) -> list[str]:
    return [rank.mac.name for rank in links.ranks]


def test_a_ring_of_cables(fleet: Fleet) -> None:
    links = linked(fleet, desk(RING))
    assert (links.backend, links.over, order(links), links.problems) == ("ring", "cables", [*NAMES[:3]], ())
    ports = port_addresses(fleet, desk(RING).reports())
    # Each Mac is reached at its end of the cable from the Mac before it.
    assert [rank.address for rank in links.ranks] == [
        ports["alpha"]["en3"],
        ports["beta"]["en2"],
        ports["gamma"]["en2"],
    ]
    assert links.describe() == "alpha – beta – gamma over Thunderbolt cables"


def test_both_ends_of_a_cable_are_in_one_network_and_no_two_cables_share_one(fleet: Fleet) -> None:
    networks = cable_networks(NAMES)
    ports = port_addresses(fleet, desk(MESH_OF_FOUR).reports())
    found = sorted(IPv4Address(address) for mac in ports.values() for address in mac.values())
    assert len(set(found)) == 12
    for network in networks.values():
        assert network.subnet_of(RANGE)
        assert [address for address in found if address in network] == list(network.hosts())


def test_two_macs_need_one_cable_and_use_one(fleet: Fleet) -> None:
    two = [("alpha", 3, "beta", 1), ("alpha", 2, "beta", 2)]
    links = linked(fleet, desk(two), count=2)
    assert links.over == "cables"
    ports = port_addresses(fleet, desk(two).reports())
    # The second cable gets nothing: it stays as it is.
    assert {name: [*ports[name]] for name in NAMES[:2]} == {"alpha": ["en3"], "beta": ["en3"]}
    assert [rank.address for rank in links.ranks] == [ports["alpha"]["en3"], ports["beta"]["en3"]]


def test_the_order_is_chosen_so_that_neighbours_are_cabled(fleet: Fleet) -> None:
    cables = [("alpha", 1, "gamma", 1), ("gamma", 2, "beta", 1), ("beta", 2, "delta", 1), ("delta", 2, "alpha", 2)]
    links = linked(fleet, desk(cables), count=4)
    assert order(links) == ["alpha", "gamma", "beta", "delta"]


def test_a_cable_at_a_port_that_is_not_handed_over_is_left_alone(fleet: Fleet) -> None:
    given = replace(fleet, macs=(replace(fleet.macs[0], thunderbolt=("en2",)), *fleet.macs[1:]))
    links = linked(given, desk(RING))
    assert links.over == "lan"
    assert [problem.line() for problem in links.problems] == [
        "thunderbolt: no Thunderbolt cable between gamma and alpha; a ring of alpha, beta, gamma needs alpha–beta, "
        "beta–gamma, gamma–alpha. Hand over en3 of alpha, where a cable is; until then the group uses a slower way."
    ]
    assert "en3" not in port_addresses(given, desk(RING).reports())["alpha"]


def test_the_missing_cable_is_named_and_does_not_stop_a_run(fleet: Fleet) -> None:
    links = linked(fleet, desk(RING[:2]))
    [problem] = links.problems
    assert problem.severity == "warning"
    assert problem.line() == (
        "thunderbolt: no Thunderbolt cable between gamma and alpha; a ring of alpha, beta, gamma needs alpha–beta, "
        "beta–gamma, gamma–alpha. Plug them in at ports that the inventory hands over; until then the group uses a "
        "slower way."
    )
    assert [rank.address for rank in links.ranks] == ["192.168.1.20", "192.168.1.21", "192.168.1.22"]


def test_what_is_in_the_way_of_a_cable_is_named(fleet: Fleet) -> None:
    docked = Desk(
        dict.fromkeys(NAMES, MINI),
        cables=[("beta", 1, "stranger", 1)],
        docks=[("alpha", 1, "CalDigit TS4")],
        behind=[("alpha", 1, "beta", 2)],
    )
    [problem] = linked(fleet, docked, count=2).problems
    assert problem.line().startswith(
        "thunderbolt: no Thunderbolt cable between alpha and beta; the two Macs of a group need one."
    )
    assert problem.line().endswith(
        "Not from Mac to Mac: CalDigit TS4 at Thunderbolt 1 of alpha, Mac Studio at Thunderbolt 1 of beta."
    )


def test_without_ports_of_their_own_the_bridge_and_then_the_lan(fleet: Fleet) -> None:
    bare = with_macs(fleet, thunderbolt=())
    assert linked(bare, desk(RING)).over == "lan"
    macs = tuple(replace(mac, thunderbolt_ip=f"10.99.0.{at}") for at, mac in enumerate(bare.macs, 1))
    links = linked(replace(bare, macs=macs), desk(RING))
    assert (links.over, links.problems) == ("bridge", ())
    assert [rank.address for rank in links.ranks] == ["10.99.0.1", "10.99.0.2", "10.99.0.3"]
    one = replace(bare, macs=(macs[0], *bare.macs[1:]))
    assert linked(one, desk(RING)).over == "lan"


def test_a_mac_that_was_never_asked_is_not_blamed(fleet: Fleet) -> None:
    reports = {name: report for name, report in desk(RING).reports().items() if name != "gamma"}
    links = make_links(fleet, fleet.macs[:3], reports)
    assert (links.over, links.problems) == ("lan", ())


# RDMA


def test_a_mesh_with_rdma(fleet: Fleet) -> None:
    links = linked(fleet, desk(MESH_OF_FOUR, rdma=True), count=4)
    assert links.backend == "jaccl"
    assert [rank.devices for rank in links.ranks] == [
        (None, "rdma_en2", "rdma_en3", "rdma_en4"),
        ("rdma_en2", None, "rdma_en3", "rdma_en4"),
        ("rdma_en3", "rdma_en2", None, "rdma_en4"),
        ("rdma_en2", "rdma_en3", "rdma_en4", None),
    ]
    assert links.describe().endswith(", with RDMA")


def test_three_in_a_ring_are_a_mesh_and_four_are_not(fleet: Fleet) -> None:
    assert linked(fleet, desk(RING, rdma=True)).backend == "jaccl"
    ring = [*RING[:2], ("gamma", 2, "delta", 1), ("delta", 2, "alpha", 2)]
    links = linked(fleet, desk(ring, rdma=True), count=4)
    assert (links.backend, links.over) == ("ring", "cables")


def test_rdma_must_be_on_and_thunderbolt_5(fleet: Fleet) -> None:
    assert linked(fleet, desk(RING)).backend == "ring"
    # macOS has RDMA devices for Thunderbolt 4 as well.
    assert linked(fleet, desk(RING, rdma=True, speed=40)).backend == "ring"
    mixed = desk(RING, rdma=True).reports()
    mixed["beta"] = replace(mixed["beta"], rdma=())
    assert make_links(fleet, fleet.macs[:3], mixed).backend == "ring"


# Networks


def test_a_mac_added_at_the_end_renumbers_nobody() -> None:
    names = [f"mac-{number}" for number in range(50)]
    before = cable_networks(names[:49])
    after = cable_networks(names)
    assert len(set(after.values())) == len(after) == 50 * 49 // 2
    assert {pair: after[pair] for pair in before} == before


def test_a_network_follows_from_the_two_names() -> None:
    assert cable_networks(["alpha", "beta"]) == cable_networks(["beta", "alpha"])
    three = cable_networks(["gamma", "beta", "alpha"])
    assert three[frozenset(("alpha", "beta"))] == cable_networks(["alpha", "beta"])[frozenset(("alpha", "beta"))]
    assert len({three[frozenset(pair)] for pair in combinations(("alpha", "beta", "gamma"), 2)}) == 3


# What is wrong with ports


def lines(fleet: Fleet, desk: Desk) -> list[str]:
    return [problem.line() for problem in check_ports(fleet, desk.reports())]


def test_all_is_well(fleet: Fleet) -> None:
    assert lines(fleet, desk(MESH_OF_FOUR)) == []


def test_an_interface_that_is_no_thunderbolt_port(fleet: Fleet) -> None:
    wrong = replace(fleet, macs=(replace(fleet.macs[0], thunderbolt=("en0", "en2")), *fleet.macs[1:]))
    assert lines(wrong, desk([])) == [
        "alpha: thunderbolt: en0 is no Thunderbolt port of this Mac, which has en2, en3, en4. Correct it: "
        "networksetup -listallhardwareports tells the interface of each port."
    ]


@pytest.mark.parametrize("where", ["en2", "bridge0"])
def test_an_interface_by_which_the_mac_is_reached(fleet: Fleet, where: str) -> None:
    one = replace(fleet, macs=(replace(fleet.macs[0], thunderbolt=("en2",)),))
    reached = Desk({"alpha": MINI}, addresses={("alpha", where): "192.168.1.20", ("alpha", "en0"): "192.168.1.9"})
    assert lines(one, reached) == [
        "alpha: thunderbolt: en2 carries 192.168.1.20, by which this Mac is reached. Take it out of the list, or give "
        "the Mac a node IP on another network."
    ]


def test_somebody_else_s_address_in_the_range(fleet: Fleet) -> None:
    foreign = Desk({"alpha": MINI}, addresses={("alpha", "en0"): "10.183.7.7", ("alpha", "en3"): "10.183.9.9"})
    [line] = lines(fleet, foreign)
    assert line.startswith("alpha: 10.183.7.7 is in 10.183.0.0/16, which raylab gives to Thunderbolt cables.")
    assert lines(with_macs(fleet, thunderbolt=()), foreign) == []


def test_bridges_that_form_a_loop(fleet: Fleet) -> None:
    bridged = Desk({"alpha": MACBOOK, "beta": STUDIO, "gamma": MINI}, cables=RING)
    assert lines(with_macs(fleet, thunderbolt=()), bridged) == [
        "thunderbolt: the Thunderbolt Bridges of alpha, beta, gamma form a loop, which macOS does not break. Pull one "
        "of the cables, or hand the ports over: thunderbolt = [...] for each of these Macs."
    ]
    # Ports that raylab is about to take out of their bridges close no loop.
    assert lines(fleet, desk(RING)) == []
