"""Reboots and pulled plugs, with nobody's help."""

from __future__ import annotations

import re

import pytest
from harness import ROLLING, answers, healthy, lab, on, pyinfra, steady_load, wait_for

# To lose power is harder, and is tested always.
pytestmark = pytest.mark.long


def well() -> bool:
    """Whether every check passes."""
    return healthy(ROLLING)


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print a measured figure into the test's output."""
    with capsys.disabled():
        print(f"\n  {line}")


def test_a_worker_reboots(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    with steady_load("alpha", "gamma") as load:
        lab("reboot", "beta")
        seconds = wait_for("health after beta's reboot", well, 600)
    assert load.failed == [], load.failed[:3]
    assert len(load.lines) > 20
    assert answers("beta")["chat_tokens"] >= 1
    report(
        capsys,
        f"beta rebooted: healthy after {seconds:.0f} s; {len(load.lines)} requests to the others, 0 failed",
    )


def test_the_head_reboots_and_the_others_serve_on(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    session = on("beta", "ls -d /opt/raylab/ray/tmp/session_2*")
    with steady_load("beta", "gamma") as load:
        lab("reboot", "alpha")
        seconds = wait_for("health after alpha's reboot", well, 600)
    assert load.failed == [], load.failed[:3]
    assert len(load.lines) > 20
    assert answers("alpha")["chat_tokens"] >= 1
    # The same cluster resumed: the workers' Ray was never told to start another session.
    assert on("beta", "ls -d /opt/raylab/ray/tmp/session_2*") == session
    report(
        capsys,
        f"alpha rebooted: healthy after {seconds:.0f} s; {len(load.lines)} requests to the others, 0 failed",
    )


def test_the_drill_of_one_mac(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    told = pyinfra("--limit", "gamma", "deploy/drill.py", inventory=ROLLING).stderr
    line = next(line for line in told.splitlines() if line.startswith("gamma "))
    # Nobody has logged in: it came back by itself.
    assert re.fullmatch(r"gamma +\d+ s +\d+ s +\d+ s +nobody", line), told
    assert well()
    report(capsys, f"the drill: {line}")
