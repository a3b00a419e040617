"""A Mac that lacks its network for a minute, room on its disk, or the right time: the others serve on, and it heals."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import asking, during, lost
from harness import ROLLING, ROOT, health, healthy, lab, on, run, wait_for

from benchmarks.day_two.load import load

pytestmark = pytest.mark.long

CUT_S = 60
# What a little disk has beside what is on it already.
FREE_MB = 500


def well() -> bool:
    return healthy(ROLLING)


def wrong_of(mac: str) -> dict[str, str]:
    """What health finds wrong on one Mac, by check."""
    return {check["name"]: check["found"] for check in health(ROLLING)[1] if check["mac"] == mac and not check["ok"]}


def test_a_mac_without_network_for_a_minute(serves: None) -> None:
    with load(asking(["alpha", "gamma"], ("alpha", "gamma"))) as seen:
        lab("cut", "beta")
        during(seen, CUT_S)
        told = wrong_of("beta")
        lab("join", "beta")
        wait_for("health after beta's link is back", well, 600)
    assert lost(seen) == []
    assert "gave no answer" in told["reachable"]


@contextmanager
def little_disk(mac: str, folder: Path) -> Iterator[None]:
    """The Mac's disk has FREE_MB beside what it had on it; it restarts before and after."""
    home = ROOT / ".lab/macs" / mac
    lab("power-off", mac)
    folder.mkdir()
    used = int(run("du", "-sm", str(home / "upper")).stdout.split()[0])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + FREE_MB}m", "none", str(folder)], check=True)
    for name in ("upper", "work"):
        subprocess.run(["cp", "-a", str(home / name), str(folder)], check=True)
        (home / name).rename(home / f"{name}-before")
        (home / name).symlink_to(folder / name)
    lab("power-on", mac)
    try:
        yield
    finally:
        lab("power-off", mac)
        for name in ("upper", "work"):
            (home / name).unlink()
            (home / f"{name}-before").rename(home / name)
        subprocess.run(["umount", str(folder)], check=True)
        lab("power-on", mac)


@pytest.mark.parametrize("mac", ["beta", "alpha"])
def test_a_mac_without_room_on_its_disk(serves: None, mac: str, tmp_path: Path) -> None:
    others = [name for name in ("alpha", "beta", "gamma") if name != mac]
    with little_disk(mac, tmp_path / "disk"):
        wait_for("health on a little disk", lambda: not wrong_of(mac).keys() - {"disk"}, 600)
        with load(asking(others, (others[0], others[1]))) as seen:
            on(mac, "dd if=/dev/zero of=/Users/full bs=1M 2>/dev/null || true")
            during(seen, 120)
            told = wrong_of(mac)
            on(mac, "rm /Users/full")
            wait_for(f"health after {mac} has room again", lambda: not wrong_of(mac).keys() - {"disk"}, 600)
        assert lost(seen) == []
        assert told["disk"].startswith("0 of ")
    wait_for("health on its own disk", well, 600)


@contextmanager
def wrong_clock(mac: str, seconds: int) -> Iterator[None]:
    """The Mac starts with a clock that is so far ahead, or behind, and at the end again with this machine's."""
    lab("power-off", mac)
    lab("clock", mac, str(seconds))
    lab("power-on", mac)
    try:
        yield
    finally:
        lab("power-off", mac)
        (ROOT / ".lab/macs" / mac / "clock").unlink()
        lab("power-on", mac)


@pytest.mark.parametrize(("mac", "seconds"), [("beta", 3600), ("alpha", -3600)])
def test_a_mac_whose_clock_is_wrong(serves: None, mac: str, seconds: int) -> None:
    """It starts so, serves so, and its clock is put right while it serves."""
    with wrong_clock(mac, seconds):
        wait_for("health with a wrong clock", lambda: wrong_of(mac).keys() == {"clocks"}, 600)
        with load(asking(["alpha", "beta", "gamma"], ("alpha", "beta"))) as seen:
            during(seen, 60)
            told = wrong_of(mac)
            lab("clock", mac, "0")
            wait_for("health after the clock was put right", well, 60)
            during(seen, 30)
        assert lost(seen) == []
        assert told.keys() == {"clocks"}
        away, _, words = told["clocks"].partition(" s ")
        assert abs(int(away) - abs(seconds)) < 10
        assert words == ("ahead of the others'" if seconds > 0 else "behind the others'")
    wait_for("health with this machine's clock", well, 600)
