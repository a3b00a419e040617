"""Agents that die, freeze or change places in the middle of a transfer, on a slow network."""

from __future__ import annotations

import os
import signal
import time

import pytest
from relay_fleet import Lan, chain
from relay_harness import MIB, Agent, Load

SIZE = 24 * MIB
# Ethernet, IP and TCP at an MTU of 1500.
HEADERS = 1.05


@pytest.fixture
def load(lan: Lan) -> Load:
    """Two seconds' worth, with small files at its end."""
    return Load.made(lan.home, "model", SIZE, 1000, 0, 70_000)


def test_a_chain_costs_the_seed_one_copy(lan: Lan, load: Load) -> None:
    agents = lan.start(4, load)
    chain(agents, load)
    for mac in agents[1:]:
        mac.wait("whole")
        assert load.is_whole_at(mac)
        shown = [said["have"] for said in mac.heard("progress")]
        # Only `whole` says that everything has its name.
        assert shown
        assert max(shown) < load.size
    assert agents[0].stats()["sent"] <= 1.05 * load.size


def test_killed_at_half_it_keeps_what_it_had(lan: Lan, load: Load) -> None:
    seed, first, second, third = agents = lan.start(3, load)
    before = lan.received(2)
    chain(agents, load)
    second.wait("progress", least=SIZE // 2)
    second.kill()
    assert not second.at(load.sha256s[0]).exists()

    again = lan.agent(2)
    assert again.hold(load)["have"] >= SIZE // 3
    again.fetch(load, third, first, seed)
    for mac in (first, third, again):
        mac.wait("whole")
        assert load.is_whole_at(mac)
    assert lan.received(2) - before <= 1.10 * load.size * HEADERS
    assert seed.stats()["sent"] <= 1.10 * load.size


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "freezes"])
def test_one_goes_silent_and_the_others_go_on(lan: Lan, load: Load, number: signal.Signals) -> None:
    seed, first, lost, third, fourth = agents = lan.start(4, load)
    chain(agents, load)
    lost.wait("progress", least=SIZE // 3)
    lost.kill(number)
    began = time.monotonic()
    # The next one finds out by itself, and fetches from further up.
    third.wait("progress", **{"from": f"{first.address}:{first.port}"})
    assert time.monotonic() - began < 8
    for mac in (first, third, fourth):
        mac.wait("whole")
        assert load.is_whole_at(mac)
    assert time.monotonic() - began < 40
    assert fourth.heard("progress")[-1]["from"] in (f"{third.address}:{third.port}", None)
    assert seed.stats()["sent"] <= 1.25 * load.size


def test_a_new_plan_in_the_middle(lan: Lan, load: Load) -> None:
    seed, first, second, third = agents = lan.start(3, load)
    chain(agents, load)
    second.wait("progress", least=SIZE // 3)
    # The second moves to the end; the first keeps its upstream, and its connection.
    first.fetch(load, seed)
    third.fetch(load, first, seed)
    second.fetch(load, third, first, seed)
    second.wait("progress", **{"from": f"{third.address}:{third.port}"})
    for mac in (first, second, third):
        assert mac.wait("whole")["received"] <= 1.10 * load.size
        assert load.is_whole_at(mac)
    assert seed.stats()["sent"] <= 1.02 * load.size


def test_a_plan_without_anybody_ends_the_one_before(lan: Lan, load: Load) -> None:
    seed, mac = lan.start(1, load)
    mac.fetch(load, seed)
    mac.wait("progress", least=1)
    mac.fetch(load)
    had = mac.wait("progress", **{"from": None, "starved": True})["have"]
    assert had < load.size
    mac.fetch(load, seed)
    assert mac.wait("whole")["received"] <= 1.10 * load.size


def test_the_parcel_that_was_asked_for_first_comes_first(lan: Lan) -> None:
    first, second = Load.made(lan.home, "first", 6 * MIB), Load.made(lan.home, "second", 2 * MIB)
    seed, mac = lan.start(1, second, first)
    mac.fetch(first, seed)
    mac.fetch(second, seed)
    mac.wait("whole", parcel="second")
    assert [said["parcel"] for said in mac.heard("whole")] == ["first", "second"]


def test_the_starved_wait_for_an_upstream_that_answers(lan: Lan, load: Load) -> None:
    """A relay that has nothing yet is no reason to ask the seed."""
    seed, first, second = lan.start(2, load)
    second.fetch(load, first, seed)
    second.wait("progress", starved=True, **{"from": f"{first.address}:{first.port}"})
    first.fetch(load, seed)
    for mac in (first, second):
        mac.wait("whole")
    assert seed.stats()["sent"] == load.size


def test_the_end_of_orders_ends_it_whatever_it_waits_for(lan: Lan, load: Load) -> None:
    """Its threads are in the middle of receiving from, and sending to, agents that are frozen."""
    agents = lan.start(3, load)
    chain(agents, load)
    relay: Agent = agents[2]
    relay.wait("progress", least=1)
    for frozen in (agents[1], agents[3]):
        os.kill(frozen.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert relay.end() == 0
    assert time.monotonic() - began < 3
