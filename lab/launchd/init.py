"""PID 1 of a simulated Mac: reaps every orphan, runs the jobs, and ends the Mac by reboot(2).

SIGTERM from outside asks for an orderly halt, SIGINT for an orderly reboot. The namespace's parent sees the
end as death by SIGHUP (reboot) or SIGINT (halt).
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from .config import Config
from .control import Control
from .loop import Loop
from .manager import Manager

RB_AUTOBOOT = 0x01234567
RB_POWER_OFF = 0x4321FEDC
# Seconds that processes outside any job (SSH sessions) get between SIGTERM and SIGKILL at the end.
LAST_WORDS = 0.5


class Init:
    """Everything that PID 1 is made of."""

    def __init__(self, config: Config) -> None:
        self._log_file = _open_log(config.log)
        self._loop = Loop()
        self._manager = Manager(config, self._loop, self.log)
        self._howto = RB_AUTOBOOT
        self._woken, wakeup = socket.socketpair()
        self._wakeup = wakeup
        for end in (self._woken, wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # the wakeup descriptor tells the loop
        self._loop.watch(self._woken.fileno(), self._on_signal)
        self._control = Control(config.socket, self._loop, self._manager, self.power)

    def run(self) -> None:
        """Boot, supervise until asked to stop, then end the Mac; does not return."""
        self.log("Notice", "booting")
        self._manager.boot()
        self._loop.run()
        self.log("Notice", "all services have stopped")
        _end_everything()
        _power(self._howto)

    def power(self, what: str) -> None:
        """Stop all jobs, then "reboot" or "halt"."""
        self.log("Notice", f"{what} requested")
        self._howto = RB_AUTOBOOT if what == "reboot" else RB_POWER_OFF
        self._loop.later(0, lambda: self._manager.shut_down(self._loop.stop))

    def log(self, level: str, text: str) -> None:
        """A line in launchd's log; a full disk must not stop PID 1."""
        now = datetime.now().isoformat(" ", "microseconds")
        with suppress(OSError):
            os.write(self._log_file, f"{now} (system) <{level}>: {text}\n".encode())

    def _on_signal(self) -> None:
        numbers = self._woken.recv(4096)
        while (pid := _zombie()) is not None:
            job = self._manager.led_by(pid)
            if job is not None:
                job.clean_up_group()
            status = os.waitpid(pid, 0)[1]
            if job is not None:
                job.exited(status)
        if signal.SIGTERM in numbers:
            self.power("halt")
        elif signal.SIGINT in numbers:
            self.power("reboot")


def main(_: list[str]) -> int:
    """Be PID 1. Returns 1 at once for any other process, which must never end everything as PID 1 does."""
    if os.getpid() != 1:
        print("launchd can only run as PID 1", file=sys.stderr)
        return 1
    os.chdir("/")
    _open_standard_streams()
    Init(Config.from_environment()).run()
    return 1


def _zombie() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def _end_everything() -> None:
    """End what no job owns. kill(-1) reaches the whole namespace but PID 1."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
        _reap_all(LAST_WORDS)
        os.kill(-1, signal.SIGKILL)
        _reap_all(LAST_WORDS)


def _reap_all(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def _power(howto: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    root = os.open("/", os.O_RDONLY)
    libc.syncfs(root)  # the Mac's own disk; sync(2) would flush the host's too
    libc.reboot(ctypes.c_int(howto if howto < 0x80000000 else howto - 0x100000000))


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _open_standard_streams() -> None:
    """Make sure descriptors 0 to 2 are taken, so that no socket becomes a job's standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)
