"""The fact about several jobs at a glance."""

from __future__ import annotations

import pytest

from macos.facts.jobs import JobTime, JobTimes, elapsed_seconds

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
