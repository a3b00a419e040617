"""Host names, the hosts file, power settings, the service account, and the report."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError, OperationValueError
from test_macos_harness import Command, fact, run

from macos.facts import HostNames, MacReport, Names, PowerSettings, ServiceAccount
from macos.facts.host import BEGIN, END, PowerSources
from macos.operations.account import service_account
from macos.operations.names import conflicts, host_name, hosts, with_block
from macos.operations.power import settings
from macos.shell import script_command

# Names


def test_a_host_name_that_is_not_set_is_none() -> None:
    """scutil says `HostName: not set` on stderr and ends with 1."""
    assert fact(HostNames, "HostName=\nLocalHostName=alphas-Mac") == Names(None, "alphas-Mac")
    assert "2>/dev/null" in HostNames().command()


def test_host_name_is_set_once() -> None:
    def calls(current: str) -> list[list[str]]:
        answer = {"scutil --get": [f"HostName={current}", "LocalHostName=x"]}
        return [call for command in run(answer, host_name, host_name="alpha") for call in command.calls()]

    done = ["scutil", "--set", "HostName", "alpha"]
    assert calls("") == [["kept", "name.HostName", "", "alpha"], done]
    assert calls("alpha.local") == [["kept", "name.HostName", "alpha.local", "alpha"], done]
    assert calls("alpha") == []


def test_host_name_must_be_one() -> None:
    with pytest.raises(OperationValueError):
        run({}, host_name, host_name="alpha; reboot")


APPLE = [
    "##",
    "# Host Database",
    "##",
    "127.0.0.1\tlocalhost",
    "255.255.255.255\tbroadcasthost",
    "::1  localhost",
]
BLOCK = ["10.77.0.11 alpha", "10.77.0.12 beta"]
OURS = [*APPLE[:3], BEGIN, *BLOCK, END, *APPLE[3:]]


def run_hosts(
    lines: list[str] | None, stat: str = "-rw-r--r-- root wheel 644 9 /etc/hosts", block: list[str] = BLOCK
) -> list[Command]:
    answer = [] if lines is None else [stat]
    return run({"cat /etc/hosts": [*answer, "## text", *(lines or [])]}, hosts, block="\n".join(block) + "\n")


def written(command: Command) -> list[str]:
    [call] = command.calls()
    return call[5].splitlines()


def test_the_block_is_put_before_the_first_entry_and_the_rest_stays() -> None:
    [command] = run_hosts(APPLE)
    assert written(command) == OURS
    assert command.text == "sh -s files /etc/hosts"


def test_a_block_that_is_right_yields_nothing() -> None:
    assert run_hosts(OURS) == []
    assert run_hosts(OURS, block=[BEGIN, *BLOCK, END]) == []


def test_a_changed_block_is_replaced_where_it_is() -> None:
    [command] = run_hosts([*APPLE, BEGIN, "10.9.9.9 alpha", END, "1.2.3.4 other"])
    assert written(command) == [*APPLE, BEGIN, *BLOCK, END, "1.2.3.4 other"]


def test_a_block_without_its_end_takes_nothing_of_others_with_it() -> None:
    assert with_block([BEGIN, "1.2.3.4 other"], BLOCK) == [BEGIN, *BLOCK, END, "1.2.3.4 other"]


def test_owner_and_mode_stay_and_a_missing_file_is_made() -> None:
    [command] = run_hosts(APPLE, stat="-rw-rw-r-- admin staff 664 9 /etc/hosts")
    assert command.calls()[0][:5] == ["file", "/etc/hosts", "admin", "staff", "0664"]
    [command] = run_hosts(None)
    assert command.calls()[0][:5] == ["file", "/etc/hosts", "root", "wheel", "0644"]
    assert written(command) == [BEGIN, *BLOCK, END]


def test_conflicts_of_other_origin_are_named_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="pyinfra")
    foreign = "127.0.1.1 box alpha # by hand"
    [command] = run_hosts([*APPLE, foreign])
    assert foreign in written(command)
    assert "please remove: 127.0.1.1 box alpha" in caplog.text
    assert conflicts([*OURS, "10.77.0.12 beta", "# 1.1.1.1 beta"], BLOCK) == []
    assert conflicts([*OURS, "::1 beta"], BLOCK) == ["::1 beta"]


# Power

PMSET = """\
System-wide power settings:
Currently in use:
 standby              0
 Sleep On Power Button 1
 womp                 1
 sleep                0 (sleep prevented by caffeinate, powerd)
 disksleep            10
"""


def test_power_settings_with_spaces_and_remarks() -> None:
    found = fact(PowerSettings, PMSET)
    assert found == {
        "standby": "0",
        "Sleep On Power Button": "1",
        "womp": "1",
        "sleep": "0",
        "disksleep": "10",
    }


CUSTOM = """\
Battery Power:
 disksleep            0
 sleep                1
 womp                 0
AC Power:
 disksleep            10
 sleep                0
 womp                 1
"""


def run_power(**values: int) -> list[list[str]]:
    commands = run({"pmset -g custom": CUSTOM, "pmset -g 2": PMSET}, settings, values=values)
    return [call for command in commands for call in command.calls()]


def test_every_power_source_has_settings_of_its_own() -> None:
    assert fact(PowerSources, CUSTOM) == {
        "-b": {"disksleep": "0", "sleep": "1", "womp": "0"},
        "-c": {"disksleep": "10", "sleep": "0", "womp": "1"},
    }
    assert fact(PowerSources, PMSET) == {}


def test_only_what_differs_is_set_and_what_it_was_is_recorded_first() -> None:
    assert run_power(sleep=0, disksleep=0, womp=0) == [
        ["kept", "power.c.disksleep", "10", "0"],
        ["kept", "power.c.womp", "1", "0"],
        ["pmset", "-a", "disksleep", "0", "womp", "0"],
    ]
    assert run_power(sleep=0, womp=1) == []


def test_what_this_mac_does_not_have_is_skipped() -> None:
    assert run_power(autorestart=1) == []
    assert run_power(autorestart=1, disksleep=0)[-1] == ["pmset", "-a", "disksleep", "0"]


def test_settings_must_be_pmsets() -> None:
    with pytest.raises(OperationValueError):
        run({}, settings, values={"sleep; reboot": 1})


# The account

ACCOUNT: dict[str, Any] = {"account": "_raylab", "uid": 250, "gid": 250, "home": "/opt/raylab/state"}
READ = """\
dsAttrTypeNative:IsHidden: 1
NFSHomeDirectory: /opt/raylab/state
PrimaryGroupID: 250
UniqueID: 250
UserShell: /usr/bin/false
## group
PrimaryGroupID: 250
## home
drwxr-x--- _raylab _raylab 750 64 /opt/raylab/state
"""
NOBODY = "## group\n## home\n"


def run_account(answer: str) -> list[list[str]]:
    commands = run({"dscl . -read": answer}, service_account, **ACCOUNT)
    return [call for command in commands for call in command.calls()]


def test_an_unknown_account_is_none() -> None:
    assert fact(ServiceAccount, NOBODY, account="_raylab", home="/x") is None


def test_an_account_whose_values_stand_on_the_next_line() -> None:
    read = READ.replace("NFSHomeDirectory: /opt/raylab/state", "NFSHomeDirectory:\n /opt/ray lab")
    found = fact(ServiceAccount, read, account="_raylab", home="/opt/raylab/state")
    assert found.home == "/opt/ray lab"
    assert found.hidden
    assert found.home_directory.owner == "_raylab"


def test_an_account_that_makes_no_sense_fails_this_mac_only() -> None:
    with pytest.raises(FactProcessError):
        fact(ServiceAccount, READ.replace("UniqueID: 250", "UniqueID: many"), account="_raylab", home="/x")


def test_an_account_that_is_right_yields_nothing() -> None:
    assert run_account(READ) == []


def test_a_new_account() -> None:
    assert [call[0] for call in run_account(NOBODY)] == [
        *("create_group", "create_account", "attribute", "create_home"),
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "call"),
    [
        ("IsHidden: 1", "IsHidden: 0", ["attribute", "IsHidden", "1"]),
        ("dsAttrTypeNative:IsHidden: 1", "No such key: IsHidden", ["attribute", "IsHidden", "1"]),
        ("/usr/bin/false", "/bin/zsh", ["attribute", "UserShell", "/usr/bin/false"]),
        ("state\nPrim", "other\nPrim", ["attribute", "NFSHomeDirectory", "/opt/raylab/state"]),
        ("PrimaryGroupID: 250\nUnique", "PrimaryGroupID: 20\nUnique", ["attribute", "PrimaryGroupID", "250"]),
        ("## group\nPrimaryGroupID: 250", "## group", ["create_group"]),
        ("drwxr-x--- _raylab", "drwxr-x--- root", ["create_home"]),
    ],
)
def test_what_differs_is_repaired(was: str, becomes: str, call: list[str]) -> None:
    assert was in READ
    assert run_account(READ.replace(was, becomes)) == [call]


def test_an_account_with_another_uid_is_never_renumbered() -> None:
    [call] = run_account(READ.replace("UniqueID: 250", "UniqueID: 301"))
    assert call[0] == "die"
    assert "has uid 301 and gid 250 on this Mac, not 250 and 250" in call[1]


@pytest.mark.parametrize("bad", [{"account": "raylab"}, {"uid": 501}, {"account": "_a b"}])
def test_bad_accounts_raise(bad: dict[str, Any]) -> None:
    with pytest.raises(OperationValueError):
        run({}, service_account, **{**ACCOUNT, **bad})


FAKES = {
    "dscl": '[ "$2" != -list ] || cat "$FAKE/$3" 2>/dev/null; echo "dscl $*" >>"$FAKE/log"',
    "sysadminctl": 'echo "sysadminctl $*" >>"$FAKE/log"; echo "oops" >&2',
    "createhomedir": 'echo "createhomedir $*" >>"$FAKE/log"',
    "chown": 'echo "chown $*" >>"$FAKE/log"',
    "id": 'grep -q "^sysadminctl" "$FAKE/log" && echo "$MADE"',
}


@pytest.mark.parametrize("shell", ["bash", "dash"])
class TestAccountScript:
    """scripts/account.sh for real."""

    def script(self, folder: Path, shell: str, *calls: str, made: str = "250") -> tuple[int, str, str]:
        (folder / "bin").mkdir()
        (folder / "log").touch()
        for name, body in FAKES.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / "bin" / name).chmod(0o755)
        variables: dict[str, str | int] = {**ACCOUNT, "home": str(folder / "home")}
        command = script_command(["account"], [[call] for call in calls], [], variables)
        environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "FAKE": str(folder), "MADE": made}
        done = subprocess.run(
            [shell, "-s"],
            input=str(command.connector_arguments["_stdin"]),
            env=environment,
            capture_output=True,
            text=True,
            timeout=10,
        )
        return done.returncode, done.stderr, (folder / "log").read_text()

    def test_makes_group_account_and_home(self, tmp_path: Path, shell: str) -> None:
        code, said, log = self.script(tmp_path, shell, "create_group", "create_account", "create_home")
        assert (code, said) == (0, "")
        assert "dscl . -create /Groups/_raylab PrimaryGroupID 250\n" in log
        assert f"sysadminctl -addUser _raylab -UID 250 -GID 250 -home {tmp_path}/home" in log
        assert "createhomedir -c -u _raylab" in log
        assert (tmp_path / "home").stat().st_mode & 0o777 == 0o750

    def test_sysadminctl_ends_with_0_on_error(self, tmp_path: Path, shell: str) -> None:
        code, said, log = self.script(tmp_path, shell, "create_account", "create_home", made="")
        assert code == 1
        assert said == "sysadminctl did not make _raylab: oops\n"
        assert "createhomedir" not in log

    def test_a_number_that_is_taken_fails(self, tmp_path: Path, shell: str) -> None:
        # What `dscl . -list /Users UniqueID` prints.
        (tmp_path / "Users").write_text("root    0\n_other  250\n")
        code, said, log = self.script(tmp_path, shell, "create_account")
        assert code == 1
        assert said == "uid 250 belongs to _other on this Mac: choose another for _raylab\n"
        assert "sysadminctl" not in log


def test_the_report_is_read_by_the_fleet() -> None:
    found = fact(MacReport, "", mac="alpha")
    assert found.name == "alpha"
