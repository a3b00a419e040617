"""Looking after the jobs that are installed: table, logs, start, stop, restart."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.facts import FactBase
from pyinfra.context import host, state

from fleet import layout
from macos.facts.jobs import JobTime, JobTimes
from macos.facts.running import Clusters
from macos.operations import launchd
from macos.quiet import Commands, mac_operation
from roles import announce, sides, turn
from roles.context import everyone, the_fleet, this_mac
from roles.serve import PATIENCE_S, served

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

LINES = 40
# What `--data job=` takes beside the names of jobs.
ENGINE = "engine"
_NEWEST = 2


def labels() -> tuple[str, ...]:
    """The jobs of this Mac, in the order in which they start; first those that few Macs have, and seldom."""
    return (*layout.NEXT_LABELS, *layout.labels(this_mac().is_head))


def job_arguments() -> dict[str, Any]:
    """For the fact JobTimes."""
    return {"labels": labels()}


def table() -> None:
    """Print every job of every Mac: its pid, for how long it has run, how it ended last."""
    announce.for_the_fleet()
    jobs = everyone(JobTimes, job_arguments)
    rows = [("Mac", "job", "state", "pid", "runs for", "last exit")]
    rows += [(name, *_cells(job)) for name, found in jobs.items() for job in found if _wanted(job)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    announce.say(*("  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows))
    announce.end()


def _wanted(job: JobTime) -> bool:
    """Whether the job is there, or should be."""
    return bool(job.state) or job.label not in layout.NEXT_LABELS


def _cells(job: JobTime) -> tuple[str, str, str, str, str]:
    age = f"{job.seconds // 3600}:{job.seconds // 60 % 60:02}:{job.seconds % 60:02}" if job.pid else "-"
    return job.label, job.state or "not installed", str(job.pid or "-"), age, job.last_exit or "-"


class Tail(FactBase[list[str]]):
    """The last lines of some files, each under a line with its name."""

    @staticmethod
    def default() -> list[str]:
        """Nothing was written."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """As printed."""
        return output


class LogTail(Tail):
    """Of the logs of jobs."""

    def command(self, paths: tuple[str, ...], lines: int) -> str:
        """Never fails: a log that is not there says so. Without paths there is nothing to print."""
        if not paths:
            return "true"
        each = "; ".join(
            f"echo '== {path}'; tail -n {lines} {shlex.quote(path)} 2>/dev/null || echo '(no such log)'"
            for path in paths
        )
        return f"{each}; true"


class EngineTail(Tail):
    """Of what engines, their replicas and Serve's controller wrote last on a Mac, below `folder`."""

    def command(self, folder: str, lines: int) -> str:
        """Ray names its files by process; the newest of each kind that are not empty. Never fails."""
        kinds = "'serve/controller_*.log' 'serve/replica_model*.log' 'worker-*.out' 'worker-*.err'"
        written = 'while read -r file; do [ ! -s "$file" ] || echo "$file"; done'
        newest = f"ls -t $kind 2>/dev/null | {written} | head -n {_NEWEST}"
        tails = f'while read -r file; do echo "== {folder}/$file"; tail -n {lines} "$file"; done'
        return f"cd {shlex.quote(folder)} 2>/dev/null && for kind in {kinds}; do {newest} | {tails}; done; true"


def engine_arguments() -> dict[str, Any]:
    """For the fact EngineTail."""
    return {"folder": f"{sides.now(host.name).temp_dir}/session_latest/logs", "lines": _lines()}


def _lines() -> int:
    return int(host.data.get("lines") or LINES)


def log_arguments() -> dict[str, Any]:
    """For the fact LogTail: which logs of this Mac, and how many lines."""
    wanted = host.data.get("job")
    there = [label for label in labels() if label not in layout.NEXT_LABELS or everyone(Clusters)[host.name].next]
    chosen = [label for label in there if wanted in (None, label.rsplit(".", 1)[-1])]
    return {"paths": tuple(map(layout.log_path, chosen)), "lines": _lines()}


def logs() -> None:
    """Print the end of the logs: of all jobs, of `--data job=NAME`, or of the engines, which are Ray's processes."""
    announce.for_the_fleet()
    names = [ENGINE, *(label.rsplit(".", 1)[-1] for label in (*layout.NEXT_LABELS, *layout.LABELS))]
    if ((job := host.data.get("job")) and job not in names) or not str(host.data.get("lines") or LINES).isdigit():
        announce.say(f"error: --data job= takes one of {', '.join(names)}; --data lines= takes a number.")
        announce.end(2)
    found = everyone(EngineTail, engine_arguments) if job == ENGINE else everyone(LogTail, log_arguments)
    for name, lines in found.items():
        if lines:
            announce.say(f"[{name}]", *lines)
    announce.end()


@deploy("Stop")
def stop() -> None:
    """The application first, the store last."""
    for label in reversed((*layout.NEXT_LABELS, *layout.LABELS)):
        if label in labels():
            launchd.stop(label, name=label)


@deploy("Start")
def start() -> None:
    """The store first, the application last; then until every model is served."""
    coming = bool(everyone(Clusters)[host.name].next)
    for label in (*layout.NEXT_LABELS, *layout.LABELS):
        if label in labels() and (coming or label not in layout.NEXT_LABELS):
            launchd.start(label, name=label)
    if this_mac().is_head:
        served(PATIENCE_S, name="Every model is served")


@mac_operation("jobs.stop_at_the_first")
def stop_at_the_first() -> Commands:
    """From here on, a Mac that fails is followed by no other one; one that has failed already, too. Touches nothing.

    pyinfra takes back what a deploy sets of its configuration before it executes.
    """
    host.noop("a Mac that fails ends the run")
    if state.is_executing:
        state.config.FAIL_PERCENT = 0
        # One that was never reached is none that has failed in this run.
        if failed := sorted(mac.name for mac in state.failed_hosts & state.activated_hosts):
            yield FunctionCommand(_stopped, [failed], {})


def _stopped(state: State, host: Host, failed: Sequence[str]) -> bool:
    host.log_styled(f"has no turn, as {', '.join(failed)} has failed", fg="red", log_func=logger.error)
    return False


@mac_operation("jobs.turn_over")
def turn_over() -> Commands:
    """Touches nothing: an operation that every Mac shares, so that turns cannot interleave."""
    host.noop("turn over")
    return
    yield


@deploy("Restart")
def restart() -> None:
    """Ray on one Mac after the other, the head last; the next waits until the last one serves again."""
    sides.whole()
    ordered = [mac.name for mac in (*the_fleet().workers, the_fleet().head)]
    stop_at_the_first(name="One Mac after the other")
    for mac in host.loop(ordered):  # type: ignore[no-untyped-call]
        if host.name == mac:
            turn.restarted(name=f"Ray of {mac}")
        turn_over(name=f"Turn of {mac} is over")
