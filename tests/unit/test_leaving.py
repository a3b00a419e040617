"""Which Macs may leave the fleet, and that nothing remembers one that has left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fleet_project import Project

from fleet.before import HOST_NAME, Record, describe, parse_records
from fleet.errors import Code
from fleet.leaving import homeless, refusals
from fleet.placement import Before
from fleet.plan import Plan, make_plan
from fleet.settings import GB, Fleet, Mac, Model

MACS = tuple(Mac(name, "worker" if at else "head", f"10.77.0.{11 + at}") for at, name in enumerate("abc"))


def fleet_of(*models: Model) -> Fleet:
    return Fleet(macs=MACS, name="lab", models=models)


def model(name: str, gigabytes: float = 8, **settings: object) -> Model:
    return Model(id=name, source=None, memory_gb=gigabytes, **settings)


def codes(fleet: Fleet, *leaving: str, everybody: bool = False) -> list[Code]:
    return [problem.code for problem in refusals(fleet, leaving, everybody)]


def test_the_whole_fleet_must_be_asked_for() -> None:
    assert codes(fleet_of(), "a", "b", "c") == [Code.LEAVE_ALL]
    assert codes(fleet_of(), "a", "b", "c", everybody=True) == []


def test_the_head_leaves_last() -> None:
    assert codes(fleet_of(), "a") == codes(fleet_of(), "a", "b", everybody=True) == [Code.LEAVE_HEAD]
    assert codes(fleet_of(), "b") == codes(fleet_of(), "b", "c") == []
    [problem] = refusals(fleet_of(), ["a", "b"], everybody=False)
    assert problem.line().startswith("a is the head, and c would stay without one. Make another Mac the head")


def planned(fleet: Fleet, *leaving: str, before: Before | None = None) -> Plan:
    staying = replace(fleet, macs=tuple(mac for mac in fleet.macs if mac.name not in leaving))
    return make_plan(staying, {"a": 24 * GB, "b": 24 * GB, "c": 64 * GB}, before)


def lost(fleet: Fleet, *leaving: str) -> list[tuple[Code, str]]:
    return [
        (problem.code, problem.given) for problem in homeless(fleet, leaving, planned(fleet), planned(fleet, *leaving))
    ]


def test_a_model_that_fits_the_others_moves() -> None:
    assert lost(fleet_of(model("m", replicas=1)), "c") == []
    assert lost(fleet_of(model("m", replicas="all")), "b", "c") == []


def test_a_model_that_would_lose_its_last_place_is_named() -> None:
    large = model("large", 40, replicas=1)
    assert lost(fleet_of(model("m"), large), "c") == [(Code.MODEL_TOO_BIG, "large")]
    assert lost(fleet_of(model("m"), large), "b") == []
    # Of three replicas, one would have no place.
    assert lost(fleet_of(model("m", replicas=3)), "c") == [(Code.MODEL_FITS_TOO_FEW, "3")]


def test_a_model_that_may_run_nowhere_else_is_named_once() -> None:
    fleet = fleet_of(model("m"), model("bound", macs=("c",)))
    [problem] = homeless(fleet, ["c"], planned(fleet), planned(fleet, "c"))
    assert problem.line() == (
        "models[1].macs: model bound may run on c only. Let it run elsewhere, or take it out of the settings, and run "
        "deploy/cluster.py first."
    )


def test_what_does_not_fit_now_keeps_nobody() -> None:
    assert lost(fleet_of(model("huge", 400)), "c") == []


def test_a_mac_whose_line_is_gone_is_forgotten() -> None:
    """What was placed there is placed elsewhere, and the next run remembers only that."""
    fleet = fleet_of(model("m", replicas=1), model("all", replicas="all"))
    before = planned(fleet, before={"m": [["c"]], "all": [["a"], ["b"], ["c"]]}).placed
    assert before["m"] == [["c"]]
    after = planned(fleet, "c", before=before)
    assert after.problems == ()
    assert "c" not in {name for copies in after.placed.values() for copy in copies for name in copy}
    assert after.placed["all"] == [["a"], ["b"]]


def test_each_mac_knows_where_it_is_written(tmp_path: Path) -> None:
    fleet = Project(tmp_path).load()
    assert [mac.where for mac in fleet.macs] == ["inventory/lab.py:1", "inventory/lab.py:3", "inventory/lab.py:4"]


def test_records_are_read_and_told() -> None:
    lines = [
        "## power.c.sleep",
        "was:1",
        "ours:0",
        f"## {HOST_NAME}",
        "was:",
        "ours:alpha",
        "## folder.opt",
        "ours:made",
    ]
    records = parse_records(["noise", *lines, "## half"])
    assert records == {
        "power.c.sleep": Record("1", "0"), HOST_NAME: Record("", "alpha"), "folder.opt": Record("", "made")
    }  # fmt: skip
    assert describe(records) == ["sleep 1 (on wall power)", "HostName not set"]
