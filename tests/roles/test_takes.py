"""What a Mac looks at before its turn changes anything on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from fleet_project import Project
from pyinfra.api.exceptions import PyinfraError
from test_starts import Beta, Clock, clock

from fleet.plan import make_plan
from fleet.seen import Cluster, Deployed
from fleet.settings import Fleet
from macos.facts.running import Tried
from roles import sides, turn

__all__ = ["clock"]

Serving = Callable[[float], str]
"""Which Macs serve after so many seconds; what is raised when nobody can be asked."""


class Turn:
    """Beta's, of which only the beginning is real."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self.fleet, self.clock = fleet, clock
        self.host = Beta()
        self.done: list[str] = []
        self.serving: Serving = lambda _: "alpha beta gamma"
        self.drains_for = 30.0
        self.flagged = False
        self.data: dict[str, object] = {}

    def seen(self, _: Fleet) -> Cluster:
        names = self.serving(self.clock.seconds)
        if not names:
            # A connection that breaks off; later there is none.
            raise EOFError if self.clock.seconds < 20 else PyinfraError("alpha is away")
        places = frozenset(self.fleet.mac(name).node_ip for name in names.split())
        return Cluster({}, {name: Deployed("RUNNING", places=places) for name in ("llm", "model:tiny")})

    def drain(self, state: object, host: object) -> bool:
        self.done.append("drain")
        self.clock.seconds += self.drains_for
        return self.drains_for < 1800

    def let_in(self, state: object, host: object) -> bool:
        self.done.append("let in")
        return True

    def begins(self, *batch: str) -> bool:
        return turn._empty(None, self.host, batch or ("beta",))  # type: ignore[arg-type]


@pytest.fixture
def beta(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Turn:
    fleet = Project(tmp_path).load()
    made = Turn(fleet, clock)
    monkeypatch.setattr(turn, "the_fleet", lambda: fleet)
    monkeypatch.setattr(turn, "told_plan", lambda *_: make_plan(fleet, {}))
    monkeypatch.setattr(sides, "crosses", lambda name: False)
    for name in ("drain", "let_in"):
        monkeypatch.setattr(turn, name, getattr(made, name))
    monkeypatch.setattr(turn, "seen_by_head", made.seen)
    monkeypatch.setattr(turn, "flagged", lambda _: made.flagged)
    monkeypatch.setattr(turn, "on", lambda _: nullcontext())
    monkeypatch.setattr(Beta, "data", made.data, raising=False)
    return made


def test_it_begins_while_others_serve(beta: Turn) -> None:
    assert beta.begins()
    assert beta.done == ["drain"]


def test_it_waits_for_one_that_is_loading(beta: Turn) -> None:
    beta.serving = lambda seconds: "beta" if seconds < 500 else "beta gamma"
    assert beta.begins()
    assert beta.clock.seconds >= 500
    assert any("no other Mac serves tiny and the endpoint at this moment" in line for line in beta.host.said)


def test_two_at_once_need_a_third(beta: Turn) -> None:
    beta.serving = lambda seconds: "beta gamma"
    assert not beta.begins("beta", "gamma")
    assert beta.done == []


@pytest.mark.parametrize("left", ["beta", ""], ids=["the others have failed", "the head is away"])
def test_when_the_others_are_lost_while_it_drains_it_is_let_in_again(beta: Turn, left: str) -> None:
    beta.serving = lambda seconds: "alpha beta gamma" if seconds < 10 else left
    assert not beta.begins()
    assert beta.done == ["drain", "let in"]
    assert beta.host.said[-1] == "nothing was changed on it"


def test_one_whose_turn_was_interrupted_waits_for_nobody(beta: Turn) -> None:
    """No door asks it: nothing is taken away."""
    beta.serving, beta.flagged = lambda seconds: "beta", True
    assert beta.begins()
    assert beta.clock.seconds == beta.drains_for


def test_a_person_may_say_that_the_others_are_not_waited_for(beta: Turn) -> None:
    beta.serving = lambda seconds: "beta"
    beta.data["alone"] = 1
    assert beta.begins()


def test_a_moment_without_the_head_is_no_reason(beta: Turn) -> None:
    beta.serving = lambda seconds: "" if 10 < seconds < 50 else "alpha beta gamma"
    assert beta.begins()


@pytest.mark.parametrize(
    ("replicas", "said", "passes"),
    [
        # It came to be elsewhere, and loads there.
        ('{"min": 1, "max": 3}', "model_not_ready", True),
        ('{"min": 1, "max": 3}', "model_failed", False),
        ('"all"', "model_not_ready", False),
    ],
)
def test_only_a_copy_that_need_not_be_there_may_be_loading(
    beta: Turn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicas: str, said: str, passes: bool
) -> None:
    project = Project(tmp_path / "range")
    project.change("inventory/group_data/all.py", '"context": 512,', f'"context": 512, "replicas": {replicas},')
    beta.fleet = project.load()
    monkeypatch.setattr(turn, "the_fleet", lambda: beta.fleet)
    monkeypatch.setattr(turn, "told_plan", lambda *_: make_plan(beta.fleet, {}))
    monkeypatch.setattr(turn, "tried", lambda *_, **__: {"tiny": Tried(0.0, f'HTTP 503: {{"code": "{said}"}}')})
    monkeypatch.setattr(turn, "state", SimpleNamespace(inventory=SimpleNamespace(get_active_hosts=list)))
    assert turn._gate(beta.host) is passes  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [EOFError(), PyinfraError("Over 0% of hosts failed")])
def test_a_mac_that_cannot_be_asked_is_no_end_of_anothers_turn(
    beta: Turn, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def now(name: str) -> Fleet:
        raise error

    monkeypatch.setattr(sides, "now", now)
    assert turn.tried(beta.host, ["tiny"]) == {"tiny": Tried(0.0, "no answer")}  # type: ignore[arg-type]
