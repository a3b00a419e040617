"""What a person sees while files arrive, on a terminal and without one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from depot import progress
from depot.progress import Tally, duration, shown, volume


def test_count_bytes_rate_and_time_left_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    tally = Tally("wheels", 3, 400_000_000)
    tally.add(100_000_000, moved=False)  # was there from an earlier run
    clock[0] = 2.0
    tally.add(50_000_000)
    tally.finish()
    assert tally.now() == "wheels: 1 of 3 files, 150.0 MB of 400.0 MB, 25.0 MB/s, 10 s left"
    clock[0] = 30.0
    assert tally.now() == "wheels: 1 of 3 files, 150.0 MB of 400.0 MB, 0 B/s"
    clock[0] = 63.0
    assert tally.end() == "wheels: 1 file, 150.0 MB in 1 min 3 s"


def test_without_all_sizes_there_is_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally("wheels", 3, None)
    tally.add(50_000_000)
    told = tally.now()
    assert told.startswith("wheels: 0 of 3 files, 50.0 MB, ")
    assert told.endswith("/s")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.2 MB"), (2 * 10**11, "200.0 GB")]
)
def test_bytes_for_a_person(count: int, text: str) -> None:
    assert volume(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (123, "2 min 3 s"), (4800, "1 h 20 min")])
def test_seconds_for_a_person(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_elsewhere_a_line_is_said_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.01)
    twice = threading.Semaphore(0)

    class Watched(Tally):
        def now(self) -> str:
            twice.release()
            return super().now()

    with shown(Watched("wheels", 3, 10)):
        for _ in range(3):
            assert twice.acquire(timeout=10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert set(lines[:-1]) == {"depot: wheels: 0 of 3 files, 0 B of 10 B, 0 B/s"}
    assert lines[-1] == "depot: wheels: 0 files, 0 B in 0 s"


def test_on_a_terminal_one_line_lives() -> None:
    program = (
        "from depot.progress import Tally, shown\ntally = Tally('wheels', 3, 10)\nwith shown(tally): tally.add(4)\n"
    )
    mine, its = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", program]
    subprocess.run(command, stderr=its, env=environment, cwd=Path(__file__).parents[2], check=True)
    os.close(its)
    told = os.read(mine, 10_000).decode()
    os.close(mine)
    assert "depot: wheels: 0 of 3 files" in told
    assert "\x1b[2K" in told  # the line is taken away again
    assert told.endswith("depot: wheels: 0 files, 4 B in 0 s\r\n")
