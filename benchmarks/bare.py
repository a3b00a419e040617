"""Seconds from bare Macs to a healthy fleet, with the share of each step.

Three simulated Macs without the shared layer: each gets every conda package and wheel, makes its own env and
starts its own engine. All three share this machine's two cores, which real Macs would not.
Run by `make bench-bare`. Needs root and a lab that is down; takes it down again, and erases the three Macs' disks.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MACS = ("alpha", "beta", "gamma")
INVENTORY = "inventory/lab.py"
OPERATION = re.compile(r"--> Starting operation: (?:(?P<role>[\w ]+) \| )?(?P<name>.+)")
GREEN_S = 600.0


def lines(*command: str) -> Iterator[tuple[float, str]]:
    """The output of a command, each line with its time; ends the benchmark when the command fails."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        yield time.monotonic(), line.rstrip()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} exited {process.returncode}\n{''.join(said[-40:])}")


def lab(*arguments: str) -> None:
    """`lab …`."""
    subprocess.run([str(BIN / "lab"), *arguments], cwd=ROOT, check=True)


def converge(began: float) -> list[tuple[str, float]]:
    """Run the converge; each role's part in seconds, in order, looking and planning first."""
    parts: list[tuple[str, float]] = []
    role, since = "looking and planning", began
    for at, line in lines(str(BIN / "pyinfra"), "-y", INVENTORY, "deploy/cluster.py"):
        if found := OPERATION.search(line):
            parts.append((role, at - since))
            role, since = f"{found['role'] or 'end'}: {found['name']}", at
    return [*parts, (role, time.monotonic() - since)]


def healthy() -> bool:
    """Whether deploy/health.py is content."""
    command = [str(BIN / "pyinfra"), "-y", INVENTORY, "deploy/health.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Erase, boot, converge, wait until green; print the shares."""
    lab("wipe", *MACS)
    lab("up", "--bare", *MACS)
    try:
        began = time.monotonic()
        parts = converge(began)
        while not healthy():
            if time.monotonic() - began > GREEN_S + sum(seconds for _, seconds in parts):
                raise SystemExit("the fleet does not become healthy: pyinfra inventory/lab.py deploy/health.py")
            time.sleep(1)
        total = time.monotonic() - began
        parts.append(("health", total - sum(seconds for _, seconds in parts)))
        for name, seconds in parts:
            if seconds >= total / 200:
                print(f"{seconds:7.1f} s  {seconds / total:4.0%}  {name}")
        print(f"{total:7.1f} s  100%  from {len(MACS)} bare Macs to healthy")
    finally:
        lab("down")
        lab("wipe", *MACS)


if __name__ == "__main__":
    main()
