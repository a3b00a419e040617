"""One job: its process, when it is started again, and how it is ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from . import spawn
from .loop import Action, Loop, Timer
from .plist import Definition
from .signals import darwin_number, is_crash

# Launches in a row that were too short, after which every further one doubles the wait.
PATIENT_LAUNCHES = 3
LONGEST_WAIT = 1200

Log = Callable[[str, str], None]


class State(StrEnum):
    """What print calls a job's state."""

    IDLE = "not running"
    SCHEDULED = "spawn scheduled"
    RUNNING = "running"
    TERMED = "SIGTERMed"
    KILLED = "SIGKILLed"


class Job:
    """A loaded definition and the process that runs it, if any.

    `pid`: the leader's, which is its process group's number. `last_status`: the raw wait status of the last
    process. `reason`: why the last process was started. `leaving`: being booted out; ends with the process.
    """

    def __init__(self, definition: Definition, loop: Loop, log: Log) -> None:
        self.definition = definition
        self.state = State.IDLE
        self.pid: int | None = None
        self.runs = 0
        self.last_status: int | None = None
        self.reason: str | None = None
        self.leaving = False
        self._loop = loop
        self._write = log
        self._started_at = 0.0
        self._short_launches = 0
        self._restart_reason: str | None = None
        self._timer: Timer | None = None
        self._at_exit: list[Action] = []
        self._at_launch: list[Action] = []

    def launch(self, reason: str) -> None:
        """Start the process now, unless it runs. A fork that fails leaves the job to be tried again."""
        if self.pid is not None:
            return
        self._set_timer(None)
        self.runs += 1
        self.reason = reason
        self._started_at = time.monotonic()
        try:
            self.pid = spawn.start(self.definition, lambda text: self.log("Error", text))
        except OSError as error:
            self.log("Error", f"Could not fork: {error}")
            self._schedule(self.definition.minimum_runtime)
            return
        self.state = State.RUNNING
        _run_all(self._at_launch)

    def restart(self, reason: str, then: Action) -> None:
        """End the process if it runs, start it anew, then call `then` (also if a removal comes first)."""
        self._at_launch.append(then)
        if self.pid is None:
            self.launch(reason)
        else:
            self._restart_reason = reason
            self.terminate()

    def remove(self, then: Action) -> None:
        """End the job for good; `then` is called when no process is left, at once if there is none."""
        self.leaving = True
        self._restart_reason = None
        _run_all(self._at_launch)
        if self.pid is None:
            self._set_timer(None)
            self.state = State.IDLE
            then()
            return
        self._at_exit.append(then)
        self.terminate()

    def terminate(self) -> None:
        """SIGTERM, and SIGKILL when the exit timeout is over (0: never)."""
        if self.pid is None or self.state in (State.TERMED, State.KILLED):
            return
        self.state = State.TERMED
        self.signal(signal.SIGTERM)
        if self.definition.exit_timeout:
            self._set_timer(self._loop.later(self.definition.exit_timeout, self.end))

    def end(self) -> None:
        """SIGKILL, now."""
        if self.pid is not None:
            if self.state == State.TERMED:
                patience = self.definition.exit_timeout
                self.log("Warning", f"Service did not exit {patience} seconds after SIGTERM. Sending SIGKILL.")
            self.state = State.KILLED
            self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; False if there is none."""
        if self.pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return True

    def exited(self, status: int) -> None:
        """The leader is gone, with this raw wait status; what is left of its group was dealt with."""
        self.pid = None
        self.last_status = status
        self.state = State.IDLE
        self._set_timer(None)
        self.log("Notice", _obituary(status))
        _run_all(self._at_exit)
        if self.leaving:
            return
        reason, self._restart_reason = self._restart_reason, None
        if reason is not None:
            self.launch(reason)
        elif self._wanted_again(status):
            self._schedule(self._wait_before_launch())

    def clean_up_group(self) -> None:
        """SIGTERM what the dying leader leaves in its group; to be called while the leader is a zombie."""
        if self.pid is not None and not self.definition.abandon_group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)

    def log(self, level: str, text: str) -> None:
        """A line about this job in launchd's log."""
        self._write(level, f"{self.definition.label}: {text}")

    def _wanted_again(self, status: int) -> bool:
        keep = self.definition.keep_alive
        crashed = os.WIFSIGNALED(status) and is_crash(darwin_number(os.WTERMSIG(status)))
        return (
            keep.always
            or (keep.successful_exit is not None and keep.successful_exit == (status == 0))
            or (keep.crashed is not None and keep.crashed == crashed)
        )

    def _wait_before_launch(self) -> float:
        ran, minimum = self._ran(), self.definition.minimum_runtime
        if ran >= minimum:
            self._short_launches = 0
            return 0
        self._short_launches += 1
        doublings = min(max(0, self._short_launches - PATIENT_LAUNCHES), 20)
        interval = min(minimum * (1 << doublings), max(LONGEST_WAIT, minimum))
        wait = interval - int(ran)
        self.log("Warning", f"Service only ran for {int(ran)} seconds. Pushing respawn out by {wait} seconds.")
        return interval - ran

    def _schedule(self, seconds: float) -> None:
        self.state = State.SCHEDULED
        self._set_timer(self._loop.later(seconds, lambda: self.launch("inefficient")))

    def _ran(self) -> float:
        return time.monotonic() - self._started_at

    def _set_timer(self, timer: Timer | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer


def _run_all(actions: list[Action]) -> None:
    waiting = actions.copy()
    actions.clear()
    for action in waiting:
        action()


def _obituary(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"exited due to signal {darwin_number(os.WTERMSIG(status))}"
    return f"exited with code {os.WEXITSTATUS(status)}"
