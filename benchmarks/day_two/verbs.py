"""Every command of day two, and two pulled plugs, under load: one table, and a picture of each in docs/day-two/.

    python -m benchmarks.day_two.verbs [NAME…]

Needs the lab's fleet of inventory/rolling.py, up and converged. Each row leaves the fleet as the next one wants it; the
last one goes over to another Python (`lab/bake-release.sh locks-python` first) and leaves it there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.day_two.__main__ import AFTER, BEGINS, measured, options, result
from benchmarks.day_two.load import ROOT, Load
from benchmarks.day_two.plot import drawn
from benchmarks.day_two.summary import percentile
from lab import hardware

PYINFRA = "pyinfra -y inventory/rolling.py"
FOUR = 'MACS="alpha beta gamma m5"'
AWAY_S = 60
ALL = ("alpha", "beta", "gamma")
SECRETS = ROOT / ".lab/secrets"
PICTURES = ROOT / "docs" / "day-two"


@dataclass(frozen=True)
class Verb:
    """Something that is done to the fleet."""

    title: str
    command: str
    """What a person types, for sh."""
    phase: str = r"operation: Turn of (\w+)\b(?! is| and)"
    """What begins a phase, in a line that the command prints."""
    singles: tuple[str, ...] = ALL
    """At whose doors the clients ask that know one door only."""
    status: int = 0
    """What the command must exit with."""


def unplugged(mac: str) -> Verb:
    """The plug of a Mac, pulled for AWAY_S; its end is when every check is green again."""
    steps = (
        f"echo phase off; lab power-off {mac}",
        f"sleep {AWAY_S}; echo phase on; lab power-on {mac}",
        f"until {PYINFRA} deploy/health.py >/dev/null 2>&1; do sleep 5; done",
    )
    others = tuple(name for name in ALL if name != mac)
    return Verb(f"The plug of {mac} is pulled for a minute", "; ".join(steps), r"^phase (\w+)", others)


VERBS = {
    "upgrade": Verb("Another wheel, Mac by Mac", f"LOCKS=locks-next {PYINFRA} deploy/upgrade.py"),
    "rollback": Verb("Back, two Macs at a time", f"LOCKS=locks-next {PYINFRA} --data batch=2 deploy/rollback.py"),
    "broken": Verb(
        "A release whose engine does not start", f"LOCKS=locks-broken {PYINFRA} deploy/upgrade.py", status=1
    ),
    "add": Verb("A fourth Mac is added", f"lab up m5 && {FOUR} {PYINFRA} deploy/cluster.py"),
    "remove": Verb(
        "The fourth Mac is removed",
        f"{FOUR} {PYINFRA} --limit m5 deploy/remove.py && {PYINFRA} deploy/cluster.py && lab power-off m5",
    ),
    "worker": unplugged("beta"),
    "head": unplugged("alpha"),
    "python": Verb("Another Python, by a second Ray cluster", f"LOCKS=locks-python {PYINFRA} deploy/upgrade.py"),
}


def door(mac: str) -> str:
    """The endpoint of one Mac."""
    return f"https://{hardware.find(mac).address}:8443/v1"


def arguments(verb: Verb) -> list[str]:
    """Those of `python -m benchmarks.day_two`."""
    singles = [f"--single={door(mac)}" for mac in verb.singles]
    asked = [*singles, "--pair", door("alpha"), door("beta"), "--rate", "0.5", "--quiet", "40", "--phase", verb.phase]
    trusted = ["--ca", str(SECRETS / "door-ca.pem"), "--key", str(SECRETS / "api-keys/default")]
    return [*asked, *trusted, "--title", verb.title, "--", "sh", "-c", verb.command]


def row(verb: Verb, seen: Load) -> str:
    """Of the table: what became of the requests, and the seconds of those that were answered."""
    begins, ends = (next(mark.at for mark in seen.marks if mark.name == name) for name in (BEGINS, AFTER))
    bad = {
        kind: sum(each["kind"] == kind and each["outcome"] == "failed" for each in seen.records)
        for kind in ("pair", "single")
    }
    cut = sum(each["outcome"] == "cut" for each in seen.records)
    cells = [verb.title, f"{ends - begins:.0f}", str(len(seen.records)), *map(str, bad.values()), str(cut)]
    for since, until in ((0.0, begins), (begins, ends), (ends, float("inf"))):
        within = [each for each in seen.records if since <= each["at"] < until and each["outcome"] == "ok"]
        seconds = [each["seconds"] for each in within]
        cells.append(", ".join(f"{percentile(seconds, percent) or 0:.2f}" for percent in (50, 99)))
    return f"| {' | '.join(cells)} |"


def main(names: Sequence[str]) -> int:
    """One after the other; the table at the end. Ends with 1 when a command did not exit as it should."""
    wrong, rows = 0, []
    PICTURES.mkdir(exist_ok=True)
    for name in names or VERBS:
        verb = VERBS[name]
        given = options(arguments(verb))
        status, seen = measured(given)
        if status != verb.status:
            print(f"{name}: exit status {status} instead of {verb.status}", file=sys.stderr)
            wrong = 1
        (PICTURES / f"{name}.svg").write_text(drawn(result(given, seen)))
        rows.append(row(verb, seen))
        print(rows[-1], flush=True)
    head = "| what | seconds | requests | failed, one retry | failed, no retry | cut | before | during | after |"
    print("", "Seconds of an answer are p50, p99.", "", head, "|---" * 9 + "|", *rows, sep="\n")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
