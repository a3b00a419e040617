"""What breaks by itself heals by itself: no process of the earlier run is left, and its memory is back."""

from __future__ import annotations

import re

import pytest
from harness import ADDRESSES, answers, healthy, kill_and_wait, on, processes, wait_for

# Of each of these there are as many after the repair as before the fault.
KINDS = (
    r"VLLM::",
    r"/raylet/raylet ",
    r"/gcs/gcs_server ",
    r"ray::ServeController",
    r"ray::ServeReplica",
    r"ray::ProxyActor",
    r"valkey-server",
)

VICTIMS = {
    "raylet of a worker": ("beta", r"/raylet/raylet "),
    "engine of a worker": ("gamma", r"VLLM::EngineCore"),
    "raylet of the head": ("alpha", r"/raylet/raylet "),
    "GCS": ("alpha", r"/gcs/gcs_server "),
    "Serve controller": ("alpha", r"ray::ServeController"),
    "state store": ("alpha", r"valkey-server"),
}


def resident_mb(mac: str) -> float:
    """Memory of the service account's processes on a Mac, in MB."""
    rows = on(mac, "ps -axo user= -o rss=").splitlines()
    return sum(int(rss) for user, rss in (row.split() for row in rows) if user == "_raylab") / 1024


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_hard_it_heals_and_leaves_nothing_behind(
    well: str, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mac, pattern = VICTIMS[victim]
    before, memory = processes(mac), resident_mb(mac)
    seconds = kill_and_wait(mac, pattern, healthy)
    for name in ADDRESSES:
        assert answers(name)["chat_tokens"] >= 1
    after = processes(mac)
    for kind in KINDS:
        assert count(kind, after) == count(kind, before), f"{kind}: {after}"
    wait_for("the memory to be back", lambda: resident_mb(mac) < memory * 1.25 + 200, 60)
    with capsys.disabled():
        print(f"\n  kill -9 of the {victim} on {mac}: healthy again after {seconds:.0f} s")
        print("    processes now: " + ", ".join(sorted(short(command) for command in after.values())))


def count(kind: str, found: dict[int, str]) -> int:
    """How many processes are of one kind."""
    return sum(bool(re.search(kind, command)) for command in found.values())


def short(command: str) -> str:
    """A command line as a person tells it."""
    first = command.split()[0]
    return first.rsplit("/", 1)[-1]
