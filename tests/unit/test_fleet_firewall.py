"""Who may reach which port: pf's rules as text, and what pf prints of itself."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.firewall import Filter, check_mac, closed_ports, faults, let_in, make_rules
from fleet.links import port_addresses
from fleet.ports import Ports
from fleet.settings import Fleet, Mac

# As printed by pfctl on Macs.
ENABLED = "Status: Enabled for 0 days 00:02:03           Debug: Urgent\n"
HEADER = "TOKENS:\nPID      Process Name                 TOKEN                    TIMESTAMP\n"
OTHERS = "618      socketfilterfw               9813589183660731843      0 days 00:03:31\n"
OURS = "4063     some helper                  15053025338191571182     0 days 00:00:00\n"
TOKEN = "15053025338191571182\n"
STOCK = 'scrub-anchor "com.apple/*" all fragment reassemble\nanchor "com.apple/*" all\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Project(tmp_path).load()


def found(fleet: Fleet, mac: Mac, **other: str) -> Filter:
    """A Mac as it should be, with something else."""
    digest = make_rules(fleet, mac).digest
    rules = "".join(
        f'block return in quick on ! lo0 proto tcp from ! <raylab> to any port {port} label "raylab:{digest}"\n'
        for port in ("= 8000", "10100:10299")
    )
    printed = {
        "info": ENABLED,
        "references": HEADER + OTHERS + OURS,
        "main": STOCK,
        "rules": rules,
        "token": TOKEN,
        "job": "system/io.raylab.firewall = {\n",
    }
    return Filter.parse(**{**printed, **other})


def test_the_rules(fleet: Fleet) -> None:
    rules = make_rules(replace(fleet, allow=("192.168.1.5", "fd00::/8")), fleet.head)
    comment, table, block = rules.text.splitlines()
    assert comment.startswith("# ")
    assert table == "table <raylab> const { 10.77.0.11, 10.77.0.12, 10.77.0.13, 192.168.1.5, fd00::/8 }"
    assert block == (
        "block return in quick on ! lo0 proto tcp from ! <raylab> to any port { 6379, 6380, 6381, 6382, 6383, 6384, "
        "6385, 6386, 6387, 6388, 6389, 6390, 6879, 6880, 6881, 6882, 6883, 6884, 6885, 6886, 6887, 6888, 8000, 8265, "
        "8500, 8765, 10001, 10100:10299, 10501, 10600:10799, 28672:32767 } "
        f'label "raylab:{rules.digest}"'
    )


def test_every_port_of_the_table_is_closed_but_the_door_s(fleet: Fleet) -> None:
    rules = make_rules(fleet, fleet.head)
    for ports in fleet.tables:
        for name, port in ports.single().items():
            assert rules.closes(port) == (name != "door"), name
        assert rules.closes(ports.worker_min)
        assert rules.closes(ports.worker_max)
        assert not rules.closes(ports.worker_max + 1)


def test_the_rules_are_the_same_on_both_sides(fleet: Fleet) -> None:
    assert make_rules(fleet.on_side(2), fleet.head) == make_rules(fleet, fleet.head)


def test_no_table_that_can_be_set_closes_ssh() -> None:
    lowest = {name: 1024 + number for number, name in enumerate(Ports().single())}
    for ports in (Ports(), Ports().with_overrides({**lowest, "worker_min": 1100, "worker_max": 1200})):
        assert all(first > 1023 for first, _ in closed_ports((ports, ports.moved(1))))


def test_rules_change_with_the_settings_and_not_without(fleet: Fleet) -> None:
    digest = make_rules(fleet, fleet.head).digest
    assert make_rules(fleet, fleet.head).digest == digest
    others = (
        replace(fleet, macs=fleet.macs[:-1]),
        replace(fleet, allow=("192.168.1.5",)),
        replace(fleet, ports=Ports(serve_http=8100)),
    )
    assert len({digest, *(make_rules(other, fleet.head).digest for other in others)}) == 4


def test_the_ends_of_cables_are_let_in_wherever_they_are_plugged_in() -> None:
    from thunderbolt_macs import MINI, Desk

    handed = {"alpha": ("en2",), "beta": ("en2", "en3"), "gamma": ("en2",), "delta": ()}
    macs = tuple(
        Mac(name, "worker", f"192.168.1.{20 + number}", thunderbolt=ports)
        for number, (name, ports) in enumerate(handed.items())
    )
    fleet = Fleet((replace(macs[0], role="head"), *macs[1:]), name="lab")
    desk = Desk(dict.fromkeys(handed, MINI), cables=[("alpha", 1, "beta", 1), ("beta", 2, "gamma", 1)])
    given = port_addresses(fleet, {name: desk.report(name) for name in handed})
    networks = [ip_network(each) for each in let_in(fleet, fleet.mac("beta"))]
    for mac, interface in (("alpha", "en2"), ("gamma", "en2")):
        assert any(IPv4Address(given[mac][interface]) in network for network in networks)
    # No more than the two that it may have, beside the four Macs' own addresses.
    assert len(networks) == 6
    assert len(let_in(fleet, fleet.mac("delta"))) == 4


def test_thunderbolt_bridges_are_let_in(fleet: Fleet) -> None:
    macs = (fleet.head, *(replace(mac, thunderbolt_ip=f"10.99.0.{n}") for n, mac in enumerate(fleet.workers, 2)))
    assert {"10.99.0.2", "10.99.0.3"} < set(let_in(replace(fleet, macs=macs), fleet.head))


def test_a_mac_as_it_should_be(fleet: Fleet) -> None:
    well = found(fleet, fleet.head)
    rules = make_rules(fleet, fleet.head)
    assert well.keeps(rules)
    assert list(faults(rules, well)) == []
    assert list(check_mac(fleet, fleet.head, well, 22)) == []


FAULTS = {
    "pf is off": ({"info": "Status: Disabled                              Debug: Urgent\n"}, False),
    "raylab's rules are not loaded": ({"rules": ""}, False),
    "other rules than the settings' are": ({"rules": 'block drop in all label "raylab:0123456789ab"\n'}, False),
    "for others only": ({"references": HEADER + OTHERS}, False),
    "pf is on for others": ({"token": ""}, False),
    "is on for others only": ({"references": "No pf starter references held\n"}, False),
    # Nothing that loading the rules once more would mend.
    "main rules do not lead to raylab's": ({"main": 'scrub-anchor "com.apple/*" all\nanchor "mine" all\n'}, True),
    "a restart opens every port": ({"job": ""}, True),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_lets_strangers_in(fleet: Fleet, words: str) -> None:
    other, kept = FAULTS[words]
    rules, seen = make_rules(fleet, fleet.head), found(fleet, fleet.head, **other)
    assert seen.keeps(rules) == kept
    [(fault, fix)] = faults(rules, seen)
    assert words in fault
    assert fix


def test_main_rules_of_somebody_s_own_are_a_warning(fleet: Fleet) -> None:
    [problem] = check_mac(fleet, fleet.head, found(fleet, fleet.head, main=""), 22)
    assert problem.severity == "warning"
    assert re.match("alpha: firewall: pf's main rules do not lead to com.apple/raylab: strangers", problem.line())


def test_an_sshd_at_a_port_that_would_be_closed_is_an_error(fleet: Fleet) -> None:
    [problem] = check_mac(fleet, fleet.head, found(fleet, fleet.head), 30022)
    assert problem.severity == "error"
    assert problem.line() == (
        "alpha: firewall: SSH reaches this Mac by port 30022, which the firewall would close. "
        "Let sshd there listen on another port, change `ports`, or write firewall = False."
    )
