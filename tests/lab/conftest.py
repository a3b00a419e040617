"""One fleet for all the lab tests: brought up by the README's commands, taken down at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from harness import healthy, lab, pyinfra, wait_for


@pytest.fixture(scope="session")
def fleet() -> Iterator[str]:
    """Three simulated Macs, converged; the value is what the converge printed."""
    lab("up")
    done = pyinfra("deploy/cluster.py")
    yield done.stdout + done.stderr
    if not os.environ.get("RAYLAB_KEEP"):
        lab("down")


@pytest.fixture
def well(fleet: str) -> str:
    """A fleet in which every health check passes at the start of the test."""
    wait_for("a healthy fleet", healthy, seconds=600)
    return fleet
