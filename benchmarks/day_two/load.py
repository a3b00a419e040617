"""The load of tests/lab/load.py as a process beside something else, with marks in time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.day_two.summary import Mark

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "lab" / "load.py"
# A command of the lab's machine `client`, which is on the LAN and not in the fleet.
CLIENT = (str(Path(sys.executable).parent / "lab"), "client")
# Until the first request is answered, or has failed.
FIRST_ANSWER_S = 90
# For requests that are under way when the load ends.
LAST_ANSWERS_S = 150


@dataclass
class Load:
    """What has been asked so far, one record a request, and what was done meanwhile."""

    records: list[dict[str, Any]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def mark(self, name: str) -> None:
        """From now on it is the phase of that name."""
        self.marks.append(Mark(time.time(), name))


@contextmanager
def load(arguments: Sequence[str], where: Sequence[str] = CLIENT) -> Iterator[Load]:
    """Requests until the end of the block; `arguments` are those of load.py, `where` is put before the command.

    The block begins when the first one is done. Raises RuntimeError at the end when the program failed.
    """
    made = Load()
    command = [*where, sys.executable, str(PROGRAM), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        lines = process.stdout
        reader = threading.Thread(target=lambda: made.records.extend(map(json.loads, lines)))
        reader.start()
        try:
            deadline = time.monotonic() + FIRST_ANSWER_S
            while not made.records and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            yield made
        finally:
            process.stdin.close()
            reader.join(LAST_ANSWERS_S)
            if reader.is_alive():
                process.kill()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited {process.returncode}")
