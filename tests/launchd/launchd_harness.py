"""The real PID 1 in a fresh pid namespace, and what tests ask of it."""

from __future__ import annotations

import contextlib
import io
import os
import plistlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.launchd import __file__ as package_file
from lab.launchd import launchctl

ENTRY = Path(package_file).with_name("entry.py")
BARE_PYTHON = [str(Path(sys.executable).resolve()), "-I", "-S", str(ENTRY)]
DEADLINE = 20.0
"""Seconds until a condition that never comes true fails a test; generous, for busy machines."""


def wait_for(condition: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
    """Poll until the condition is true, and give its value."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
    return value


@dataclass(frozen=True)
class Result:
    """What a launchctl command gave."""

    rc: int
    out: str
    err: str


class Launchd:
    """One simulated Mac's launchd, its folders under `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.daemons = home / "daemons"
        self.state = home / "state"
        self.log = home / "launchd.log"
        self.socket = home / "sock"
        self._process: subprocess.Popen[bytes] | None = None
        for folder in (self.daemons, self.state):
            folder.mkdir(exist_ok=True)
        home.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LAUNCHD_DAEMONS": str(self.daemons),
            "LAUNCHD_SOCKET": str(self.socket),
            "LAUNCHD_STATE": str(self.state),
            "LAUNCHD_LOG": str(self.log),
        }

    def boot(self) -> None:
        """Start PID 1 and wait until it answers. In there, nobody is a member of the group `helpers` too."""
        group = self.home / "group"
        group.write_text(Path("/etc/group").read_text() + "helpers:x:4242:nobody\n")
        self.socket.unlink(missing_ok=True)
        script = f'mount --bind "{group}" /etc/group && exec "$@"'
        namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        command = [*namespace, "sh", "-c", script, "sh", *BARE_PYTHON, "init"]
        self._process = subprocess.Popen(command, env=self.environment)
        wait_for(self.socket.exists, "PID 1 listens")
        wait_for(lambda: self.launchctl("list").rc == 0, "PID 1 answers")

    def kill(self) -> None:
        """Pull the plug, if there is one."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self.init_pid, signal.SIGKILL)
            self._process.wait(DEADLINE)

    def ended(self) -> int:
        """Wait for the Mac's end; what killed PID 1, as a negative number."""
        assert self._process is not None
        return self._process.wait(DEADLINE)

    @property
    def init_pid(self) -> int:
        """PID 1 as the host numbers it."""
        assert self._process is not None
        parent = self._process.pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])

    def launchctl(self, *arguments: str | Path) -> Result:
        """Run launchctl in this process: the same code, without an interpreter's start."""
        out, err = io.StringIO(), io.StringIO()
        before = os.environ.get("LAUNCHD_SOCKET")
        os.environ["LAUNCHD_SOCKET"] = str(self.socket)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                rc = int(launchctl.main([str(argument) for argument in arguments]))
        finally:
            if before is None:
                del os.environ["LAUNCHD_SOCKET"]
            else:
                os.environ["LAUNCHD_SOCKET"] = before
        return Result(rc, out.getvalue(), err.getvalue())

    def as_nobody(self, *arguments: str | Path) -> Result:
        """launchctl without privileges."""
        code = (
            "import os, sys; sys.path.append(sys.argv[1]); from lab.launchd import launchctl;"
            "os.setgid(65534); os.setuid(65534); sys.exit(launchctl.main(sys.argv[2:]))"
        )
        command = [BARE_PYTHON[0], "-I", "-S", "-c", code, str(ENTRY.parents[2]), *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def plist(self, label: str, command: str | list[str], folder: Path | None = None, **keys: Any) -> Path:  # noqa: ANN401
        """Write a job's plist; a string is a shell script."""
        arguments = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        path = (folder or self.home) / f"{label}.plist"
        path.write_bytes(plistlib.dumps({"Label": label, "ProgramArguments": arguments, **keys}))
        path.chmod(0o644)
        return path

    def load(self, label: str, command: str | list[str], **keys: Any) -> Path:  # noqa: ANN401
        """Write a plist and bootstrap it."""
        path = self.plist(label, command, **keys)
        assert self.launchctl("bootstrap", "system", path) == Result(0, "", "")
        return path

    def properties(self, label: str) -> dict[str, str]:
        """print's lines with exactly one tab, as names and values."""
        text = self.launchctl("print", f"system/{label}").out
        return dict(re.findall(r"^\t(\w[^=\n]*) = (.*)$", text, re.M))

    def wait_state(self, label: str, state: str) -> dict[str, str]:
        """Wait for a job's state; the properties then."""
        wait_for(lambda: self.properties(label).get("state") == state, f"{label} is {state}")
        return self.properties(label)

    def wait_gone(self, label: str) -> None:
        """Wait until a label is unknown."""
        wait_for(lambda: self.launchctl("print", f"system/{label}").rc == 113, f"{label} is gone")

    def process_state(self, pid: int | str) -> str:
        """The kernel's letter for a process in the namespace; empty if there is none."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self.init_pid}/root/proc/{pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0]
        return ""

    @contextlib.contextmanager
    def faults(self, text: str) -> Iterator[None]:
        """Switch faults on for a while."""
        file = self.state / "faults.json"
        file.write_text(text)
        try:
            yield
        finally:
            file.unlink()


def lines(path: Path) -> list[str]:
    """A file's whole lines; none if it is not there."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [line.rstrip("\n") for line in text.splitlines(keepends=True) if line.endswith("\n")]
