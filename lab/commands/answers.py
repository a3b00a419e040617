"""What every stand-in needs: its Mac's hardware, what it remembers, and how it complains."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Not imported when a command runs: typing alone is a third of its start.
    from collections.abc import Iterator
    from typing import Any

HARDWARE = "/usr/local/libexec/simulated-mac/hardware.json"
KEPT = "/var/db/simulated-mac"
"""Remembered over a reboot, as in NVRAM or a preferences file."""
LOST = "/var/run/simulated-mac"
"""Forgotten at a reboot, as kernel settings are."""
REAL = "/usr/local/libexec/simulated-mac/real"


def hardware() -> dict[str, Any]:
    """What this Mac is made of: the keys of the lab's hardware.py."""
    with open(HARDWARE) as file:
        answer: dict[str, Any] = json.load(file)
    return answer


def recall(name: str, folder: str = KEPT) -> dict[str, Any]:
    """What was remembered under `name`; empty when nothing was."""
    try:
        with open(f"{folder}/{name}.json") as file:
            answer: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return answer


def write_whole(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step: readers see the old text or the new."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


@contextmanager
def changing(name: str, folder: str = KEPT) -> Iterator[dict[str, Any]]:
    """Change what is remembered under `name`: one writer at a time, written when the block ends well."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values = recall(name, folder)
        yield values
        write_whole(f"{folder}/{name}.json", json.dumps(values))


def is_root() -> bool:
    """Whether the caller may change the system."""
    return os.geteuid() == 0


def complain(text: str, status: int = 1) -> int:
    """Say `text` on standard error; `status`."""
    print(text, file=sys.stderr)
    return status


def say(text: str) -> int:
    """Say `text`; 0."""
    print(text)
    return 0
