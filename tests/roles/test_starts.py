"""For how long a Mac that starts in its turn is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import pytest
from fleet_project import Project

from fleet.plan import make_plan
from fleet.seen import Cluster, Deployed
from fleet.settings import Fleet
from roles import turn

# What Serve has of the tiny model on beta after so many seconds.
Course = Callable[[float], Deployed]


@dataclass
class Beta:
    """A host that starts, and what was said of it."""

    name: str = "beta"
    said: list[str] = field(default_factory=list)

    def log(self, line: str, _: object) -> None:
        self.said.append(line)

    def log_styled(self, line: str, **_: object) -> None:
        self.said.append(line)


@dataclass
class Clock:
    """Waiting takes no time."""

    seconds: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.seconds)
    monkeypatch.setattr(gevent, "sleep", clock.sleep)
    return clock


@pytest.fixture
def starts(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Whether beta serves in the end, when the tiny model takes this course there."""
    fleet = Project(tmp_path).load()
    ip = fleet.mac("beta").node_ip
    monkeypatch.setattr(turn, "the_fleet", lambda: fleet)
    monkeypatch.setattr(turn, "told_plan", lambda *_: make_plan(fleet, {}))

    def wait(course: Course, patient: bool = False) -> bool:
        def seen(_: Fleet) -> Cluster:
            entry = Deployed("RUNNING", 1, places=frozenset([ip]))
            return Cluster({ip: {}}, {"llm": entry, "model:tiny": course(clock.seconds)}, ids={ip: "new"})

        monkeypatch.setattr(turn, "seen_by_head", seen)
        return turn._serves(Beta(), fleet, patient=patient)  # type: ignore[arg-type]

    def running(course: Course) -> Course:
        return lambda seconds: course(seconds) if seconds < 1000 else Deployed("RUNNING", 1, places=frozenset([ip]))

    def failing(*pids: int) -> Deployed:
        return Deployed("UNHEALTHY", failing=frozenset((ip, pid) for pid in pids))

    starts: dict[str, Course] = {
        "loads long": lambda _: Deployed("DEPLOYING"),
        "fails once": lambda _: failing(7),
        "fails on and on": lambda seconds: failing(7, 8) if seconds > 30 else failing(7),
        # Serve's job has it tried again: after a moment, a minute, two minutes.
        "is given up": lambda seconds: Deployed("DEPLOY_FAILED" if seconds % 60 > 30 else "DEPLOYING"),
        "was given up before": lambda seconds: Deployed("DEPLOY_FAILED" if seconds < 20 else "DEPLOYING"),
    }
    return lambda what, patient=False: wait(running(starts[what]), patient)


@pytest.mark.parametrize("what", ["loads long", "fails once", "was given up before"])
def test_what_only_needs_time_gets_it(starts: Callable[..., bool], clock: Clock, what: str) -> None:
    assert starts(what)
    assert clock.seconds >= 1000


@pytest.mark.parametrize("what", ["fails on and on", "is given up"])
def test_what_fails_again_and_again_ends_the_turn(starts: Callable[..., bool], clock: Clock, what: str) -> None:
    assert not starts(what)
    assert 60 < clock.seconds < 240


@pytest.mark.parametrize("what", ["fails on and on", "is given up"])
def test_on_its_way_back_a_mac_has_all_the_time(starts: Callable[..., bool], clock: Clock, what: str) -> None:
    assert starts(what, patient=True)
    assert clock.seconds >= 1000
