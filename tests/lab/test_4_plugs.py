"""A plug is pulled while clients ask: the others serve on, for as long as it lasts."""

from __future__ import annotations

import time

import pytest
from clients import asking, cut_by, during, steady_after, whole
from harness import ADDRESSES, ROLLING, find, health, healthy, lab, on, pids, wait_for

from benchmarks.day_two.load import Load, load

pytestmark = pytest.mark.long

RAY = "io.raylab.ray"
# By itself, Ray gives up on a head that is away for 60 s.
AWAY_S = 120


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print a measured figure into the test's output."""
    with capsys.disabled():
        print(f"\n  {line}")


def well() -> bool:
    return healthy(ROLLING)


def told_of(seen: Load, cut: int) -> str:
    """What the clients saw, in words."""
    usual = steady_after(seen, "off")
    return f"{len(seen.records)} requests, 0 failed, {cut} streams on it cut, answers slow for {usual:.0f} s"


def test_a_worker_loses_power(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    with load(asking(["alpha", "gamma"], ("beta", "alpha"))) as seen:
        during(seen, 10)
        lab("power-off", "beta")
        seen.mark("off")
        during(seen, 60)
        lab("power-on", "beta")
        seen.mark("on")
        back = wait_for("health after beta's return", well, 600)
    cut = cut_by(seen, "off")
    again = sum(bool(record["before"]) for record in seen.records)
    report(capsys, f"beta's plug pulled: {told_of(seen, cut)}, {again} asked the other door; back after {back:.0f} s")


def test_the_head_is_away_for_minutes_and_returns_as_the_same_cluster(
    serves: None, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = {mac: (pids(mac)[RAY], find(mac, "ray::ServeReplica:model")) for mac in ("beta", "gamma")}
    session = on("beta", "ls -d /opt/raylab/ray/tmp/session_2*")
    with load(asking(["beta", "gamma"], ("alpha", "beta"), ["beta", "gamma"], tokens=2000)) as seen:
        during(seen, 10)
        lab("power-off", "alpha")
        seen.mark("off")
        during(seen, AWAY_S / 2)
        _, checks = health(ROLLING)
        during(seen, AWAY_S / 2)
        lab("power-on", "alpha")
        seen.mark("on")
        back = wait_for("health after alpha's return", well, 600)
    cut = cut_by(seen, "off")
    assert whole(seen, "long") > 0
    [told] = [check["found"] for check in checks if check["name"] == "reachable"]
    assert "the others serve on by themselves, but nothing heals" in told
    assert {mac: (pids(mac)[RAY], find(mac, "ray::ServeReplica:model")) for mac in workers} == workers
    assert on("beta", "ls -d /opt/raylab/ray/tmp/session_2*") == session
    streams = f"{whole(seen, 'long')} long streams whole"
    report(capsys, f"the head away for {AWAY_S} s: {told_of(seen, cut)}, {streams}; back after {back:.0f} s")


def test_a_head_that_has_lost_its_store_serves_again_by_itself(
    serves: None, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    on("alpha", "launchctl bootout system/io.raylab.store; rm -rf /opt/raylab/store/*")
    target = find("alpha", "/gcs/gcs_server ")
    on("alpha", f"kill -9 {target}; launchctl bootstrap system /Library/LaunchDaemons/io.raylab.store.plist")
    wait_for("a new cluster", lambda: find("alpha", "/gcs/gcs_server ") != target and well(), 900)
    report(capsys, f"the store lost: healthy again after {time.monotonic() - began:.0f} s, with nobody's help")


def test_all_macs_lose_power_at_once(serves: None, capsys: pytest.CaptureFixture[str]) -> None:
    for mac in ADDRESSES:
        lab("power-off", mac)
    for mac in ADDRESSES:
        lab("power-on", mac)
    back = wait_for("health after everything was off", well, 600)
    report(capsys, f"every plug pulled at once: healthy {back:.0f} s after the power is back, with nobody's help")
