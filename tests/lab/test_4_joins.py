"""Macs come and go while clients ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import asking, lost
from harness import ADDRESSES, ROLLING, ROOT, copied, healthy, lab, pids, pyinfra, wait_for

from benchmarks.day_two.load import load
from lab import disk

pytestmark = pytest.mark.long

RAY = "io.raylab.ray"
NEW = "m5"
USUAL = "alpha beta gamma"
HOME = ROOT / ".lab" / "macs" / NEW


@pytest.fixture(scope="module")
def new(rolling: None) -> Iterator[disk.Disk]:
    """A fourth Mac, which nobody has touched; the value is what it has written to its disk by itself."""
    lab("power-off", NEW, check=False)
    lab("wipe", NEW)
    lab("up", NEW)
    yield disk.states(seen(), disk.touched(HOME / "upper"))
    lab("power-off", NEW)
    lab("wipe", NEW)


def seen() -> Path:
    """Its root, as its processes see it."""
    return Path(f"/proc/{(HOME / 'init.pid').read_text()}/root")


def with_macs(name: str, macs: list[str]) -> Path:
    """A copy of the fleet's inventory with these Macs."""
    path = copied(name)
    text = (ROOT / path).read_text()
    assert USUAL in text
    (ROOT / path).write_text(text.replace(USUAL, " ".join(macs)))
    return path


@pytest.fixture(scope="module")
def inventory(rolling: None) -> Path:
    """The fleet's, with a line more."""
    return with_macs("joins", [*ADDRESSES, NEW])


def test_a_new_mac_joins_and_nobody_else_restarts(serves: None, new: disk.Disk, inventory: Path) -> None:
    before = {mac: pids(mac)[RAY] for mac in ADDRESSES}
    with load(asking(["alpha", "gamma"], ("alpha", "beta"))) as seen:
        alone = pyinfra("--limit", NEW, "deploy/cluster.py", inventory=str(inventory))
        assert "not in this run: alpha, beta, gamma. A Mac that is new joins" in alone.stderr
        pyinfra("deploy/cluster.py", inventory=str(inventory))
    assert lost(seen) == []
    assert {mac: pids(mac)[RAY] for mac in ADDRESSES} == before
    # Each Mac is asked for a generation, the new one too.
    assert healthy(str(inventory))


def test_a_mac_leaves_and_its_disk_is_what_it_was(serves_four: Path, new: disk.Disk) -> None:
    with load(asking(["alpha", "gamma"], ("alpha", "beta"))) as seen_by_clients:
        done = pyinfra("--limit", NEW, "deploy/remove.py", inventory=str(serves_four))
        assert f"Now delete from the inventory: {NEW}" in done.stderr
        pyinfra("deploy/cluster.py", inventory=ROLLING)
    assert lost(seen_by_clients) == []
    assert healthy(ROLLING)
    now = disk.touched(HOME / "upper")
    assert disk.states(seen(), new) == new
    # The release that the lab's Macs share on disk is gone here too: it is not compared with that of `base`.
    others = now - set(new)
    assert disk.states(seen(), others) == disk.states(ROOT / ".lab" / "base", others)


@pytest.fixture
def serves_four(inventory: Path) -> Path:
    """The fleet of four, which serves at the start of the test."""
    wait_for("a healthy fleet", lambda: healthy(str(inventory)), 600)
    return inventory


def test_a_dead_mac_is_taken_out_of_the_rest(serves: None) -> None:
    rest = with_macs("rest", ["alpha", "beta"])
    lab("power-off", "gamma")
    with load(asking(["alpha", "beta"], ("alpha", "beta"))) as seen_by_clients:
        pyinfra("deploy/cluster.py", inventory=str(rest))
    assert lost(seen_by_clients) == []
    assert healthy(str(rest))
    lab("power-on", "gamma")
    pyinfra("deploy/cluster.py", inventory=ROLLING)
    assert healthy(ROLLING)
