"""Upgrades, rollbacks and what goes wrong in them, while clients ask; a fleet whose engine starts within seconds."""

from __future__ import annotations

import random
import re
import subprocess

import pytest
from clients import asking, lost
from harness import ADDRESSES, BIN, ROLLING, half_done, healthy, killed, killed_at, on, pids, run

from benchmarks.day_two.load import load

RAY = "io.raylab.ray"
# Of a stream that lasts for minutes on two cores; nearly all that the model's context holds.
LONG_TOKENS = 16000


def command(locks: str, *arguments: str) -> list[str]:
    """A command of day two, with these locks in the settings."""
    return ["env", f"LOCKS={locks}", str(BIN / "pyinfra"), "-y", ROLLING, *arguments]


def pyinfra(locks: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The same, run to its end."""
    return run(*command(locks, *arguments), check=check, timeout=1500)


def all_doors() -> list[str]:
    """Clients of every door, and one of two."""
    return asking(list(ADDRESSES), ("alpha", "beta"))


def release(locks: str) -> str:
    return run("lab/release-id.sh", locks).stdout.strip()


def runs(mac: str) -> str:
    """The release that a Mac's Ray was started from."""
    text = on(mac, f"launchctl print system/{RAY}")
    return re.findall(r"RAYLAB_RELEASE => /opt/raylab/releases/(\S+)", text)[-1]


def brought_to(locks: str) -> None:
    """The whole fleet runs these, whatever an earlier test has left."""
    if {runs(mac) for mac in ADDRESSES} != {release(locks)}:
        pyinfra(locks, "deploy/upgrade.py")


def turns(said: str) -> list[str]:
    """Whose turns a run has brought to their ends, in order."""
    return re.findall(r"Starting operation: Turn of ([\w ]+) is over", said)


def test_a_converge_restarts_nobody_who_serves(serves: None) -> None:
    before = {mac: pids(mac)[RAY] for mac in ADDRESSES}
    done = pyinfra("locks-next", "deploy/cluster.py", check=False)
    assert done.returncode == 2
    assert "idna 3.20 → 3.19" in done.stderr
    assert "deploy/upgrade.py does it Mac by Mac" in done.stderr
    assert {mac: pids(mac)[RAY] for mac in ADDRESSES} == before


@pytest.mark.long
def test_an_upgrade_loses_no_request_and_is_finished_by_the_same_command_when_its_control_machine_dies(
    serves: None,
) -> None:
    brought_to("locks")
    with load(all_doors()) as seen:
        killed_at(command("locks-next", "deploy/upgrade.py"), "switches to release")
        done = pyinfra("locks-next", "deploy/upgrade.py")
    assert lost(seen) == []
    # The Mac whose turn it was has it first.
    assert turns(done.stderr) == ["beta", "gamma", "alpha"]
    assert {runs(mac) for mac in ADDRESSES} == {release("locks-next")}
    assert healthy(ROLLING)


@pytest.mark.long
def test_the_fleet_goes_back_without_a_download_two_macs_at_a_time(serves: None) -> None:
    brought_to("locks-next")
    rollback = ("--data", "batch=2", "deploy/rollback.py")
    with load(all_doors()) as seen:
        killed_at(command("locks-next", *rollback), "drained after")
        done = pyinfra("locks-next", *rollback)
    assert lost(seen) == []
    assert turns(done.stderr) == ["beta and gamma", "alpha"]
    assert {runs(mac) for mac in ADDRESSES} == {release("locks")}
    # The same command once more does not go forward again.
    assert turns(pyinfra("locks-next", *rollback).stderr) == []
    assert {runs(mac) for mac in ADDRESSES} == {release("locks")}


@pytest.mark.long
def test_streams_of_minutes_survive_every_turn_and_end_on_the_mac_that_drains(
    serves: None, capsys: pytest.CaptureFixture[str]
) -> None:
    brought_to("locks")
    # Two at a time: with three, engines on two cores take many minutes to start.
    with load(asking(list(ADDRESSES), ("alpha", "beta"), ["alpha", "beta"], tokens=LONG_TOKENS)) as seen:
        done = pyinfra("locks-next", "deploy/upgrade.py")
    assert lost(seen) == []
    drained = max(map(int, re.findall(r"drains, (\d+) s: \d+ requests go on", done.stderr)), default=0)
    streams = [record["seconds"] for record in seen.records if record["kind"] == "long" and record["outcome"] == "ok"]
    assert max(streams) > 120
    # Nobody else asks for as long as that: a Mac that drained has waited for one of them.
    assert drained > 60
    with capsys.disabled():
        print(f"\n  {len(streams)} streams of up to {max(streams):.0f} s whole; a Mac drained for {drained} s")


@pytest.mark.long
def test_ten_kills_of_the_control_machine_lose_nothing(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    brought_to("locks")
    # What is looked for at the end would be found.
    on("beta", "touch /opt/raylab/state/test.raylab-new")
    assert half_done("beta").strip() == "/opt/raylab/state/test.raylab-new"
    on("beta", "rm /opt/raylab/state/test.raylab-new")
    chance = random.Random("ten points of an upgrade")
    with load(all_doors()) as seen:
        kills = killed(command("locks-next", "deploy/upgrade.py"), [chance.uniform(5, 60) for _ in range(10)])
        pyinfra("locks-next", "deploy/upgrade.py")
    assert lost(seen) == []
    assert {runs(mac) for mac in ADDRESSES} == {release("locks-next")}
    assert {mac: half_done(mac) for mac in ADDRESSES} == dict.fromkeys(ADDRESSES, "")
    assert healthy(ROLLING)
    with capsys.disabled():
        print(f"\n  killed after {kills} s, then finished; {len(seen.records)} requests, 0 failed")


@pytest.mark.long
@pytest.mark.parametrize(
    ("locks", "why"),
    [
        ("locks-broken", "this build of mlx-lm was made not to start"),
        ("locks-mute", "tiny does not answer on it: HTTP 50"),
    ],
    ids=["starts not", "answers nobody"],
)
def test_an_engine_that_fails_is_rolled_back_on_the_first_mac(serves: None, locks: str, why: str) -> None:
    brought_to("locks")
    before = {mac: pids(mac)[RAY] for mac in ("alpha", "gamma")}
    with load(all_doors()) as seen:
        done = pyinfra(locks, "deploy/upgrade.py", check=False)
    assert done.returncode == 1
    assert why in done.stderr
    assert "serves again as before; the roll stops here" in done.stderr
    assert lost(seen) == []
    assert {runs(mac) for mac in ADDRESSES} == {release("locks")}
    assert {mac: pids(mac)[RAY] for mac in before} == before
