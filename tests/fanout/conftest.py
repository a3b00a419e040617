"""A network for the agents, and a fleet of them for each test."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fanout_lab import NAMESPACE, Lab


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """A loopback of its own, slow enough that a transfer can be disturbed."""
    # That of a run that was killed.
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        shaping = ["root", "tbf", "rate", "400mbit", "burst", "256k", "latency", "50ms"]
        subprocess.run(["tc", "-n", NAMESPACE, "qdisc", "add", "dev", "lo", *shaping], check=True)
        yield NAMESPACE
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


@pytest.fixture
def lab(tmp_path: Path, network: str) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for name in made.agents:
        # A test may have stopped it; it may have ended, too.
        with contextlib.suppress(ProcessLookupError):
            made.signal(name, signal.SIGCONT)
    for fanout in made.started:
        if not fanout.closed:
            fanout.close()
