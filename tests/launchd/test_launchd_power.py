"""Boot, reboot and halt of the whole Mac, and what PID 1 withstands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from launchd_harness import BARE_PYTHON, Launchd, lines, wait_for

from lab.launchd import jobs, plist, spawn
from lab.launchd.loop import Action, Loop, Timer

SLEEP = "exec sleep 300"


def test_boot_loads_what_it_may(own: Launchd) -> None:
    for name in ("good", "disabled", "mode", "owner", "link"):
        own.plist(name, SLEEP, folder=own.daemons, RunAtLoad=True)
    own.plist("idle", SLEEP, folder=own.daemons)
    (own.daemons / "notes.txt").write_text("no plist")
    (own.daemons / "mode.plist").chmod(0o666)
    os.chown(own.daemons / "owner.plist", 1, 1)
    (own.daemons / "link.plist").rename(own.home / "link.plist")
    (own.daemons / "link.plist").symlink_to(own.home / "link.plist")
    (own.state / "disabled.json").write_text('{"disabled": true}')
    own.boot()
    rows = [line.split("\t") for line in own.launchctl("list").out.splitlines()[1:]]
    assert [label for *_, label in rows] == ["good", "idle"]
    assert own.properties("good")["state"] == "running"
    assert own.properties("idle")["state"] == "not running"
    log = own.log.read_text()
    assert "mode.plist: 122: Path had bad ownership/permissions" in log
    assert "disabled.plist: 119: Service is disabled" in log


@pytest.mark.parametrize(
    ("ask", "ending"),
    [
        (lambda own: own.launchctl("reboot", "system"), -signal.SIGHUP),
        (lambda own: own.launchctl("reboot", "halt"), -signal.SIGINT),
        (lambda own: os.kill(own.init_pid, signal.SIGTERM), -signal.SIGINT),
        (lambda own: os.kill(own.init_pid, signal.SIGINT), -signal.SIGHUP),
    ],
    ids=["reboot", "halt", "SIGTERM", "SIGINT"],
)
def test_power(own: Launchd, ask: Callable[[Launchd], object], ending: int) -> None:
    trace = own.home / "trace"
    wait = f"echo up >> {trace}; while :; do sleep 0.1; done"
    patient = f"trap 'sleep 0.3; echo polite >> {trace}; exit' TERM; {wait}"
    stubborn = f"trap '' TERM; {wait}"
    escaped = f"trap 'echo orphan >> {trace}; exit' TERM; {wait}"
    own.plist("patient", patient, folder=own.daemons, KeepAlive=True)
    own.plist("stubborn", stubborn, folder=own.daemons, KeepAlive=True, ExitTimeOut=1)
    own.plist("orphan", f'setsid sh -c "{escaped}" & sleep 300', folder=own.daemons, RunAtLoad=True)
    own.boot()
    own.launchctl("disable", "system/patient")
    wait_for(lambda: lines(trace) == ["up"] * 3, "all processes are up")
    ask(own)
    assert own.ended() == ending
    assert lines(trace)[3:] == ["polite", "orphan"]
    assert json.loads((own.state / "disabled.json").read_text()) == {"patient": True}
    own.boot()
    assert own.launchctl("print", "system/patient").rc == 113
    assert own.launchctl("print", "system/stubborn").rc == 0


def test_nothing_starts_while_stopping(own: Launchd) -> None:
    ready = own.home / "ready"
    stubborn = f"trap '' TERM; echo > {ready}; while :; do sleep 0.1; done"
    own.plist("stubborn", stubborn, folder=own.daemons, KeepAlive=True, ExitTimeOut=2)
    own.boot()
    wait_for(ready.exists, "the trap is set")
    late = own.plist("late", SLEEP)
    own.launchctl("reboot", "halt")
    wait_for(lambda: own.launchctl("bootstrap", "system", late).rc == 124, "the domain is tearing down")
    assert own.launchctl("kickstart", "-k", "system/stubborn").rc == 37
    assert own.ended() == -signal.SIGINT


def test_pulled_plug(own: Launchd) -> None:
    own.plist("job", SLEEP, folder=own.daemons, KeepAlive=True)
    own.boot()
    own.kill()
    own.boot()
    assert own.properties("job")["runs"] == "1"


@pytest.mark.parametrize(
    "request_line",
    [
        *(b"", b"{}\n", b"[]\n", b"no json\n", b"[" * 50000 + b"\n", b"x" * 70000),
        b'{"command": ["x"]}\n',
        b'{"command": "kill", "label": "x", "signal": 9}\n',
        b'{"command": "bootstrap", "path": "/\\u0000"}\n',
    ],
    ids=lambda line: line[:20].decode(),
)
def test_no_request_ends_pid_1(shared: Launchd, request_line: bytes) -> None:
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(ConnectionError):
        connection.connect(str(shared.socket))
        connection.sendall(request_line)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline()
    assert answer == b"" or json.loads(answer)["error"] != 0
    assert shared.launchctl("list").rc == 0


def test_init_is_pid_1_or_nothing() -> None:
    done = subprocess.run([*BARE_PYTHON, "init"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "launchd can only run as PID 1\n")


class RecordingLoop(Loop):
    """Does nothing later, but remembers the delays."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def later(self, seconds: float, action: Action) -> Timer:
        self.delays.append(seconds)
        return Timer(action)


def test_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "start", lambda *_: 4_000_000)
    path = tmp_path / "x.plist"
    path.write_bytes(
        b'<plist version="1.0"><dict><key>Label</key><string>x</string><key>Program</key>'
        b"<string>/x</string><key>KeepAlive</key><true/></dict></plist>"
    )
    loop = RecordingLoop()
    job = jobs.Job(plist.read(path), loop, lambda *_: None)
    for _ in range(12):
        job.launch("speculative")
        job.exited(0)
    assert [round(delay) for delay in loop.delays] == [
        10,
        10,
        10,
        20,
        40,
        80,
        160,
        320,
        640,
        1200,
        1200,
        1200,
    ]
