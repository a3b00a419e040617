"""The fleets of the lab tests: brought up by the README's commands, taken down at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from engines_lab import INVENTORY
from harness import ADDRESSES, ROLLING, healthy, lab, on, pyinfra, wait_for

from fleet import layout


@pytest.fixture(scope="session")
def fleet() -> Iterator[str]:
    """Three simulated Macs, converged; the value is what the converge printed."""
    if not os.environ.get("RAYLAB_KEEP"):
        lab("down")
        lab("wipe", *ADDRESSES)
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


@pytest.fixture(scope="session")
def rolling() -> Iterator[None]:
    """The three Macs with mlx-lm on each, which starts sooner than vLLM."""
    lab("up")
    pyinfra("--data", "at_once=1", "deploy/cluster.py", inventory=ROLLING)
    yield
    if not os.environ.get("RAYLAB_KEEP"):
        lab("down")


@pytest.fixture
def serves(rolling: None) -> None:
    """They serve, and every health check passes at the start of the test."""
    if any(on(mac, f"ls {layout.DRAINING}", check=False) for mac in ADDRESSES):
        # A test that failed has left a Mac in the middle of its turn.
        pyinfra("deploy/upgrade.py", inventory=ROLLING)
    wait_for("a healthy fleet", lambda: healthy(ROLLING), seconds=600)


@pytest.fixture(scope="session")
def engines() -> Iterator[str]:
    """The three Macs with a cable between beta and gamma, converged; the value is what that printed."""
    if not os.environ.get("RAYLAB_KEEP"):
        lab("down")
        lab("wipe", *ADDRESSES)
    lab("up")
    lab("cable", "beta", "gamma", check=False)  # it may be there already
    done = pyinfra("deploy/cluster.py", inventory=INVENTORY)
    yield done.stdout + done.stderr
    if not os.environ.get("RAYLAB_KEEP"):
        lab("uncable", "beta", "gamma")
        lab("down")
