"""Who may change a Mac: real runs of pyinfra against a real sshd for each Mac."""

from __future__ import annotations

import getpass
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from fleet_project import Project
from sshd import running

from macos import lease
from macos.lease import Holder, hold_command

ROOT = Path(__file__).resolve().parents[2]
MACS = ("alpha", "beta")
ME = f"{getpass.getuser()}@{socket.gethostname()}"
# Instead of LEASE_S and BEAT_S.
SECONDS, BEAT = 4, 0.5
# What a deploy does: it says that it has begun, waits for a word, and does one thing more.
DEPLOY = f"""\
from pyinfra.operations import server

from fleet import layout
from macos import connector, lease

layout.LOCK, lease.LEASE_S, lease.BEAT_S = "lock", {SECONDS}, {BEAT}
# Programs that a test puts there are the Mac's own.
connector.PATH = "bin:/usr/bin:/bin:/usr/sbin:/sbin"

from roles import lock

lock.taken()
server.shell(commands=["touch begun; while [ ! -e go ]; do sleep 0.1; done"])
server.shell(commands=["touch done"])
"""


def until(probe: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


@dataclass
class Fleet:
    """Two Macs, and a person's folder."""

    root: Path
    runs: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *options: str, asks: IO[str] | None = None) -> subprocess.Popen[str]:
        """`asks` is what the person types at pyinfra's questions; without it there are none."""
        yes = [] if asks else ["-y"]
        command = [str(Path(sys.executable).with_name("pyinfra")), *yes, "inventory/lab.py", "deploy.py", *options]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.Popen(
            command, cwd=self.root, env=env, text=True, stdin=asks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.runs.append(run)
        return run

    def begun(self, *options: str) -> subprocess.Popen[str]:
        """A run that holds its Macs and waits for a word."""
        run = self.run(*options)
        until(lambda: run.poll() is not None or any(self.has(mac, "begun") for mac in MACS))
        assert run.poll() is None, run.communicate()[0]
        return run

    def has(self, mac: str, name: str) -> bool:
        return (self.root / mac / name).exists()

    def go(self) -> None:
        for mac in MACS:
            (self.root / mac / "go").touch()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    project = Project(tmp_path)
    (tmp_path / "config.py").write_text((ROOT / "config.py").read_text())
    (tmp_path / "deploy.py").write_text(DEPLOY)
    with ExitStack() as stack:
        entries = []
        for number, mac in enumerate(MACS, 11):
            folder = tmp_path / mac
            (folder / "bin").mkdir(parents=True)
            # Whoever logs in works in the folder of their Mac, with all rights.
            sudo = folder / "bin/sudo"
            sudo.write_text(
                f'#!/bin/sh\ncd {folder}\nwhile case $1 in -*) ;; *) false ;; esac; do shift; done\nexec "$@"\n'
            )
            sudo.chmod(0o755)
            (tmp_path / f"sshd-{mac}").mkdir()
            server = stack.enter_context(running(tmp_path / f"sshd-{mac}", folder / "bin"))
            (tmp_path / f"known-{mac}").touch()
            about = {
                "node_ip": f"10.77.0.{number}",
                "ssh_hostname": "127.0.0.1",
                "ssh_port": server.port,
                "ssh_key": str(server.key),
                "ssh_known_hosts_file": str(tmp_path / f"known-{mac}"),
            }
            entries.append((f"@mac/{mac}", about))
        project.write("inventory/lab.py", f"head = {entries[:1]}\nworkers = {entries[1:]}\n")
        project.write(
            "inventory/group_data/all.py",
            f'ssh_user = "{getpass.getuser()}"\nplatform = "linux-64"\nsecrets = "secrets"\nmodels = []\n',
        )
        fleet = Fleet(tmp_path)
        yield fleet
        # What waits on a Mac for that waits no longer.
        fleet.go()
        for run in fleet.runs:
            with suppress(ProcessLookupError):
                run.kill()
            run.communicate()


def ended(run: subprocess.Popen[str], status: int) -> str:
    """What a run said that ends so."""
    said = run.communicate(timeout=60)[0]
    assert run.returncode == status, said
    return said


def test_a_second_run_is_told_who_runs_what_and_touches_nothing(fleet: Fleet) -> None:
    first = fleet.begun("--limit", "beta")
    said = ended(fleet.run(), 3)
    assert f"beta: {ME} runs pyinfra inventory/lab.py deploy.py --limit beta since 20" in said
    assert "No Mac was touched." in said
    assert not fleet.has("alpha", "begun")
    # What it held already is free again.
    assert not fleet.has("alpha", "lock")
    fleet.go()
    ended(first, 0)
    assert fleet.has("beta", "done")
    assert not fleet.has("beta", "lock")
    ended(fleet.run(), 0)
    assert fleet.has("alpha", "done")


def test_what_was_decided_before_the_macs_went_elsewhere_is_not_done(fleet: Fleet) -> None:
    # It says something else each time.
    launchctl = fleet.root / "beta/bin/launchctl"
    launchctl.write_text("#!/bin/sh\necho x >>looks\necho --address=10.77.0.11:$((6000 + $(wc -l <looks)))\n")
    launchctl.chmod(0o755)
    said = ended(fleet.run(), 3)
    assert "beta: another run has changed what runs there since this one looked. No Mac was touched." in said
    assert not fleet.has("alpha", "begun")
    assert not fleet.has("alpha", "lock")


def test_what_was_decided_before_another_run_restarted_the_macs_is_not_done(fleet: Fleet) -> None:
    launchctl = fleet.root / "beta/bin/launchctl"
    job = "x = {\\n\\tenvironment = {\\n\\t\\tRAYLAB_DIGEST => $(wc -l <looks)\\n\\t}\\n}\\n"
    launchctl.write_text(f'#!/bin/sh\necho x >>looks\nprintf "{job}"\n')
    launchctl.chmod(0o755)
    said = ended(fleet.run(), 3)
    assert "beta: another run has changed what runs there since this one looked. No Mac was touched." in said


def test_who_is_asked_before_the_changes_is_not_asked_at_each_mac_that_fails(fleet: Fleet) -> None:
    """What fails ends a roll, whoever presses enter."""
    fails = "from roles import jobs\njobs.stop_at_the_first()\nserver.shell(commands=['test ! -e fails'])\n"
    (fleet.root / "deploy.py").write_text(DEPLOY.replace("lock.taken()\n", f"lock.taken()\n{fails}"))
    (fleet.root / "alpha/fails").touch()
    (fleet.root / "enter").write_text("\n" * 9)
    with (fleet.root / "enter").open() as enter:
        said = ended(fleet.run(asks=enter), 1)
    assert "Press enter" in said
    assert "continue?" not in said
    assert not fleet.has("beta", "begun")


AGAIN = """
from pyinfra.operations import python


def restarted(state, host):
    lock.let_go(host)
    free, _ = host.run_shell_command("test ! -e lock")
    assert lock.take_again(host) and free


python.call(function=restarted)
"""


def test_a_mac_that_restarts_is_let_go_and_held_again(fleet: Fleet) -> None:
    deploy = fleet.root / "deploy.py"
    deploy.write_text(DEPLOY.replace("lock.taken()\n", f"lock.taken()\n{AGAIN}\n"))
    first = fleet.begun()
    assert fleet.has("alpha", "lock")
    assert fleet.has("beta", "lock")
    fleet.go()
    ended(first, 0)
    assert not fleet.has("alpha", "lock")


def test_what_only_looks_holds_nothing(fleet: Fleet) -> None:
    fleet.begun()
    ended(fleet.run("--dry"), 0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_holds_nothing_any_more(fleet: Fleet, how: signal.Signals) -> None:
    first = fleet.begun()
    first.send_signal(how)
    first.wait(30)
    fleet.go()
    ended(fleet.run(), 0)
    assert fleet.has("alpha", "done")


def test_a_run_that_is_interrupted_holds_its_macs_until_what_it_began_has_ended(fleet: Fleet) -> None:
    first = fleet.begun()
    first.send_signal(signal.SIGINT)
    ended(fleet.run(), 3)
    fleet.go()
    ended(first, 0)
    assert not fleet.has("alpha", "done")
    ended(fleet.run(), 0)


def test_a_run_that_slept_does_not_go_on(fleet: Fleet) -> None:
    first = fleet.begun()
    first.send_signal(signal.SIGSTOP)
    until(lambda: not fleet.has("alpha", "lock"), SECONDS * 5)
    second = fleet.begun()
    first.send_signal(signal.SIGCONT)
    said = ended(first, 3)
    assert "is not held by this run any more" in said
    assert "nothing more is done" in said
    assert not fleet.has("alpha", "done")
    assert second.poll() is None
    fleet.go()
    ended(second, 0)


def test_a_mac_that_is_lost_fails_alone(fleet: Fleet) -> None:
    first = fleet.begun()
    until(lambda: fleet.has("beta", "begun"))
    os.kill(holds(fleet.root / "beta"), signal.SIGKILL)
    fleet.go()
    said = ended(first, 1)
    assert "beta is not held by this run any more" in said
    assert fleet.has("alpha", "done")
    assert not fleet.has("beta", "done")


def holds(folder: Path) -> int:
    """The process that holds the Mac of this folder, for a run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # Others come and go meanwhile.
        with suppress(OSError):
            if (process / "comm").read_text() == "perl\n" and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    assert len(found) == 1
    return found[0]


def test_a_mac_that_cannot_be_held_fails_alone(fleet: Fleet) -> None:
    (fleet.root / "beta/lock").mkdir()
    fleet.go()
    said = ended(fleet.run(), 1)
    assert "cannot be held for this run: lock: Is a directory" in said
    assert fleet.has("alpha", "done")
    assert not fleet.has("beta", "begun")


# What holds a Mac


def holder(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 60) -> subprocess.Popen[str]:
    monkeypatch.setattr(lease, "LEASE_S", seconds)
    command = shlex.split(hold_command(str(folder / "lock"), Holder(ME, "x", "now")))
    assert command[:2] == ["sudo", "-n"]
    return subprocess.Popen(command[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(program: subprocess.Popen[str]) -> str:
    assert program.stdout
    return program.stdout.readline()


def test_silence_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holder(tmp_path, monkeypatch, 1) as silent:
        assert line(silent) == "held\n"
        with holder(tmp_path, monkeypatch) as other:
            assert line(other).startswith("taken ")
        assert silent.wait(20) == 0
    assert not (tmp_path / "lock").exists()


def test_what_it_hears_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holder(tmp_path, monkeypatch) as program:
        assert line(program) == "held\n"
        assert program.stdin
        for beat in ("beat 1\n", "beat 2\n"):
            program.stdin.write(beat)
            program.stdin.flush()
            assert line(program) == beat
        program.stdin.write("end\n")
        program.stdin.flush()
        assert program.wait(20) == 0


def test_one_that_was_killed_leaves_a_file_that_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holder(tmp_path, monkeypatch) as program:
        assert line(program) == "held\n"
        program.kill()
    assert (tmp_path / "lock").exists()
    with holder(tmp_path, monkeypatch) as program:
        assert line(program) == "held\n"
        assert oct((tmp_path / "lock").stat().st_mode & 0o777) == "0o600"
        assert program.stdin
        program.stdin.close()


def test_of_many_at_once_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [holder(tmp_path, monkeypatch) for _ in range(12)]
    said = [line(program) for program in programs]
    assert sorted(each.split()[0] for each in said) == ["held"] + ["taken"] * 11
    for program in programs:
        program.communicate()
    assert not (tmp_path / "lock").exists()
