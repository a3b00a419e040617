"""launchctl: what it prints and exits with, against the table of conditions known from macOS."""

from __future__ import annotations

import os
import plistlib
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launchd_harness import BARE_PYTHON, Launchd, Result, wait_for

SLEEP = "exec sleep 300"
STUBBORN = "trap '' TERM; echo > {ready}; sleep 300; sleep 300"
HINT = "5: Input/output error\nTry running `launchctl {}` as root for richer errors.\n"
EIO = "Bootstrap failed: 5: Input/output error\n"


def unknown(label: str) -> str:
    return f'Could not find service "{label}" in domain for system\n'


def _owner(path: Path) -> None:
    os.chown(path, 1, 0)


def _symlink(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _keys(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = {**plistlib.loads(path.read_bytes()), **changes}
        path.write_bytes(plistlib.dumps({key: value for key, value in data.items() if value is not None}))

    return change


@pytest.mark.parametrize(
    ("spoil", "code", "text"),
    [
        (Path.unlink, 108, "Invalid path"),
        (lambda path: path.write_text("no plist"), 109, "Invalid property list"),
        (lambda path: path.write_bytes(plistlib.dumps(["no", "dictionary"])), 109, "Invalid property list"),
        (_keys(ProgramArguments="sleep"), 109, "Invalid property list"),
        (_keys(Label=None), 110, "Invalid or missing service identifier"),
        (_keys(ProgramArguments=None), 111, "Invalid or missing Program/ProgramArguments"),
        (_keys(UserName="nosuchuser"), 114, "The specified user does not exist"),
        (_keys(GroupName="nosuchgroup"), 115, "The specified group does not exist"),
        (_owner, 122, "Path had bad ownership/permissions"),
        (lambda path: path.chmod(0o664), 122, "Path had bad ownership/permissions"),
        (lambda path: path.chmod(0o646), 122, "Path had bad ownership/permissions"),
        (_symlink, 122, "Path had bad ownership/permissions"),
    ],
)
def test_bootstrap_refuses(shared: Launchd, label: str, spoil: Callable[[Path], object], code: int, text: str) -> None:
    path = shared.plist(label, SLEEP)
    spoil(path)
    assert shared.launchctl("bootstrap", "system", path) == Result(code, "", f"Bootstrap failed: {code}: {text}\n")
    assert shared.launchctl("print", f"system/{label}").rc == 113


@pytest.mark.parametrize(
    ("arguments", "rc", "err"),
    [
        (
            ["bootstrap", "gui/0", "/x"],
            125,
            "Bootstrap failed: 125: Domain does not support specified action\n",
        ),
        (["bootstrap", "gui/501", "/x"], 112, "Could not find domain for user gui: 501\n"),
        (["print", "gui/501"], 112, "Could not find domain for user gui: 501\n"),
        (["print", "gui/501/x"], 112, "Could not find domain for user gui: 501\n"),
        (["bootout", "system/x"], 3, "Boot-out failed: 3: No such process\n"),
        (["bootout", "system", "/no/x.plist"], 5, "Boot-out failed: 5: Input/output error\n"),
        (["print", "system/x"], 113, "Bad request.\n" + unknown("x")),
        (["kickstart", "system/x"], 113, unknown("x")),
        (["kickstart", "-kp", "system/x"], 113, unknown("x")),
        (["blame", "system/x"], 113, unknown("x")),
        (["kill", "TERM", "system/x"], 113, unknown("x")),
        (["list", "x"], 113, unknown("x")),
        (["start", "x"], 3, ""),
        (["stop", "x"], 3, ""),
        (["remove", "x"], 3, ""),
        (
            ["load", "/no/x.plist"],
            0,
            f"Load failed: {HINT.format('bootstrap')}",
        ),
        (
            ["unload", "/no/x.plist"],
            0,
            f"Unload failed: {HINT.format('bootout')}",
        ),
        (
            ["bootstrap"],
            64,
            "Usage: launchctl bootstrap <domain-target> [service-path, service-path2, ...]\n",
        ),
        (["kickstart", "-x", "system/x"], 64, "Usage: launchctl kickstart [-k] [-p] <service-target>\n"),
        (["enable", "system"], 64, "Usage: launchctl enable <service-target>\n"),
        (["print", "x"], 64, "Usage: launchctl print <domain-target> | <service-target>\n"),
        (["dance"], 64, "Unrecognized subcommand: dance\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(shared: Launchd, arguments: list[str], rc: int, err: str) -> None:
    assert shared.launchctl(*arguments) == Result(rc, "", err)


def test_bootstrap_of_what_is_loaded(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    pid = shared.properties(label)["pid"]
    assert shared.launchctl("bootstrap", "system", path) == Result(5, "", EIO)
    with shared.faults('{"loaded_error": 37}'):
        expected = "Bootstrap failed: 37: Operation already in progress\n"
        assert shared.launchctl("bootstrap", "system", path) == Result(37, "", expected)
    assert shared.properties(label)["pid"] == pid


def test_bootstrap_from_elsewhere_keeps_the_definition(shared: Launchd, label: str, folder: Path) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    other = shared.plist(label, "exec sleep 400", folder=folder)
    assert shared.launchctl("bootstrap", "system", other) == Result(0, "", "")
    assert shared.properties(label)["path"] == str(path)
    assert "sleep 300" in shared.launchctl("print", f"system/{label}").out


def test_bootout_quick(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    assert shared.launchctl("bootout", f"system/{label}") == Result(0, "", "")
    begin = time.monotonic()
    raced = shared.launchctl("bootstrap", "system", path)
    assert raced == Result(5, "", EIO) or time.monotonic() - begin > 0.4
    assert raced.rc == 0 or shared.launchctl("print", f"system/{label}").rc == 113
    wait_for(lambda: raced.rc == 0 or shared.launchctl("bootstrap", "system", path).rc == 0, "the race is over")
    assert shared.launchctl("bootout", "system", path) == Result(0, "", "")


def test_bootout_of_an_idle_job_leaves_no_race(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP)
    assert shared.launchctl("bootout", f"system/{label}").rc == 0
    assert shared.launchctl("bootstrap", "system", path).rc == 0


def test_bootout_slow(shared: Launchd, label: str, folder: Path) -> None:
    ready = folder / "ready"
    path = shared.load(label, STUBBORN.format(ready=ready), KeepAlive=True, ExitTimeOut=2)
    wait_for(ready.exists, "the trap is set")
    pid = shared.properties(label)["pid"]
    expected = "Boot-out failed: 36: Operation now in progress\n"
    assert shared.launchctl("bootout", f"system/{label}") == Result(36, "", expected)
    properties = shared.properties(label)
    assert (properties["state"], properties["pid"]) == ("SIGTERMed", pid)
    with shared.faults('{"loaded_error": 37}'):  # it drains, which is not the same as loaded
        assert shared.launchctl("bootstrap", "system", path) == Result(5, "", EIO)
    assert shared.launchctl("kickstart", f"system/{label}").rc == 37
    shared.wait_gone(label)
    assert not shared.process_state(pid)


def test_bootout_that_answers_early(shared: Launchd, label: str, folder: Path) -> None:
    ready = folder / "ready"
    shared.load(label, STUBBORN.format(ready=ready), RunAtLoad=True, ExitTimeOut=1)
    wait_for(ready.exists, "the trap is set")
    with shared.faults('{"early_bootout": true}'):
        assert shared.launchctl("bootout", f"system/{label}") == Result(0, "", "")
    assert shared.properties(label)["state"] == "SIGTERMed"
    shared.wait_gone(label)


@pytest.mark.parametrize("race", ["false", "true"])
def test_bootout_race_fault(shared: Launchd, label: str, race: str) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    with shared.faults(f'{{"bootout_race": {race}}}'):
        assert shared.launchctl("bootout", f"system/{label}").rc == 0
        assert shared.launchctl("bootstrap", "system", path).rc == (5 if race == "true" else 0)


def test_lazy_bootstrap_fault(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP, KeepAlive=True)
    with shared.faults('{"lazy_bootstrap": true, "bootout_race": false}'):
        shared.launchctl("bootout", f"system/{label}")
        assert shared.launchctl("bootstrap", "system", path).rc == 0
    properties = shared.properties(label)
    assert (properties["state"], properties["last exit code"]) == ("not running", "(never exited)")
    assert shared.launchctl("kickstart", f"system/{label}").rc == 0
    assert shared.properties(label)["state"] == "running"


def test_disabled_outlives_the_plist(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    assert shared.launchctl("disable", f"system/{label}") == Result(0, "", "")
    assert "disabled" not in shared.launchctl("print", f"system/{label}").out
    shared.launchctl("bootout", f"system/{label}")
    path.unlink()
    text = shared.launchctl("print-disabled", "system").out
    assert text.startswith("\n\tdisabled services = {\n")
    assert f'\n\t\t"{label}" => disabled\n' in text
    assert text.endswith("\n\t}\n")
    shared.plist(label, SLEEP, RunAtLoad=True)
    wait_for(lambda: shared.launchctl("bootstrap", "system", path).rc == 119, "the race is over")
    expected = f"{path}: Service is disabled\nBootstrap failed: 119: Service is disabled\n"
    assert shared.launchctl("bootstrap", "system", path) == Result(119, "", expected)
    assert shared.launchctl("load", path).rc == 0
    assert shared.launchctl("print", f"system/{label}").rc == 113
    assert shared.launchctl("enable", f"system/{label}") == Result(0, "", "")
    assert f'"{label}" => enabled' in shared.launchctl("print-disabled", "system").out
    assert shared.launchctl("bootstrap", "system", path).rc == 0


def test_disabled_in_the_plist(shared: Launchd, label: str) -> None:
    path = shared.plist(label, SLEEP, Disabled=True)
    assert shared.launchctl("bootstrap", "system", path).rc == 119
    assert shared.launchctl("load", "-w", path) == Result(0, "", "")
    assert shared.launchctl("unload", "-w", path) == Result(0, "", "")
    assert f'"{label}" => disabled' in shared.launchctl("print-disabled", "system").out


def test_kickstart(shared: Launchd, label: str) -> None:
    shared.load(label, SLEEP)
    first = shared.launchctl("kickstart", "-p", f"system/{label}").out.strip()
    assert first == shared.properties(label)["pid"]
    assert shared.launchctl("blame", f"system/{label}").out == "non-ipc demand\n"
    assert shared.launchctl("kickstart", "-p", f"system/{label}").out.strip() == first
    shared.plist(label, "exec sleep 400")
    second = shared.launchctl("kickstart", "-k", "-p", f"system/{label}").out.strip()
    assert second not in ("", first)
    assert not shared.process_state(first)
    assert "sleep 300" in shared.launchctl("print", f"system/{label}").out
    assert shared.properties(label)["last terminating signal"] == "Terminated: 15"


def test_kickstart_starts_a_throttled_job(shared: Launchd, label: str) -> None:
    shared.load(label, "exit 3", KeepAlive=True)
    shared.wait_state(label, "spawn scheduled")
    assert shared.launchctl("kickstart", f"system/{label}").rc == 0
    wait_for(lambda: shared.properties(label)["runs"] == "2", "a second run")
    assert shared.wait_state(label, "spawn scheduled")["last exit code"] == "3"


def test_kickstart_on_a_terminal(shared: Launchd, label: str) -> None:
    shared.load(label, SLEEP)
    primary, secondary = pty.openpty()
    command = [*BARE_PYTHON, "launchctl", "kickstart", "-p", f"system/{label}"]
    subprocess.run(command, env=shared.environment, stdout=secondary, check=True)
    shown = os.read(primary, 1000).decode().strip()
    os.close(primary)
    os.close(secondary)
    assert shown == f"service spawned with pid: {shared.properties(label)['pid']}"


@pytest.mark.parametrize(
    ("name", "ending", "listed", "raw"),
    [
        ("TERM", "Terminated: 15", -15, 15),
        ("SIGKILL", "Killed: 9", -9, 9),
        ("30", "User defined signal 1: 30", -30, 30),
    ],
)
def test_kill(shared: Launchd, label: str, name: str, ending: str, listed: int, raw: int) -> None:
    shared.load(label, ["/bin/sleep", "300"], RunAtLoad=True)
    target = f"system/{label}"
    wait_for(lambda: _executed(shared, label), "the program runs")
    assert shared.launchctl("kill", name, target) == Result(0, "", "")
    assert shared.wait_state(label, "not running")["last terminating signal"] == ending
    assert f"-\t{listed}\t{label}\n" in shared.launchctl("list").out
    assert f'\t"LastExitStatus" = {raw};\n' in shared.launchctl("list", label).out
    assert shared.launchctl("kill", name, target) == Result(3, "", "No process to signal.\n")
    assert shared.launchctl("kill", "NOSUCH", target).rc == 22


def _executed(launchd: Launchd, label: str) -> bool:
    pid = launchd.properties(label)["pid"]
    return Path(f"/proc/{launchd.init_pid}/root/proc/{pid}/comm").read_text() == "sleep\n"


def test_print(shared: Launchd, label: str) -> None:
    path = shared.load(
        label,
        ["/bin/sleep", "300"],
        KeepAlive=True,
        UserName="nobody",
        EnvironmentVariables={"HOME": "/x"},
        ThrottleInterval=20,
        WorkingDirectory="/usr",
        StandardErrorPath="/dev/null",
    )
    pid = shared.properties(label)["pid"]
    assert shared.launchctl("print", f"system/{label}").out == (
        f"system/{label} = {{\n\tactive count = 1\n\tpath = {path}\n"
        "\ttype = LaunchDaemon\n\tstate = running\n\n"
        "\tprogram = /bin/sleep\n\targuments = {\n\t\t/bin/sleep\n\t\t300\n\t}\n\n"
        "\tworking directory = /usr\n\n\tstderr path = /dev/null\n"
        "\tdefault environment = {\n\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin\n\t}\n\n"
        f"\tenvironment = {{\n\t\tHOME => /x\n\t\tXPC_SERVICE_NAME => {label}\n\t}}\n\n"
        "\tdomain = system\n\tusername = nobody\n\tgroup = nogroup\n\n"
        f"\tminimum runtime = 20\n\texit timeout = 5\n\truns = 1\n\tpid = {pid}\n"
        "\timmediate reason = speculative\n\tforks = 0\n\texecs = 1\n\tlast exit code = (never exited)\n\n"
        "\tspawn type = daemon (3)\n\tjetsam priority = 40\n\n"
        "\tproperties = keepalive | runatload | inferred program\n}\n"
    )


def test_print_domain(shared: Launchd, label: str) -> None:
    shared.load(label, SLEEP, RunAtLoad=True)
    pid = shared.properties(label)["pid"]
    text = shared.launchctl("print", "system").out
    assert text.startswith("system = {\n\ttype = system\n")
    assert f"\n\t\t{pid:>8}      0 \t{label}\n" in text
    assert text.endswith("\t}\n}\n")


def test_list(shared: Launchd, label: str) -> None:
    shared.load(label, ["/bin/sleep", "300"], KeepAlive=True, StandardOutPath="/dev/null")
    pid = shared.properties(label)["pid"]
    table = shared.launchctl("list").out.splitlines()
    assert table[0] == "PID\tStatus\tLabel"
    assert f"{pid}\t0\t{label}" in table
    assert shared.launchctl("list", label).out == (
        '{\n\t"StandardOutPath" = "/dev/null";\n\t"LimitLoadToSessionType" = "System";\n'
        f'\t"Label" = "{label}";\n\t"OnDemand" = false;\n\t"LastExitStatus" = 0;\n\t"PID" = {pid};\n'
        '\t"Program" = "/bin/sleep";\n\t"ProgramArguments" = (\n\t\t"/bin/sleep";\n\t\t"300";\n\t);\n};\n'
    )


def test_raw_exit_status(shared: Launchd, label: str) -> None:
    shared.load(label, "exit 3", RunAtLoad=True)
    assert shared.wait_state(label, "not running")["last exit code"] == "3"
    text = shared.launchctl("list", label).out
    assert '\t"LastExitStatus" = 768;\n' in text
    assert '"PID"' not in text


def test_only_root_changes_anything(shared: Launchd, label: str) -> None:
    path = shared.load(label, SLEEP, RunAtLoad=True)
    target = f"system/{label}"
    before = shared.properties(label)
    assert shared.as_nobody("print", target).out == shared.launchctl("print", target).out
    assert label in shared.as_nobody("list").out
    refused = {
        ("bootstrap", "system", path): (5, EIO + "Try re-running the command as root for richer errors.\n"),
        ("bootout", target): (1, "Boot-out failed: 1: Operation not permitted\n"),
        ("kickstart", "-k", target): (
            1,
            f'Could not kickstart service "{label}": 1: Operation not permitted\n',
        ),
        ("kill", "KILL", target): (1, "Not privileged to signal service.\n"),
        ("disable", target): (1, "Could not disable service: 1: Operation not permitted\n"),
        ("reboot", "halt"): (1, "Could not reboot: 1: Operation not permitted\n"),
    }
    for arguments, (rc, err) in refused.items():
        assert shared.as_nobody(*arguments) == Result(rc, "", err)
    assert shared.properties(label) == before


def test_old_subcommands(shared: Launchd, label: str) -> None:
    path = shared.plist(label, SLEEP)
    assert shared.launchctl("load", path) == Result(0, "", "")
    assert shared.launchctl("start", label).rc == 0
    assert shared.properties(label)["state"] == "running"
    assert shared.launchctl("stop", label).rc == 0
    shared.wait_state(label, "not running")
    assert shared.launchctl("unload", path) == Result(0, "", "")
    shared.wait_gone(label)


def test_small_questions(shared: Launchd) -> None:
    assert shared.launchctl("managername").out == "System\n"
    assert shared.launchctl("error", "119").out == "119: Service is disabled\n"
    assert shared.launchctl("error", "9999").out == "9999: unknown error code\n"
