"""What a Mac that drains waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError

from roles import acting, drain


@dataclass
class Mac:
    """A host, and what it was told to do."""

    name: str
    figures: list[int | PyinfraError | None]
    """How much goes on there, one look after the other; the last one stays."""
    ran: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def look(self) -> int | None:
        found = self.figures.pop(0) if len(self.figures) > 1 else self.figures[0]
        if isinstance(found, PyinfraError):
            raise found
        return found

    def log(self, line: str, _: object) -> None:
        self.said.append(line)

    def log_styled(self, line: str, **_: object) -> None:
        self.said.append(line)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(mac: Mac, command: PyinfraCommand) -> bool:
        mac.ran.append(str(command).removeprefix("sh -s "))
        return True

    monkeypatch.setattr(drain, "run", run)
    monkeypatch.setattr(drain, "the_fleet", lambda: None)
    monkeypatch.setattr(drain, "settle_seconds", lambda fleet: 0)
    monkeypatch.setattr(drain, "_ongoing", lambda mac, application="": mac.look())
    monkeypatch.setattr(drain, "_leads", lambda name: [])
    monkeypatch.setattr(drain, "flagged", lambda host: False)
    for module, name in ((drain, "FIGURES_S"), (drain, "IDLE_S"), (acting, "POLL_S"), (acting, "SAY_EVERY_S")):
        monkeypatch.setattr(module, name, 0)


@pytest.mark.parametrize(
    "figures", [[3, 1, 0], [None, None, 0], [PyinfraError("no"), 0]], ids=["busy", "not told", "no answer"]
)
def test_it_waits_until_it_knows_that_nothing_goes_on(figures: list[int | PyinfraError | None]) -> None:
    looks, mac = len(figures), Mac("beta", figures)
    assert drain.drain(None, mac)  # type: ignore[arg-type]
    # Before the first look, and again with each of them: replicas go by the flag's age.
    assert mac.ran[:looks] == ["turn flag"] * looks
    assert mac.figures == [0]


def test_the_mac_that_answers_for_a_group_is_waited_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lead, mac = Mac("alpha", [2, 1, 0]), Mac("beta", [0])
    monkeypatch.setattr(drain, "_leads", lambda name: [(lead, "model:big")])
    assert drain.drain(None, mac)  # type: ignore[arg-type]
    assert len(lead.ran) >= 3
    assert any("2 requests go on" in line for line in mac.said)


def test_what_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "DRAIN_S", 0)
    mac = Mac("beta", [1])
    assert not drain.drain(None, mac)  # type: ignore[arg-type]
    assert "drains: not done after 0 s: 1 requests go on" in mac.said


@pytest.mark.parametrize("error", [OSError("it is not held"), PyinfraError("no answer")])
def test_when_it_cannot_be_drained_it_gets_requests_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The Mac that answers for a group has gone; or its own requests never end."""

    def leads(name: str) -> list[object]:
        raise error

    monkeypatch.setattr(drain, "_leads", leads)
    mac = Mac("beta", [0])
    assert not drain.drain(None, mac)  # type: ignore[arg-type]
    assert mac.ran == ["turn flag", "turn unflag"]
    monkeypatch.setattr(drain, "_leads", lambda name: [])
    monkeypatch.setattr(drain, "DRAIN_S", 0)
    assert not drain.drain(None, Mac("beta", [1], mac.ran))  # type: ignore[arg-type]
    assert mac.ran[-1] == "turn unflag"


def test_one_whose_turn_was_interrupted_is_not_let_in_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "flagged", lambda host: True)
    monkeypatch.setattr(drain, "DRAIN_S", 0)
    mac = Mac("beta", [1])
    assert not drain.drain(None, mac)  # type: ignore[arg-type]
    assert "turn unflag" not in mac.ran
