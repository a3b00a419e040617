"""The fact about several launchd jobs at a glance: do they run, and since when."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from .launchd import parse_print


@dataclass(frozen=True)
class JobTime:
    """One job. `pid` is None while it does not run; `state` is empty when launchd does not know it."""

    label: str
    state: str = ""
    pid: int | None = None
    seconds: int = 0
    """How long the pid has lived."""
    last_exit: str = ""


class JobTimes(FactBase[list[JobTime]]):
    """The jobs `labels` of the system domain, in that order."""

    def command(self, labels: Sequence[str]) -> str:
        """What launchd prints of each, then the age of every process. Never fails."""
        prints = "".join(
            f"echo '## {label}'; launchctl print {shlex.quote(f'system/{label}')} 2>/dev/null; " for label in labels
        )
        return f"{prints}echo '## ages'; ps -axo pid=,etime="

    @staticmethod
    def default() -> list[JobTime]:
        """None of them."""
        return []

    def process(self, output: list[str]) -> list[JobTime]:
        """Parses both parts."""
        sections: dict[str, list[str]] = {}
        name = ""
        for line in output:
            if line.startswith("## "):
                name = line[3:]
            sections.setdefault(name, []).append(line)
        ages = dict(line.split() for line in sections.pop("ages", [])[1:] if len(line.split()) == 2)
        return [_job(label, lines, ages) for label, lines in sections.items()]


def _job(label: str, lines: Sequence[str], ages: dict[str, str]) -> JobTime:
    top, _ = parse_print(lines)
    pid = top.get("pid", "")
    last_exit = top.get("last terminating signal", top.get("last exit code", ""))
    return JobTime(
        label,
        top.get("state", ""),
        int(pid) if pid.isdigit() else None,
        elapsed_seconds(ages.get(pid, "")),
        "" if last_exit == "(never exited)" else last_exit,
    )


def elapsed_seconds(etime: str) -> int:
    """ps's `[[days-]hours:]minutes:seconds` in seconds; 0 for anything else."""
    days, _, clock = etime.rpartition("-")
    parts = [*([days] if days else []), *clock.split(":")]
    if not all(part.isdigit() for part in parts):
        return 0
    weights = (86400, 3600, 60, 1) if days else (3600, 60, 1)[-len(parts) :]
    return sum(int(part) * weight for part, weight in zip(parts, weights, strict=True))
