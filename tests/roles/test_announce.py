"""What the control machine remembers of the fleet from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.macfacts import MacFacts
from fleet.plan import make_plan
from fleet.settings import GB, Fleet, Mac, Model
from roles import announce, context


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two Macs and a model, whose depot does not exist yet."""
    macs = (Mac("alpha", "head", "10.77.0.11"), Mac("beta", "worker", "10.77.0.12"))
    model = Model(id="m", source=None, memory_gb=8, replicas=1)
    made = Fleet(macs=macs, name="lab", depot=tmp_path / "depot", secrets=tmp_path / "secrets", models=(model,))
    before = list(context._fleets)
    context.remember(made)
    yield made
    context._fleets[:] = before


def test_where_models_are_is_remembered_for_each_fleet(fleet: Fleet) -> None:
    assert announce._remembered() == {}
    announce.remember(make_plan(fleet, {"beta": 64 * GB}))
    assert announce._remembered() == {"lab": {"m": [["beta"]]}}
    other = replace(fleet, name="studio")
    context.remember(other)
    announce.remember(make_plan(other, {"alpha": 64 * GB, "beta": 32 * GB}))
    assert announce._remembered() == {"lab": {"m": [["beta"]]}, "studio": {"m": [["alpha"]]}}
    # With what is remembered, a Mac with more memory left changes nothing.
    again = make_plan(fleet, {"alpha": 400 * GB, "beta": 64 * GB}, announce._remembered()["lab"])
    assert again.placed == {"m": [["beta"]]}


def test_what_is_known_already_is_not_written_again(fleet: Fleet) -> None:
    announce.remember(make_plan(fleet, {}))
    path = fleet.secrets / "placed.json"
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    path.write_text(json.dumps(json.loads(path.read_text())))
    before = path.read_text()
    announce.remember(make_plan(fleet, {}))
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == ["placed.json"]


def test_the_memory_of_macs_that_a_run_leaves_out_is_known_from_one_before_each_fleet_its_own(fleet: Fleet) -> None:
    seen = {name: MacFacts.parse(f"@@raylab memory\n{size * GB}") for name, size in (("alpha", 64), ("beta", 32))}
    announce.remembered_memory(seen)
    context.remember(replace(fleet, name="studio"))
    assert announce.remembered_memory({"alpha": seen["beta"]}) == {"alpha": 32 * GB}
    context.remember(fleet)
    assert announce.remembered_memory({"beta": seen["beta"]}) == {"alpha": 64 * GB, "beta": 32 * GB}
    context.remember(replace(fleet, macs=fleet.macs[:1]))
    assert announce.remembered_memory({}) == {"alpha": 64 * GB}
