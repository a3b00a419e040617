"""The facts about several jobs at a glance, and about what engines wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bsd_shell import BsdShell

from macos.facts.jobs import JobTime, JobTimes, elapsed_seconds
from roles.jobs import EngineTail

PRINTED = """\
## io.raylab.store
system/io.raylab.store = {
\tactive count = 1
\tstate = running

\tpid = 230
\tlast exit code = (never exited)
}
## io.raylab.ray
system/io.raylab.ray = {
\tstate = spawn scheduled

\tlast exit code = 78: EX_CONFIG
}
## io.raylab.serve
## ages
    1       02:10
  230    01:02:03
""".splitlines()


def test_running_throttled_and_unknown_jobs() -> None:
    assert JobTimes().process(PRINTED) == [
        JobTime("io.raylab.store", "running", 230, 3723, ""),
        JobTime("io.raylab.ray", "spawn scheduled", None, 0, "78: EX_CONFIG"),
        JobTime("io.raylab.serve"),
    ]


@pytest.mark.parametrize(
    ("etime", "seconds"),
    [("00:09", 9), ("12:34", 754), ("01:02:03", 3723), ("2-01:00:00", 176400), ("", 0), ("ELAPSED", 0)],
)
def test_ps_tells_ages_in_its_own_way(etime: str, seconds: int) -> None:
    assert elapsed_seconds(etime) == seconds


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    return BsdShell(request.param, tmp_path, ())


def test_the_newest_that_engines_wrote_is_told_file_by_file(mac: BsdShell, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "serve").mkdir(parents=True)
    names = ["worker-1.err", "worker-2.err", "worker-3.err", "worker-4.err", "serve/replica_model_a.log", "raylet.err"]
    for age, name in enumerate(reversed(names)):
        (folder / name).write_text("" if name == "worker-1.err" else f"first of {name}\nlast of {name}\n")
        os.utime(folder / name, (1000 + age, 1000 + age))
    told = [
        *[f"== {folder}/serve/replica_model_a.log", "last of serve/replica_model_a.log"],
        *[f"== {folder}/worker-2.err", "last of worker-2.err", f"== {folder}/worker-3.err", "last of worker-3.err"],
    ]
    assert mac.fact(EngineTail, folder=str(folder), lines=1) == told
    assert mac.fact(EngineTail, folder=f"{folder}/none", lines=1) == []
