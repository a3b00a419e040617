"""For the tests of roles: a fleet whose head is the fake Mac of the harness."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bsd_shell import BsdShell

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))

from fleet_project import Project

from fleet.settings import Fleet
from roles import context


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The fleet that a run is about."""
    read = Project(tmp_path / "project").load()
    # pyinfra calls a host of its connector @fake so.
    fleet = replace(read, macs=(replace(read.head, name="@fake/alpha"), *read.workers))
    context.remember(fleet)
    yield fleet
    context._fleets.clear()
    context._answers.clear()


@pytest.fixture(params=["bash", "dash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    """Either shell, with this machine's commands."""
    return BsdShell(request.param, tmp_path, ())
