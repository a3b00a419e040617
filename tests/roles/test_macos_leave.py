"""What raylab takes off a Mac, and what it restores: operations, facts, and their scripts for real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.api.exceptions import OperationValueError
from test_macos_harness import run

from fleet.before import MADE, PARENT, Record
from fleet.layout import ACCOUNT, BEFORE, HOME, LABELS, LIMITS_LABEL, PREFIX, STATE
from macos.facts.before import Before
from macos.facts.traces import Found, Leftovers, Traces
from macos.operations import account, before, exclusions, launchd, leave, names, power
from macos.shell import script_command

CUSTOM = "AC Power:\n sleep                0\n womp                 1\n"
POWER = ["## power.c.sleep", "was:5", "ours:0", "## power.c.womp", "was:0", "ours:0"]


def calls(responses: dict[str, object], operation: object, **arguments: object) -> list[list[str]]:
    commands = run(responses, operation, **arguments)  # type: ignore[arg-type]
    return [call for command in commands for call in command.calls()]


def test_a_power_setting_that_somebody_has_changed_since_stays() -> None:
    assert calls({"state/before": POWER, "pmset -g custom": CUSTOM}, power.restored) == [
        ["pmset", "-c", "sleep", "5"],
        ["let_go", "power.c.sleep"],
        ["let_go", "power.c.womp"],
    ]
    assert calls({"state/before": []}, power.restored) == []


@pytest.mark.parametrize(
    ("was", "now", "restored"),
    [
        ("mine.example", "alpha", [["scutil", "--set", "HostName", "mine.example"]]),
        ("", "alpha", [["scutil", "--set", "HostName", ""]]),
        ("mine.example", "theirs", []),
        ("mine.example", "", []),
    ],
)
def test_the_host_name_is_restored(was: str, now: str, restored: list[list[str]]) -> None:
    answers = {"state/before": ["## name.HostName", f"was:{was}", "ours:alpha"], "scutil --get": [f"HostName={now}"]}
    assert calls(answers, names.host_name_restored) == [*restored, ["let_go", "name.HostName"]]
    assert calls({"state/before": []}, names.host_name_restored) == []


def test_our_lines_leave_the_hosts_file() -> None:
    lines = ["127.0.0.1 localhost", "# raylab begin", "10.0.0.1 alpha", "# raylab end", "", "10.0.0.9 printer"]
    answer = {"cat /etc/hosts": ["-rw-rw-r-- admin staff 664 9 /etc/hosts", "## text", *lines]}
    text = "127.0.0.1 localhost\n\n10.0.0.9 printer\n"
    assert calls(answer, names.hosts_restored) == [["file", "/etc/hosts", "admin", "staff", "0664", text]]
    assert calls({"cat /etc/hosts": ["## text", lines[0]]}, names.hosts_restored) == []


def test_the_folder_around_ours_is_ours_only_where_there_was_none() -> None:
    assert calls({"stat -f": []}, before.parent) == [["kept", PARENT, "", MADE]]
    assert calls({"stat -f": ["drwxr-xr-x root wheel 755 9 /opt"]}, before.parent) == []


ACCOUNT_READ = (
    f"NFSHomeDirectory: {HOME}\nPrimaryGroupID: 390\nUniqueID: 390\nUserShell: /usr/bin/false\n"
    "## group\nPrimaryGroupID: 390\n## home\n"
)


def test_only_our_account_goes() -> None:
    ours = {"account": ACCOUNT, "uid": 390, "home": HOME}
    assert calls({"dscl . -read": ACCOUNT_READ}, account.absent, **ours) == [
        ["deleted", "Groups"],
        ["deleted", "Users"],
    ]
    assert calls({"dscl . -read": ACCOUNT_READ}, leave.processes_ended, **ours) == [["ended"]]
    for others in (ACCOUNT_READ.replace(HOME, "/Users/x"), ACCOUNT_READ.replace("UniqueID: 390", "UniqueID: 501")):
        assert calls({"dscl . -read": others}, account.absent, **ours) == []
        assert calls({"dscl . -read": others}, leave.processes_ended, **ours) == []


def test_every_job_goes_also_one_that_this_version_does_not_know() -> None:
    found = ["job io.raylab.later", *(f"job {label}" for label in (*LABELS, LIMITS_LABEL))]
    loaded = "## print\nsystem/x = {\n\tpath = /x\n\tstate = running\n}\n## disabled\n## plist\n"
    answers = {"state/thunderbolt": found, "launchctl print ": loaded}
    commands = run(answers, launchd.all_absent, first=tuple(reversed(LABELS)), besides=(LIMITS_LABEL,))
    order = [command.text.split()[3] for command in commands]
    assert order == [*reversed(LABELS), "io.raylab.later"]


def test_the_state_goes_last() -> None:
    there = {"state/thunderbolt": [f"folder {path}" for path in (f"{PREFIX}/etc", STATE, f"{PREFIX}/weights", PREFIX)]}
    assert calls(there, leave.folders_absent) == [["absent", f"{PREFIX}/etc"], ["absent", f"{PREFIX}/weights"]]
    assert calls(there, leave.folders_absent, kept=[f"{PREFIX}/weights"]) == [["absent", f"{PREFIX}/etc"]]
    assert calls({**there, "state/before": []}, leave.state_absent) == [["absent", STATE], ["emptied", PREFIX]]
    made = {**there, "state/before": [f"## {PARENT}", "was:", f"ours:{MADE}"]}
    assert calls(made, leave.state_absent)[-1] == ["emptied", "/opt"]
    assert calls({"state/thunderbolt": []}, leave.state_absent) == []


def test_leftovers_are_sought_in_folders_only() -> None:
    found = ["/tmp/engine", "/var/tmp/x", "/tmp/raylab-0123456789ab", "/tmp/raylab-mine"]
    assert calls({"-user 390": found}, leave.leftovers_absent, uid=390, folders=["/tmp", "/var/tmp", "/dev/shm"]) == [
        ["cleared", "/tmp"], ["cleared", "/var/tmp"], ["rm", "-rf", "/tmp/raylab-0123456789ab"]
    ]  # fmt: skip
    assert calls({"-user 390": []}, leave.leftovers_absent, uid=390, folders=["/tmp"]) == []
    with pytest.raises(OperationValueError):
        run({}, leave.leftovers_absent, uid=390, folders=["/"])


def test_only_folders_that_are_excluded_are_included_again() -> None:
    answer = {"tmutil": [f"[Excluded]    {PREFIX}/depot", f"[Included]    {PREFIX}/weights"]}
    folders = [f"{PREFIX}/depot", f"{PREFIX}/weights"]
    assert calls(answer, exclusions.included, directories=folders) == [["included", f"{PREFIX}/depot"]]


# The scripts, for real


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    shell = BsdShell(request.param, tmp_path, ())
    shell.command("chown", ":")
    return shell


def test_what_was_recorded_first_stays(mac: BsdShell) -> None:
    assert mac.fact(Before) == {}
    for was, ours in (("5", "0"), ("0", "1")):
        assert mac.script(["files", "before"], [["kept", "power.c.sleep", was, ours]], records=BEFORE) == (0, "")
    assert mac.script(["files", "before"], [["kept", "name.HostName", "", "alpha"]], records=BEFORE) == (0, "")
    assert mac.fact(Before) == {"name.HostName": Record("", "alpha"), "power.c.sleep": Record("5", "1")}
    assert mac.script(["files", "before"], [["let_go", "name.HostName"]], records=BEFORE) == (0, "")
    assert list(mac.fact(Before)) == ["power.c.sleep"]


def test_a_mac_without_raylab_has_no_traces(mac: BsdShell) -> None:
    mac.prefix.rmdir()
    for name in ("launchctl", "dscl"):
        mac.command(name, "exit 56")
    assert not mac.fact(Traces)


def test_traces_are_found_wherever_they_are(mac: BsdShell) -> None:
    mac.command(
        "launchctl",
        "case $1 in list) printf 'PID\\tStatus\\tLabel\\n-\\t0\\tio.raylab.ray\\n7\\t0\\tioxraylab.no\\n' ;;\n"
        """print-disabled) printf '\\t"io.raylab.serve" => disabled\\n\\t"io.raylab.store" => enabled\\n' ;; esac""",
    )
    mac.command("dscl", "true")
    for path in ("state/thunderbolt/en2", "etc/x", ".removed-a/x"):
        (mac.prefix / path).mkdir(parents=True)
    folders = (f"{PREFIX}/etc", STATE, f"{PREFIX}/.removed-a", PREFIX)
    found = mac.fact(Traces)
    assert found == Found(("io.raylab.ray", "io.raylab.serve"), folders, found.hosts, account=True, ports=("en2",))


def test_what_is_the_account_s_goes_and_what_is_others_stays(mac: BsdShell, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    shared = tmp_path / "shared"
    for path, uid in (("ours/deep/file", 390), ("mixed/theirs", 501), ("mixed/ours", 390), ("theirs", 501)):
        file = shared / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.chown(file, uid, uid)
    for folder in ("ours/deep", "ours", "mixed"):
        os.chown(shared / folder, 390, 390)
    assert sorted(mac.fact(Leftovers, uid=390, folders=[str(shared)]))[:2] == [f"{shared}/mixed", f"{shared}/ours"]
    calls_made = [["cleared", str(shared)], ["cleared", f"{shared}/nothing"]]
    assert mac.script(["files", "leave"], calls_made, uid=390, patience=1) == (0, "")
    assert sorted(str(path.relative_to(shared)) for path in shared.rglob("*")) == ["mixed", "mixed/theirs", "theirs"]


def test_processes_that_do_not_want_to_end_are_killed(mac: BsdShell, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can run something as somebody else")
    uid = 40390
    stubborn = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with subprocess.Popen(["bash", "-c", stubborn], user=uid, group=uid, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        # Somebody has to ask for how it ended, as launchd does for a process without parents.
        command = script_command(["files", "leave"], [["ended"]], [], {"uid": uid, "patience": 1, "poll": "0.1"})
        ending = subprocess.Popen([mac.name, "-s"], stdin=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
        assert ending.stdin
        ending.stdin.write(str(command.connector_arguments["_stdin"]))
        ending.stdin.close()
        process.wait(timeout=30)
        assert ending.wait(timeout=30) == 0


def test_an_account_that_macos_keeps_is_told(mac: BsdShell) -> None:
    mac.command("dscl", 'case $2 in -delete) echo "$4 eDSPermissionError" >&2; exit 40 ;; esac')
    code, said = mac.script(["account"], [["deleted", "Users"]], account=ACCOUNT)
    assert (code, "Allow full disk access for remote users" in said) == (1, True)
    mac.command("dscl", "exit 56")
    assert mac.script(["account"], [["deleted", "Users"]], account=ACCOUNT) == (0, "")


def test_a_folder_that_stays_excluded_is_told(mac: BsdShell) -> None:
    mac.command("tmutil", 'case $1 in isexcluded) echo "[Excluded]    $2" ;; esac')
    code, said = mac.script(["files", "exclusions"], [["included", f"{PREFIX}/depot"]])
    assert (code, said.startswith(f"{PREFIX}/depot stays excluded")) == (0, True)
    mac.command("tmutil", 'case $1 in isexcluded) echo "[Included]    $2" ;; esac')
    assert mac.script(["files", "exclusions"], [["included", f"{PREFIX}/depot"]]) == (0, "")
