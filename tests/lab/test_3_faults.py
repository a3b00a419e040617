"""What breaks by itself heals by itself: no process of the earlier run is left, and its memory is back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from harness import ADDRESSES, ROLLING, answers, healthy, kill_and_wait, on, processes, wait_for

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

ENGINE = ("gamma", r"VLLM::EngineCore")
# What has nothing to do with the engine is tested with the one that starts sooner.
VICTIMS = {
    "raylet of a worker": ("beta", r"/raylet/raylet "),
    "raylet of the head": ("alpha", r"/raylet/raylet "),
    "GCS": ("alpha", r"/gcs/gcs_server "),
    "Serve controller": ("alpha", r"ray::ServeController"),
    "state store": ("alpha", r"valkey-server"),
}
# Whose ways back are parts of the others'.
LONG = ("raylet of the head", "Serve controller")


def resident_mb(mac: str) -> float:
    """Memory of the service account's processes on a Mac, in MB."""
    rows = on(mac, "ps -axo user= -o rss=").splitlines()
    return sum(int(rss) for user, rss in (row.split() for row in rows) if user == "_raylab") / 1024


def test_an_engine_killed_hard_heals_and_leaves_nothing_behind(well: str, capsys: pytest.CaptureFixture[str]) -> None:
    heals("engine of a worker", *ENGINE, healthy, capsys)


@pytest.mark.parametrize(
    "victim",
    [pytest.param(each, marks=[pytest.mark.long] if each in LONG else []) for each in VICTIMS],
)
def test_killed_hard_it_heals_and_leaves_nothing_behind(
    serves: None, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    heals(victim, *VICTIMS[victim], lambda: healthy(ROLLING), capsys)


def heals(
    victim: str, mac: str, pattern: str, condition: Callable[[], bool], capsys: pytest.CaptureFixture[str]
) -> None:
    """Kill it, wait until the fleet is well, and compare processes and memory with those before."""
    before, memory = counts(mac), resident_mb(mac)
    seconds = kill_and_wait(mac, pattern, condition)
    for name in ADDRESSES:
        assert answers(name)["chat_tokens"] >= 1
    # A replica that was stopped may still be ending, and a child has its parent's name for a moment.
    wait_for("as many processes as before", lambda: counts(mac) == before, 60)
    after = processes(mac)
    wait_for("the memory to be back", lambda: resident_mb(mac) < memory * 1.25 + 200, 60)
    with capsys.disabled():
        print(f"\n  kill -9 of the {victim} on {mac}: healthy again after {seconds:.0f} s")
        print("    processes now: " + ", ".join(sorted(short(command) for command in after.values())))


def counts(mac: str) -> dict[str, int]:
    """How many processes a Mac has of each kind."""
    commands = processes(mac).values()
    return {kind: sum(bool(re.search(kind, command)) for command in commands) for kind in KINDS}


def short(command: str) -> str:
    """A command line as a person tells it."""
    first = command.split()[0]
    return first.rsplit("/", 1)[-1]
