"""The role that sets the limit of GPU memory: from the plan's row to commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_macos_harness import commands_of, make_state

from fleet.plan import make_plan
from fleet.settings import Fleet, Mac
from roles import announce, context, limits

JOB = "## print\nsystem/x = {\n\tpath = /x\n\tstate = not running\n}\n## disabled\n## plist\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """One Mac that serves nothing."""
    made = Fleet((Mac("@fake/alpha", "head", "192.168.1.20"),), name="lab", depot=tmp_path)
    context.remember(made)
    yield made
    context._fleets.clear()
    context._answers.clear()
    announce._plans.clear()


def commands(fleet: Fleet, limit: int | None, **answers: str) -> list[str]:
    """What the role runs when the plan wants this limit; scripts by the functions that they call."""
    made = make_plan(fleet, {})
    announce._plans[:] = [replace(made, macs=tuple(replace(row, wired_limit_mb=limit) for row in made.macs))]
    records = answers.pop("state_before", "")
    responses = {name.replace("_", " "): text.splitlines() for name, text in answers.items()}
    state = make_state({"state/before": records.splitlines(), **responses})
    return commands_of(state, limits.gpu_memory)


def test_a_limit_is_set_now_and_at_every_start(fleet: Fleet) -> None:
    assert commands(fleet, 114688, sysctl="0", launchctl_print="## print\n## disabled\n## plist\n") == [
        "sh -s files /opt/raylab/libexec/raylab-limits",
        "sh -s before sysctl iogpu.wired_limit_mb=114688",
        "sh -s launchd io.raylab.limits file enable load finishes",
    ]


def test_macos_s_own_limit_needs_nothing(fleet: Fleet) -> None:
    assert commands(fleet, None, sysctl="0", launchctl_print="## print\n## disabled\n## plist\n") == []


def test_a_limit_that_is_not_needed_any_more_goes(fleet: Fleet) -> None:
    assert commands(fleet, None, sysctl="114688", launchctl_print=JOB) == [
        "sh -s before sysctl iogpu.wired_limit_mb=0",
        "sh -s launchd io.raylab.limits unload",
    ]
    record = "## kernel.iogpu.wired_limit_mb\nwas:65536\nours:114688"
    assert commands(fleet, None, sysctl="114688", launchctl_print=JOB, state_before=record) == [
        "sh -s before sysctl iogpu.wired_limit_mb=65536",
        "sh -s launchd io.raylab.limits unload",
        "sh -s before kernel.iogpu.wired_limit_mb",
    ]
