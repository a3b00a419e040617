"""The firewall's role: from the settings and what pf prints to commands; and its programs, with a pfctl of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import commands_of, make_state

from fleet.firewall import make_rules
from fleet.settings import Fleet, Mac
from macos.shell import script_command
from roles import context, firewall

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "templates/libexec/raylab-firewall"
LOAD = "/opt/raylab/libexec/raylab-firewall com.apple/raylab /opt/raylab/etc/firewall.pf "
LOAD += "/var/run/io.raylab.firewall.token"
NO_JOB = "## print\n## disabled\n## plist\n"
JOB = "## print\nsystem/x = {\n\tpath = /x\n\tstate = not running\n}\n## disabled\n## plist\n"
STOCK = '## main\nanchor "com.apple/*" all\n'


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet((Mac("@fake/alpha", "head", "192.168.1.20"), Mac("beta", "worker", "192.168.1.21")), name="lab")
    context.remember(made)
    yield made
    context._fleets.clear()
    context._answers.clear()


def filtering(fleet: Fleet) -> str:
    """What the fact reads where everything is as it should be."""
    return (
        "## info\nStatus: Enabled for 0 days 00:00:05\n## references\nTOKENS:\nPID\n1 pfctl 77 0 days 00:00:05\n"
        f'{STOCK}## rules\nblock return in quick label "raylab:{make_rules(fleet, fleet.head).digest}"\n'
        "## token\n77\n## job\nsystem/io.raylab.firewall = {\n"
    )


def commands(pf: str, job: str = NO_JOB) -> list[str]:
    state = make_state({"pfctl -s info": pf.splitlines(), "launchctl print-disabled": job.splitlines()})
    return commands_of(state, firewall.strangers_kept_out)


def test_a_new_mac_gets_rules_and_the_job_that_keeps_them(fleet: Fleet) -> None:
    assert commands(STOCK) == [
        "sh -s files /opt/raylab/libexec/raylab-firewall /opt/raylab/etc/firewall.pf",
        LOAD,
        "sh -s launchd io.raylab.firewall file enable load finishes",
    ]


def test_rules_that_hold_are_left_alone(fleet: Fleet) -> None:
    assert LOAD not in commands(filtering(fleet))


@pytest.mark.parametrize("gone", ["Status: Enabled", "77 0 days", "raylab:"])
def test_rules_that_somebody_has_taken_out_are_loaded_again(fleet: Fleet, gone: str) -> None:
    assert LOAD in commands(filtering(fleet).replace(gone, "x"))


def test_without_a_firewall_nothing_of_it_stays(fleet: Fleet) -> None:
    context.remember(replace(fleet, firewall=False))
    assert commands(filtering(fleet), JOB) == [
        "sh -s launchd io.raylab.firewall unload",
        "sh -s firewall com.apple/raylab",
    ]
    assert commands(STOCK) == []


def asked(ssh_port: str) -> list[str]:
    """The lines of what stands in the way."""
    context._answers.clear()
    state = make_state({"pfctl -s info": STOCK.splitlines(), "SSH_CONNECTION": [ssh_port]})
    with ctx_state.use(state), ctx_config.use(state.config), ctx_host.use(next(iter(state.inventory))):
        return [problem.line() for problem in firewall.problems()]


def test_ssh_is_asked_for_before_anything_is_touched(fleet: Fleet) -> None:
    assert asked("22") == asked("") == []
    [line] = asked("10200")
    assert "SSH reaches this Mac by port 10200" in line
    context.remember(replace(fleet, firewall=False))
    assert asked("10200") == []


PFCTL = """#!/bin/sh
echo "$*" >>"$0.log"
echo 'No ALTQ support in kernel' >&2
case $* in
*' -f '*) [ ! -e "$0.busy" ] || { rm "$0.busy"; echo 'pfctl: /dev/pf: Resource busy' >&2; exit 1; }
    ! grep -q nonsense "$4" || { echo "$4:1: syntax error" >&2; exit 1; } ;;
'-s info') [ -e "$0.on" ] && echo 'Status: Enabled for 0 days 00:00:05' || echo 'Status: Disabled' ;;
'-s References') echo 'PID NAME TOKEN'; sed 's/.*/12   pfctl   &   0 days 00:00:00/' "$0.on" ;;
-E) echo 77 >"$0.on"; printf 'pf enabled\\nToken : 77\\n' >&2 ;;
'-X 77') rm "$0.on"; echo 'pf disabled' >&2 ;;
-X*) echo 'pfctl: pf: token invalid' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def pfctl(tmp_path: Path) -> Path:
    path = tmp_path / "pfctl"
    path.write_text(PFCTL)
    path.chmod(0o755)
    (tmp_path / "rules").write_text("block in all\n")
    return path


def load(pfctl: Path) -> subprocess.CompletedProcess[str]:
    folder = pfctl.parent
    command = ["sh", str(PROGRAM), "com.apple/raylab", str(folder / "rules"), str(folder / "token")]
    return subprocess.run(command, env={"PFCTL": str(pfctl), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


def said(pfctl: Path) -> list[str]:
    log = Path(f"{pfctl}.log")
    lines = log.read_text().splitlines()
    log.unlink()
    return [line.replace(f"{pfctl.parent}/", "") for line in lines]


def test_the_program_loads_and_holds_pf_on_once(pfctl: Path) -> None:
    ran = load(pfctl)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert said(pfctl) == ["-a com.apple/raylab -f rules", "-s info", "-E", "-s info", "-s References"]
    assert (pfctl.parent / "token").read_text() == "77\n"
    assert (pfctl.parent / "token").stat().st_mode & 0o777 == 0o600
    assert load(pfctl).returncode == 0
    assert said(pfctl) == ["-a com.apple/raylab -f rules", "-s info", "-s References"]


def test_a_token_of_before_the_restart_is_none(pfctl: Path) -> None:
    (pfctl.parent / "token").write_text("55\n")
    Path(f"{pfctl}.on").write_text("99\n")
    assert load(pfctl).returncode == 0
    assert "-E" in said(pfctl)
    assert (pfctl.parent / "token").read_text() == "77\n"


def test_another_program_that_uses_pf_is_waited_for(pfctl: Path) -> None:
    Path(f"{pfctl}.busy").touch()
    assert load(pfctl).returncode == 0
    assert said(pfctl)[:2] == ["-a com.apple/raylab -f rules"] * 2


def test_rules_that_pf_does_not_take_are_told(pfctl: Path) -> None:
    (pfctl.parent / "rules").write_text("nonsense\n")
    ran = load(pfctl)
    assert ran.returncode == 1
    assert "rules:1: syntax error" in ran.stderr
    assert said(pfctl) == ["-a com.apple/raylab -f rules"]


def give_back(pfctl: Path) -> subprocess.CompletedProcess[str]:
    variables: dict[str, str | int] = {"pfctl": str(pfctl), "token": str(pfctl.parent / "token")}
    command = script_command(["files", "firewall"], [["flushed", "com.apple/raylab"], ["released"]], [], variables)
    stdin = str(command.connector_arguments["_stdin"])
    return subprocess.run(["sh", "-s"], input=stdin, capture_output=True, text=True)


def test_the_hold_is_given_back(pfctl: Path) -> None:
    load(pfctl)
    said(pfctl)
    ran = give_back(pfctl)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert said(pfctl) == ["-a com.apple/raylab -F rules", "-X 77"]
    assert not (pfctl.parent / "token").exists()


def test_a_hold_that_is_gone_already_is_no_fault(pfctl: Path) -> None:
    (pfctl.parent / "token").write_text("55\n")
    assert give_back(pfctl).returncode == 0
    assert not (pfctl.parent / "token").exists()
