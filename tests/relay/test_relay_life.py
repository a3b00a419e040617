"""How an agent begins and ends, what it does with orders that are none, and with a full disk."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port
from relay_fleet import Fleet
from relay_harness import MIB, SECRET, Agent, Load, command


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def test_a_full_disk_is_said_and_what_came_is_kept(fleet: Fleet, small_disk: Path) -> None:
    load = Load.made(fleet.home, "model", MIB, 8 * MIB)
    seed, mac = fleet.agent(0), fleet.agent(1)
    seed.hold(load, seed=True)
    held = mac.hold(load, folder=small_disk)
    assert held["needs"] == load.size
    assert 3 * MIB < held["free"] <= 4 * MIB
    mac.fetch(load, seed)
    assert "No space left" in mac.wait("failed", parcel="model")["error"]
    partial = small_disk / f"{load.sha256s[1]}.partial"
    assert partial.stat().st_size > 2 * MIB
    assert not (small_disk / load.sha256s[1]).exists()

    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    mac.fetch(load, seed)
    assert mac.wait("whole")["received"] < load.size + MIB


def test_nobody_waits_for_a_relay_whose_disk_is_full(fleet: Fleet, small_disk: Path) -> None:
    load = Load.made(fleet.home, "model", 8 * MIB)
    seed, relay, mac = (fleet.agent(number) for number in range(3))
    seed.hold(load, seed=True)
    relay.hold(load, folder=small_disk)
    mac.hold(load)
    mac.fetch(load, relay, seed)
    relay.fetch(load, seed)
    relay.wait("failed")
    mac.wait("whole")
    assert load.is_whole_at(mac)


def test_the_end_of_orders_is_the_end(fleet: Fleet) -> None:
    assert fleet.agent(1).end() == 0


def test_silence_is_the_end(fleet: Fleet) -> None:
    mac = fleet.agent(1, silence=1.5)
    began = time.monotonic()
    while time.monotonic() - began < 3:
        mac.say("alive")
        assert mac.stats()
        time.sleep(0.2)
    assert mac.process.poll() is None
    assert mac.process.wait(10) == 0


def test_it_ends_when_nobody_reads_what_it_says(fleet: Fleet) -> None:
    readable, writable = os.pipe()
    with subprocess.Popen(command(fleet.home), stdin=subprocess.PIPE, stdout=writable) as process:
        os.close(writable)
        os.close(readable)
        assert process.stdin
        process.stdin.write(b'{"do": "stats"}\n')
        process.stdin.flush()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "{}",
        '{"do": "dance"}',
        '{"do": "fetch", "parcel": "unknown", "upstreams": []}',
        '{"do": "hold", "parcel": "../x", "folder": "/x", "objects": []}',
        '{"do": "hold", "parcel": "x", "folder": "/x", "objects": [{"sha256": "../../etc"}]}',
        '{"do": "listen", "secret": "sesame"}',
    ],
)
def test_an_order_that_is_none_is_said_and_passed_over(fleet: Fleet, line: str) -> None:
    mac = fleet.agent(1)
    mac.write(line)
    said = mac.wait("error")["error"]
    assert SECRET not in said
    assert mac.stats()


def test_hashes_that_do_not_fit_are_refused(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    mac = fleet.agent(1)
    mac.order_hold(Load("model", ({**load.objects[0], "hashes": "00" * 32},)))
    assert load.sha256s[0] in mac.wait("error", parcel="model")["error"]


def test_a_port_in_use_is_waited_for(fleet: Fleet) -> None:
    mac = Agent(fleet.home, fleet.address(1))
    fleet.agents.append(mac)
    port = free_port()
    with socket.create_server((mac.address, port)):
        mac.say("listen", addresses=[mac.address], port=port, secret=SECRET, peers=[], tls=None)
        assert mac.stats()
        assert not mac.heard("listening")
    assert mac.wait("listening")["port"] == port


def test_an_address_of_somebody_else_is_an_error(fleet: Fleet) -> None:
    mac = Agent(fleet.home, fleet.address(1))
    fleet.agents.append(mac)
    mac.say("listen", addresses=["192.0.2.1"], port=0, secret=SECRET, peers=[], tls=None)
    assert "192.0.2.1" in mac.wait("error")["error"]
