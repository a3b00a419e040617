"""Fleets of agents: on loopback addresses, or each in a network namespace of its own with a slow link."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay_fleet import HOST, HOSTS, Fleet, Lan

# Slow enough that a transfer of some MiB can be disturbed.
RATE = "50mbit"
SWITCH = "relay-tsw"


def ip(*arguments: str) -> None:
    """Run ip."""
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture(scope="session")
def slow_network() -> Iterator[None]:
    """A switch, and hosts with RATE each way."""
    made = [SWITCH]
    for left in (SWITCH, *map(HOST.format, range(HOSTS))):
        # Those of a run that was killed.
        subprocess.run(["ip", "netns", "del", left], check=False, capture_output=True)
    ip("netns", "add", SWITCH)
    try:
        ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "br0", "up")
        for number in range(HOSTS):
            host, port = HOST.format(number), f"port{number}"
            ip("netns", "add", host)
            made.append(host)
            ip("-n", SWITCH, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", SWITCH, "link", "set", port, "master", "br0", "up")
            ip("-n", host, "addr", "add", f"10.77.3.{number + 1}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            for namespace, device in ((host, "eth0"), (SWITCH, port)):
                shaping = ["root", "tbf", "rate", RATE, "burst", "64k", "latency", "30ms"]
                subprocess.run(["tc", "-n", namespace, "qdisc", "add", "dev", device, *shaping], check=True)
        yield
    finally:
        for namespace in made:
            ip("netns", "del", namespace)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Agents on loopback addresses."""
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.end()


@pytest.fixture
def lan(tmp_path: Path, slow_network: None) -> Iterator[Lan]:
    """Agents on the slow network."""
    lan = Lan(tmp_path)
    yield lan
    lan.end()
