"""A rollback over three fake Macs, and what leaves nothing to go back to."""

from __future__ import annotations

import pytest
from fleet_project import Project
from test_upgrade import A1, NAMES, Macs, go_back, project, run, turns

from roles import context, ray, upgrade

__all__ = ["project"]


def test_a_rollback_takes_back_where_the_last_upgrade_has_come_to(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It failed on gamma, which is back already; the head has not had its turn.
    macs = Macs(dict.fromkeys(NAMES, A1), upgrades={"alpha": (1, 0), "beta": (2, 1), "gamma": (1, 0)})
    run(project, macs, monkeypatch, deploy=go_back)
    assert turns(macs) == ["beta back"]
    said = capsys.readouterr().err
    assert "@fake/beta   goes back to release" in said
    assert "@fake/gamma  stays as it is" in said


def test_a_rollback_that_was_interrupted_goes_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), upgrades={"alpha": (2, 1), "beta": (1, 2), "gamma": (1, 2)}, draining="gamma")
    run(project, macs, monkeypatch, deploy=go_back)
    assert turns(macs) == ["gamma again", "alpha back"]


def test_a_rollback_that_has_ended_is_not_taken_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), upgrades=dict.fromkeys(NAMES, (1, 2)))
    run(project, macs, monkeypatch, deploy=go_back)
    assert macs.taken == []


def test_a_rollback_tells_what_serve_was_told_since_the_upgrade(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), upgrades=dict.fromkeys(NAMES, (2, 1)))
    macs.serves = {"now": ["llm", "model:tiny", "model:new"], "kept": ["llm", "model:tiny", "model:old"]}
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch, deploy=go_back)
    assert macs.taken == []
    said = capsys.readouterr().err
    assert "model:new is served no more, as before the upgrade, until deploy/cluster.py has run." in said
    assert "model:old is served again, as before the upgrade" in said
    assert "model:tiny" not in said


@pytest.mark.parametrize(
    ("laid", "draining", "forgets"),
    [
        ("other", "", True),
        # Nothing becomes of it; there was nothing; and it has begun a turn, which kept what it ran.
        ("same", "", False),
        ("", "", False),
        ("other", "beta", False),
    ],
)
def test_what_ray_gets_without_a_turn_leaves_nothing_to_go_back_to(
    project: Project, monkeypatch: pytest.MonkeyPatch, laid: str, draining: str, forgets: bool
) -> None:
    """Of Macs that were stopped, `deploy/cluster.py` asks nobody."""
    found = []

    def converge() -> None:
        if context.host.name == NAMES["beta"]:
            found.append(upgrade.without_turn())

    monkeypatch.setattr(ray, "digest", lambda *_: "same")
    run(project, Macs(dict.fromkeys(NAMES, A1), laid=laid, draining=draining), monkeypatch, deploy=converge)
    assert found == [forgets]
