"""The system domain: which jobs are loaded, and what may be done to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from signal import Signals

from . import plist
from .config import Config
from .errors import Code, LaunchdError
from .jobs import Job, Log
from .loop import Action, Loop
from .plist import Definition
from .state import Faults, Overrides

# Seconds: until a stopped label can be bootstrapped when real launchd's race is asked for; how soon after a
# bootout a bootstrap may be a lazy one; what a job without an exit timeout gets at shutdown.
RACE = 5.0
LAZY = 10.0
ENDLESS = 20.0

Answer = Callable[[Code], None]


class Manager:
    """All loaded jobs by label. Methods raise LaunchdError where launchctl would exit with its code."""

    def __init__(self, config: Config, loop: Loop, log: Log) -> None:
        self.jobs: dict[str, Job] = {}
        self.overrides = Overrides(config.state)
        self._config = config
        self._loop = loop
        self._log = log
        self._faults = Faults(config.state)
        self._gone_at: dict[str, float] = {}  # label -> when its last process ended (monotonic)
        self._stopping = False

    def boot(self) -> None:
        """Load every plist of the daemon folders; what cannot be loaded is logged and skipped."""
        loaded: list[Job] = []
        for path in (path for folder in self._config.daemons for path in plist.plists_in(folder)):
            try:
                loaded.append(self._load(plist.read(path)))
            except LaunchdError as error:
                self._log("Error", f"Could not load {path}: {error}")
        for job in loaded:
            if job.definition.run_at_load:
                job.launch("speculative")

    def bootstrap(self, path: Path, enable: bool = False) -> None:
        """Load one plist and start it if it runs at load; with `enable`, let it be loaded from now on.

        A label loaded from another path keeps its definition, without a word. Raises what plist.read raises;
        5 or 37 if it is loaded, 5 if its last process is hardly gone, 119 if it is disabled, 124 at shutdown.
        """
        if self._stopping:
            raise LaunchdError(Code.TEARING_DOWN)
        definition = plist.read(path)
        if enable:
            self.overrides.set(definition.label, False)
        job = self.jobs.get(definition.label)
        if job is not None and not job.leaving and job.definition.path != path:
            return
        since = time.monotonic() - self._gone_at.get(definition.label, -3600.0)
        if (job is not None and job.leaving) or since < self._settle():
            raise LaunchdError(Code.IO)
        job = self._load(definition)
        if definition.run_at_load and not (since < LAZY and self._faults.get("lazy_bootstrap")):
            job.launch("speculative")

    def bootout(self, label: str, answer: Answer) -> None:
        """Unload a job; answers 0 when it is gone, 36 if that takes long (only the first answer counts).

        Until its process is gone the label can be printed but not bootstrapped. Raises 3 if it is not loaded.
        """
        job = self.jobs.get(label)
        if job is None:
            raise LaunchdError(Code.NO_PROCESS)
        ran = job.pid is not None

        def gone() -> None:
            self.jobs.pop(label, None)
            if ran:
                self._gone_at[label] = time.monotonic()
            answer(Code.OK)

        if self._faults.get("early_bootout"):
            answer(Code.OK)
        self._loop.later(self._config.patience, lambda: answer(Code.IN_PROGRESS))
        job.remove(gone)

    def bootout_path(self, path: Path, answer: Answer, disable: bool = False) -> None:
        """Unload the job that came from a file or has its label; with `disable`, for good.

        Raises 5 if none is loaded.
        """
        labels = [label for label, job in self.jobs.items() if job.definition.path == path]
        label = labels[0] if labels else plist.label_of(path)
        if disable and label is not None:
            self.overrides.set(label, True)
        if label is None or label not in self.jobs:
            raise LaunchdError(Code.IO)
        self.bootout(label, answer)

    def kickstart(self, label: str, kill: bool, answer: Answer) -> None:
        """Start a job now, throttled or not; with `kill`, end its process first. Answers when it runs.

        Raises 113 if it is unknown, 37 if it is being booted out.
        """
        job = self.job(label)
        if job.leaving:
            raise LaunchdError(Code.ALREADY)
        if kill:
            job.restart("non-ipc demand", lambda: answer(Code.NO_SERVICE if job.leaving else Code.OK))
            return
        job.launch("non-ipc demand")
        answer(Code.OK)

    def kill(self, label: str, number: Signals) -> None:
        """Signal a job's process. Raises 113 if it is unknown, 3 if it does not run."""
        if not self.job(label).signal(number):
            raise LaunchdError(Code.NO_PROCESS)

    def stop(self, label: str) -> None:
        """End a job's process as the exit timeout says; KeepAlive starts it again. Raises 113."""
        self.job(label).terminate()

    def job(self, label: str) -> Job:
        """The job of a label. Raises 113 if there is none."""
        if label not in self.jobs:
            raise LaunchdError(Code.NO_SERVICE)
        return self.jobs[label]

    def led_by(self, pid: int) -> Job | None:
        """The job whose process this is."""
        return next((job for job in self.jobs.values() if job.pid == pid), None)

    def shut_down(self, then: Action) -> None:
        """End every job, each within its exit timeout, and call `then` once none is left."""
        if self._stopping:
            return
        self._stopping = True
        jobs = list(self.jobs.values())

        def one_gone() -> None:
            if all(job.pid is None for job in jobs):
                self._loop.later(0, then)

        for job in jobs:
            if job.definition.exit_timeout == 0:
                self._loop.later(ENDLESS, job.end)
            job.remove(one_gone)
        one_gone()

    def _load(self, definition: Definition) -> Job:
        label = definition.label
        if label in self.jobs:
            raise LaunchdError(Code.ALREADY if self._faults.get("loaded_error") == 37 else Code.IO)
        if self.overrides.disabled(label, definition.disabled):
            raise LaunchdError(Code.DISABLED)
        self.jobs[label] = job = Job(definition, self._loop, self._log)
        return job

    def _settle(self) -> float:
        race = self._faults.get("bootout_race")
        if race is None:
            return self._config.settle
        return RACE if race else 0.0
