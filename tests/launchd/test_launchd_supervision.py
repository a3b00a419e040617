"""Supervision: when jobs start, stop and start again, and as what their processes run."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from launchd_harness import Launchd, lines, wait_for

ENDS = {
    "zero": "exit 0",
    "one": "exit 1",
    **{name: f"kill -{name} $$" for name in ("TERM", "KILL", "SEGV", "ABRT")},
}
NON_ZERO = {"SuccessfulExit": False}
CRASHED = {"Crashed": True}


@pytest.mark.parametrize(
    ("keep_alive", "end", "again"),
    [
        (None, "one", False),
        (False, "one", False),
        (True, "zero", True),
        (True, "one", True),
        (True, "TERM", True),
        (NON_ZERO, "zero", False),
        (NON_ZERO, "one", True),
        (NON_ZERO, "TERM", True),
        ({"SuccessfulExit": True}, "zero", True),
        ({"SuccessfulExit": True}, "one", False),
        (CRASHED, "zero", False),
        (CRASHED, "one", False),
        (CRASHED, "TERM", False),
        (CRASHED, "KILL", False),
        (CRASHED, "SEGV", True),
        (CRASHED, "ABRT", True),
        (NON_ZERO | CRASHED, "zero", False),
        (NON_ZERO | CRASHED, "one", True),
        ({"NetworkState": True}, "one", False),
        ("true", "one", False),
    ],
)
def test_keep_alive(shared: Launchd, label: str, keep_alive: object, end: str, again: bool) -> None:
    keys = {} if keep_alive is None else {"KeepAlive": keep_alive}
    shared.load(label, ENDS[end], RunAtLoad=True, **keys)
    properties = shared.wait_state(label, "spawn scheduled" if again else "not running")
    assert properties["runs"] == "1"
    assert "pid" not in properties


@pytest.mark.parametrize(
    ("keys", "runs"),
    [
        ({}, "0"),
        ({"RunAtLoad": False}, "0"),
        ({"KeepAlive": CRASHED}, "0"),
        ({"RunAtLoad": True}, "1"),
        ({"KeepAlive": True}, "1"),
        ({"KeepAlive": NON_ZERO}, "1"),
    ],
)
def test_start_at_load(shared: Launchd, label: str, keys: dict[str, object], runs: str) -> None:
    shared.load(label, "exec sleep 300", **keys)
    properties = shared.properties(label)
    assert (properties["runs"], properties["last exit code"]) == (runs, "(never exited)")
    assert properties["state"] == ("running" if runs == "1" else "not running")


def test_throttle(shared: Launchd, label: str, folder: Path) -> None:
    starts = folder / "starts"
    # the time of the fork in clock ticks (10 ms), however late the script gets to run
    shared.load(label, f"cut -d ' ' -f 22 /proc/$$/stat >> {starts}", KeepAlive=True, ThrottleInterval=2)
    wait_for(lambda: len(lines(starts)) >= 2, "a second launch")
    first, second = (int(line) for line in lines(starts)[:2])
    assert second - first > 100
    warning = rf"{re.escape(label)}: Service only ran for (\d) seconds\. Pushing respawn out by (\d) seconds\."
    ran, wait = re.findall(warning, shared.log.read_text())[0]
    assert int(ran) + int(wait) == 2


def test_long_runs_are_not_throttled(shared: Launchd, label: str) -> None:
    shared.load(label, "exec sleep 300", KeepAlive=True, ThrottleInterval=1)
    pid = shared.properties(label)["pid"]
    loaded = time.monotonic()
    wait_for(lambda: time.monotonic() > loaded + 1.1, "more than the minimum runtime")
    assert shared.launchctl("kill", "SIGKILL", f"system/{label}").rc == 0
    wait_for(lambda: shared.properties(label).get("pid") not in (None, pid), "a new process")
    assert f"{label}: Service only ran" not in shared.log.read_text()
    assert shared.properties(label)["last terminating signal"] == "Killed: 9"


@pytest.mark.parametrize("abandon", [False, True])
def test_process_group(shared: Launchd, label: str, folder: Path, abandon: bool) -> None:
    children = folder / "children"
    script = f"sleep 300 & echo $! >> {children}; setsid sleep 300 & echo $! >> {children}; exec sleep 300"
    shared.load(label, script, RunAtLoad=True, AbandonProcessGroup=abandon)
    wait_for(lambda: len(lines(children)) == 2, "both children")
    member, escaped = lines(children)
    wait_for(lambda: _command(shared, escaped) == "sleep", "the second child is in a session of its own")
    shared.launchctl("kill", "KILL", f"system/{label}")
    shared.wait_state(label, "not running")
    if not abandon:
        wait_for(lambda: not shared.process_state(member), "the group's other process ended and was reaped")
    assert bool(shared.process_state(member)) == abandon
    wait_for(lambda: shared.process_state(escaped) == "S", "the second child sleeps")
    survivors = [escaped, member] if abandon else [escaped]
    shared.load(f"{label}.end", ["/bin/kill", *survivors], RunAtLoad=True)
    wait_for(lambda: not any(map(shared.process_state, survivors)), "PID 1 reaps orphans")
    shared.launchctl("bootout", f"system/{label}.end")


def _command(launchd: Launchd, pid: str) -> str:
    return Path(f"/proc/{launchd.init_pid}/root/proc/{pid}/comm").read_text().strip()


def test_exit_timeout(shared: Launchd, label: str, folder: Path) -> None:
    ready = folder / "ready"
    shared.load(label, f"trap '' TERM; echo > {ready}; sleep 300; sleep 300", RunAtLoad=True, ExitTimeOut=1)
    wait_for(ready.exists, "the trap is set")
    begin = time.monotonic()
    assert shared.launchctl("stop", label).rc == 0
    assert shared.properties(label)["state"] == "SIGTERMed"
    shared.wait_state(label, "not running")
    assert time.monotonic() - begin > 0.9
    assert shared.properties(label)["last terminating signal"] == "Killed: 9"


def test_each_job_leads_its_own_group(shared: Launchd, label: str, folder: Path) -> None:
    shared.load(label, ["/bin/cat", "/proc/self/stat"], RunAtLoad=True, StandardOutPath=str(folder / "o"))
    (stat,) = wait_for(lambda: lines(folder / "o"), "the job's output")
    pid, _, _, parent, group, session, *_ = stat.split()
    assert (parent, group, session) == ("1", pid, pid)


def test_environment(shared: Launchd, label: str, folder: Path) -> None:
    given = {"HOME": "/var/x", "COUNT": 3, "FLAG": True, "EMPTY": ""}
    shared.load(
        label,
        ["/usr/bin/env"],
        RunAtLoad=True,
        EnvironmentVariables=given,
        StandardOutPath=str(folder / "o"),
    )
    shared.wait_state(label, "not running")
    expected = ["EMPTY=", "HOME=/var/x", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", f"XPC_SERVICE_NAME={label}"]
    assert sorted(lines(folder / "o")) == expected


@pytest.mark.parametrize(
    ("keys", "identity"),
    [
        ({}, "0:0:0"),
        ({"UserName": "nobody"}, "65534:65534:65534 4242"),
        ({"UserName": "nobody", "GroupName": "daemon"}, "65534:1:1 4242"),
        ({"GroupName": "daemon"}, "0:1:"),
    ],
)
def test_account(shared: Launchd, label: str, folder: Path, keys: dict[str, str], identity: str) -> None:
    output = folder / "o"
    output.touch()
    output.chmod(0o666)
    script = "echo $(id -u):$(id -g):$(id -G)"
    shared.load(label, script, RunAtLoad=True, StandardOutPath=str(output), **keys)
    (line,) = wait_for(lambda: lines(output), "the job's output")
    assert line.startswith(identity)


@pytest.mark.parametrize(
    ("keys", "soft", "hard"),
    [
        ({}, 256, None),
        ({"SoftResourceLimits": {"NumberOfFiles": 1000}}, 1000, None),
        ({"HardResourceLimits": {"NumberOfFiles": 2000}}, 256, 2000),
        ({"HardResourceLimits": {"NumberOfFiles": 100}}, 100, 100),
        ({f"{k}ResourceLimits": {"NumberOfFiles": n} for k, n in (("Soft", 900), ("Hard", 901))}, 900, 901),
    ],
)
def test_open_files(
    shared: Launchd, label: str, folder: Path, keys: dict[str, object], soft: int, hard: int | None
) -> None:
    script = "ulimit -Sn; ulimit -Hn"
    shared.load(label, script, RunAtLoad=True, StandardOutPath=str(folder / "o"), **keys)
    wait_for(lambda: len(lines(folder / "o")) == 2, "the job's output")
    shown = lines(folder / "o")
    assert shown[0] == str(soft)
    assert hard is None or shown[1] == str(hard)


def test_more_open_files_than_there_are(shared: Launchd, label: str, folder: Path) -> None:
    limits = {"NumberOfFiles": 2**40}
    output = str(folder / "o")
    shared.load(label, "ulimit -Sn; ulimit -Hn", RunAtLoad=True, StandardOutPath=output, SoftResourceLimits=limits)
    wait_for(lambda: len(lines(folder / "o")) == 2, "the job's output")
    soft, hard = lines(folder / "o")
    assert soft == hard != "256"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["0022", "/"]),
        ({"Umask": 63, "WorkingDirectory": "/usr"}, ["0077", "/usr"]),
        ({"Umask": "027"}, ["0027", "/"]),
    ],
)
def test_umask_and_directory(
    shared: Launchd, label: str, folder: Path, keys: dict[str, object], expected: list[str]
) -> None:
    shared.load(label, "umask; pwd", RunAtLoad=True, StandardOutPath=str(folder / "o"), **keys)
    wait_for(lambda: len(lines(folder / "o")) == 2, "the job's output")
    assert lines(folder / "o") == expected


def test_output_is_appended(shared: Launchd, label: str, folder: Path) -> None:
    log = folder / "deep" / "er" / "log"
    shared.load(label, "echo out; echo err >&2", StandardOutPath=str(log), StandardErrorPath=str(log))
    for runs in (1, 2):
        shared.launchctl("kickstart", f"system/{label}")
        wait_for(lambda runs=runs: len(lines(log)) == 2 * runs, "the output of one more run")
        shared.wait_state(label, "not running")
    assert lines(log) == ["out", "err"] * 2
    for made in (log.parent, log.parent.parent):
        assert (made.stat().st_uid, oct(made.stat().st_mode & 0o7777)) == (0, "0o744")


@pytest.mark.parametrize(
    "keys",
    [
        {"ProgramArguments": ["/no/such/program"]},
        {"ProgramArguments": ["true"]},
        {"ProgramArguments": ["/etc/passwd"]},
        {"WorkingDirectory": "/no/such/folder"},
        {"StandardOutPath": "/etc"},
        {"StandardErrorPath": "/proc/x/log"},
        {"UserName": "nobody", "StandardOutPath": "{tmp}/made/log"},
    ],
    ids=["missing", "relative", "not executable", "directory", "stdout", "stderr", "root's log folder"],
)
def test_spawn_failure(shared: Launchd, label: str, folder: Path, keys: dict[str, object]) -> None:
    moved = {k: v.format(tmp=folder) if isinstance(v, str) else v for k, v in keys.items()}
    shared.load(label, ["/bin/true"], RunAtLoad=True, **moved)
    properties = shared.wait_state(label, "not running")
    assert properties["last exit code"] == "78: EX_CONFIG"
    assert re.search(rf"{re.escape(label)}: Could not ", shared.log.read_text())
    row = next(line for line in shared.launchctl("list").out.splitlines() if line.endswith(f"\t{label}"))
    assert row == f"-\t78\t{label}"
