"""Ask the fleet while a command does something to it; what the clients saw, as a table, as JSON and as a picture.

    python -m benchmarks.day_two --pair https://10.77.0.11:8443/v1 https://10.77.0.12:8443/v1 \\
        --single https://10.77.0.13:8443/v1 --long https://10.77.0.12:8443/v1 --ca CA --key KEY \\
        --phase 'operation: .*Turn of (\\w+)' --to docs/day_two.json -- pyinfra -y inventory/lab.py deploy/upgrade.py

Needs a lab that is up and converged; `--here` asks from this machine instead of the lab's machine `client`. Each line
of the command's output that `--phase` is found in begins a phase named by its first group. Ends with the command's
exit status, or with 3 when that was 0 and a request failed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.day_two.load import CLIENT, Load, load
from benchmarks.day_two.plot import drawn
from benchmarks.day_two.summary import summary, table

# Of each request, what the picture needs.
FIELDS = ("at", "seconds", "kind", "outcome", "url")
BEGINS, AFTER = "command", "after"
REQUESTS_FAILED = 3


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What was asked for; the command stands after `--`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day_two")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rate", default="2", help="requests a second of each client")
    parser.add_argument("--single", action="append", default=[], metavar="URL")
    parser.add_argument("--pair", nargs=2, action="append", default=[], metavar="URL")
    parser.add_argument("--long", action="append", default=[], metavar="URL")
    parser.add_argument("--ca")
    parser.add_argument("--key")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds of load before and after the command")
    parser.add_argument("--phase", type=re.compile)
    parser.add_argument("--title", default="Requests while something is done to the fleet")
    parser.add_argument("--to", type=Path, help="a JSON file; the picture lies beside it")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def load_arguments(given: argparse.Namespace) -> list[str]:
    """Those of tests/lab/load.py."""
    paths = [part for name in ("ca", "key") if getattr(given, name) for part in (f"--{name}", getattr(given, name))]
    pairs = [part for pair in given.pair for part in ("--pair", *pair)]
    return [given.model, given.rate, *given.single, *pairs, *(f"--long={url}" for url in given.long), *paths]


def run(command: Sequence[str], phase: re.Pattern[str] | None, under: Load) -> int:
    """The command, its output passed on line by line; its exit status."""
    under.mark(BEGINS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if phase and (found := phase.search(line)):
                under.mark(found[1])
    return process.returncode


def result(given: argparse.Namespace, seen: Load) -> dict[str, Any]:
    """What the JSON file holds: the picture can be drawn from it."""
    rows = sorted(seen.records, key=lambda record: record["at"])
    return {
        "title": given.title,
        "about": f"{given.rate} requests a second of each client; seconds until the whole answer. × is a failure.",
        "marks": [asdict(mark) for mark in seen.marks],
        "summary": summary(rows, seen.marks),
        "fields": FIELDS,
        "requests": [[record[name] for name in FIELDS] for record in rows],
    }


def measured(given: argparse.Namespace) -> tuple[int, Load]:
    """The command's exit status, and what the clients saw before, meanwhile and after."""
    with load(load_arguments(given), where=() if given.here else CLIENT) as seen:
        time.sleep(given.quiet)
        status = run(given.command, given.phase, seen)
        seen.mark(AFTER)
        time.sleep(given.quiet)
    return status, seen


def main(arguments: Sequence[str]) -> int:
    """Runs the command under load, and tells."""
    given = options(arguments)
    status, seen = measured(given)
    if not seen.records:
        print("no request was made", file=sys.stderr)
        return status or REQUESTS_FAILED
    found = result(given, seen)
    print("", *table(found["summary"]), sep="\n")
    if given.to:
        given.to.write_text(json.dumps(found, separators=(",", ":")) + "\n")
        given.to.with_suffix(".svg").write_text(drawn(found))
    failed = any(counts["failed"] or counts["cut"] for counts in found["summary"]["kinds"].values())
    return status or (REQUESTS_FAILED if failed else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
