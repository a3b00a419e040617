"""What the control machine remembers of the fleet from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.plan import make_plan
from fleet.settings import GB, Fleet, Mac, Model
from roles import announce, context


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two Macs and a model, whose depot does not exist yet."""
    macs = (Mac("alpha", "head", "10.77.0.11"), Mac("beta", "worker", "10.77.0.12"))
    model = Model(id="m", source=None, memory_gb=8, replicas=1)
    made = Fleet(macs=macs, name="lab", depot=tmp_path / "depot", models=(model,))
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
    path = fleet.depot / "placed.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    before = path.read_text()
    announce.remember(make_plan(fleet, {}))
    assert path.read_text() == before
    assert [each.name for each in fleet.depot.iterdir()] == ["placed.json"]
