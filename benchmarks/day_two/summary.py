"""What became of the requests of a load, by phase and by kind of client."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
BEFORE = "before"


@dataclass(frozen=True)
class Mark:
    """The beginning of a phase, which ends where the next one begins."""

    at: float
    """Seconds since 1970."""
    name: str


@dataclass(frozen=True)
class Phase:
    """A stretch of time with a name."""

    name: str
    since: float
    until: float

    def holds(self, at: float) -> bool:
        """Whether a moment is in it."""
        return self.since <= at < self.until


def phases(records: Sequence[Record], marks: Sequence[Mark]) -> list[Phase]:
    """From the first request to the end of the last one; what is before the first mark is called `before`."""
    since = min(record["at"] for record in records)
    until = max(record["at"] + record["seconds"] for record in records)
    begins = [Mark(since, BEFORE), *(Mark(max(mark.at, since), mark.name) for mark in marks if mark.at < until)]
    ends = [*(mark.at for mark in begins[1:]), math.nextafter(until, math.inf)]
    return [
        Phase(mark.name, mark.at, end) for mark, end in zip(begins, ends, strict=True) if end > mark.at or not marks
    ]


def summary(records: Sequence[Record], marks: Sequence[Mark]) -> dict[str, Any]:
    """Counts and seconds of each kind of client: of all, and of what began in each phase; and what went wrong.

    Without a request there is nothing to say.
    """
    if not records:
        return {"kinds": {}, "phases": [], "errors": {}}
    errors = Counter(record["error"] for record in records if record["error"])
    return {
        "kinds": _by_kind(records),
        "phases": [
            {
                "name": phase.name,
                "seconds": round(phase.until - phase.since, 1),
                "kinds": _by_kind([record for record in records if phase.holds(record["at"])]),
            }
            for phase in phases(records, marks)
        ],
        "errors": dict(errors.most_common()),
    }


def _by_kind(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record["kind"], []).append(record)
    return {kind: _counts(of_kind) for kind, of_kind in sorted(found.items())}


def _counts(records: Sequence[Record]) -> dict[str, Any]:
    """Seconds are those of requests that were answered; a median of none is None."""
    outcomes = Counter(record["outcome"] for record in records)
    answered = [record for record in records if record["outcome"] == "ok"]
    whole = [record["seconds"] for record in answered]
    first = [record["first"] for record in answered if record["first"] is not None]
    return {
        "requests": len(records),
        "failed": outcomes["failed"],
        "cut": outcomes["cut"],
        "open": outcomes["open"],
        "retried": sum(bool(record["before"]) for record in records),
        "p50": percentile(whole, 50),
        "p99": percentile(whole, 99),
        "first_p50": percentile(first, 50),
        "first_p99": percentile(first, 99),
    }


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that is not below `percent` of them."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def table(found: Mapping[str, Any]) -> list[str]:
    """A summary as a person reads it."""
    head = ("phase", "s", "client", "requests", "failed", "cut", "retried", "p50 s", "p99 s", "first p50", "first p99")
    named = [*found["phases"], {"name": "all", "seconds": "", "kinds": found["kinds"]}]
    rows = [
        (phase["name"], phase["seconds"], kind, *(counts[key] for key in _COLUMNS))
        for phase in named
        for kind, counts in phase["kinds"].items()
    ]
    texts = [head, *(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in texts]
    return [*lines, *(f"{count} × {error}" for error, count in found["errors"].items())]


_COLUMNS = ("requests", "failed", "cut", "retried", "p50", "p99", "first_p50", "first_p99")
