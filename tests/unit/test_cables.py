"""Cables between Macs, from what the Macs say of their ports."""

from __future__ import annotations

import json

import pytest
from thunderbolt_macs import MACBOOK, MINI, STUDIO, Desk, domain

from fleet.cables import (
    PortReport,
    bridge_loops,
    find_cables,
    is_mesh,
    missing,
    nearest_ring,
    ring_order,
    ring_pairs,
)


def seen(desk: Desk) -> list[str]:
    return [
        " – ".join(f"{end.mac} {end.port.interface}" for end in cable.ends) for cable in find_cables(desk.reports())
    ]


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(name.split("-")) for name in names}


def test_the_ports_of_a_mac() -> None:
    desk = Desk({"alpha": MACBOOK, "beta": STUDIO}, cables=[("alpha", 2, "beta", 5)])
    report = desk.report("alpha")
    assert [(port.name, port.interface, port.speed) for port in report.ports] == [
        ("Thunderbolt 1", "en1", 0),
        ("Thunderbolt 2", "en6", 80),
        ("Thunderbolt 3", "en2", 0),
    ]
    assert report.ports[1].domain == domain("alpha", 2)
    assert report.ports[1].peer == domain("beta", 5)
    assert report.ports[1].holds == "Mac Studio"
    assert report.addresses["en0"] == ("192.168.1.20",)
    assert report.members == {"bridge0": ("en1", "en6", "en2")}


def test_two_macs_with_one_cable() -> None:
    assert seen(Desk({"alpha": MINI, "beta": MINI}, cables=[("beta", 3, "alpha", 1)])) == ["alpha en2 – beta en4"]


def test_two_cables_between_two_macs_are_two() -> None:
    desk = Desk({"alpha": MINI, "beta": STUDIO}, cables=[("alpha", 1, "beta", 1), ("alpha", 2, "beta", 6)])
    assert seen(desk) == ["alpha en2 – beta en2", "alpha en3 – beta en7"]


def test_three_macs_in_a_ring() -> None:
    cables = [("alpha", 1, "beta", 1), ("beta", 2, "gamma", 1), ("gamma", 2, "alpha", 2)]
    desk = Desk({"alpha": MINI, "beta": MINI, "gamma": MACBOOK}, cables=cables)
    assert seen(desk) == ["alpha en2 – beta en2", "alpha en3 – gamma en6", "beta en3 – gamma en1"]


def test_a_dock_in_between_is_no_cable() -> None:
    docks = [("alpha", 1, "CalDigit TS4"), ("beta", 1, "CalDigit TS4")]
    desk = Desk({"alpha": MINI, "beta": MINI}, docks=docks, behind=[("alpha", 1, "beta", 1)])
    assert seen(desk) == []
    assert desk.report("alpha").ports[0].holds == "CalDigit TS4"


def test_a_mac_that_is_no_member_is_no_end() -> None:
    desk = Desk({"alpha": MINI, "beta": MINI}, cables=[("alpha", 1, "stranger", 1)])
    assert seen(desk) == []
    assert desk.report("alpha").ports[0].peer == domain("stranger", 1)


def test_a_cable_from_a_mac_to_itself_is_none() -> None:
    assert seen(Desk({"alpha": MINI}, cables=[("alpha", 1, "alpha", 2)])) == []


def test_a_cable_that_only_one_end_tells_of_is_there() -> None:
    """alpha is off: beta does not see it, and what is known of it is what it said before."""
    before = Desk({"alpha": MINI, "beta": MINI}, cables=[("alpha", 1, "beta", 1)])
    remembered = PortReport.remembered(json.loads(json.dumps(before.report("alpha").to_remember())))
    alone = Desk({"beta": MINI}).report("beta")
    assert len(find_cables({"alpha": remembered, "beta": alone})) == 1


def test_what_another_version_remembered_is_nothing() -> None:
    assert PortReport.remembered({"ports": [{"number": 1}], "rdma": []}) == PortReport()
    assert PortReport.remembered({}) == PortReport()


def test_rdma_counts_only_when_it_is_switched_on() -> None:
    assert Desk({"alpha": MINI}, rdma=True).report("alpha").rdma == ("en2", "en3", "en4")
    assert Desk({"alpha": MINI}).report("alpha").rdma == ()


@pytest.mark.parametrize(
    "text", ["", "not json", "{}", '{"SPThunderboltDataType": []}', '{"SPThunderboltDataType": 1}']
)
def test_a_mac_that_tells_nothing_has_no_ports(text: str) -> None:
    assert PortReport.parse(text, "", "", "", "") == PortReport()


def test_a_bus_without_a_receptacle_is_no_port() -> None:
    bus = {"_name": "thunderboltusb4_bus_0", "domain_uuid_key": "X", "receptacle_1_tag": {}}
    assert PortReport.parse(json.dumps({"SPThunderboltDataType": [bus]}), "", "", "", "").ports == ()


# Shapes

THREE = ("alpha", "beta", "gamma")
FOUR = (*THREE, "delta")


def test_two_macs_need_one_cable() -> None:
    assert ring_order(("alpha", "beta"), pairs("alpha-beta")) == ("alpha", "beta")
    assert ring_order(("alpha", "beta"), pairs("beta-gamma")) is None


def test_a_ring_closes() -> None:
    assert ring_order(THREE, pairs("alpha-beta", "beta-gamma", "gamma-alpha")) == THREE
    assert ring_order(THREE, pairs("alpha-beta", "beta-gamma")) is None


def test_the_order_follows_the_cables_and_the_first_stays_first() -> None:
    cabled = pairs("alpha-gamma", "gamma-beta", "beta-delta", "delta-alpha")
    assert ring_order(FOUR, cabled) == ("alpha", "gamma", "beta", "delta")


def test_a_path_and_a_star_are_no_ring() -> None:
    assert ring_order(FOUR, pairs("alpha-beta", "beta-gamma", "gamma-delta")) is None
    assert ring_order(FOUR, pairs("alpha-beta", "alpha-gamma", "alpha-delta")) is None


def test_a_mesh_is_a_ring_too() -> None:
    cabled = pairs("alpha-beta", "alpha-gamma", "alpha-delta", "beta-gamma", "beta-delta", "gamma-delta")
    assert is_mesh(FOUR, cabled)
    assert ring_order(FOUR, cabled) == FOUR
    assert not is_mesh(FOUR, cabled - pairs("beta-delta"))


def test_what_is_missing_is_as_little_as_possible() -> None:
    cabled = pairs("alpha-gamma", "gamma-beta", "beta-delta")
    order = nearest_ring(FOUR, cabled)
    assert order == ("alpha", "gamma", "beta", "delta")
    assert missing(order, cabled) == [("delta", "alpha")]
    assert missing(("alpha", "beta"), set()) == [("alpha", "beta")]
    assert ring_pairs(THREE) == [("alpha", "beta"), ("beta", "gamma"), ("gamma", "alpha")]


# Bridges

RING = [("alpha", 1, "beta", 1), ("beta", 2, "gamma", 1), ("gamma", 2, "alpha", 2)]


def loops(desk: Desk, leaving: tuple[tuple[str, str], ...] = ()) -> list[tuple[str, ...]]:
    return bridge_loops(desk.reports(), find_cables(desk.reports()), leaving)


def test_a_ring_of_bridged_ports_is_a_loop() -> None:
    desk = Desk(dict.fromkeys(THREE, MINI), cables=RING)
    assert loops(desk) == [THREE]
    assert loops(desk, (("gamma", "en3"),)) == []


def test_a_chain_and_ports_of_their_own_are_none() -> None:
    assert loops(Desk(dict.fromkeys(THREE, MINI), cables=RING[:2])) == []
    assert loops(Desk(dict.fromkeys(THREE, MINI), cables=RING, bridged=False)) == []


def test_two_bridged_cables_between_two_macs_are_a_loop() -> None:
    desk = Desk(dict.fromkeys(THREE, MINI), cables=[*RING[:2], ("alpha", 3, "beta", 3)])
    assert loops(desk) == [("alpha", "beta")]
