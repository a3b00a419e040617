"""The limit of GPU memory on a simulated Mac: set by a job that runs once at every start."""

from __future__ import annotations

import plistlib
import time
from pathlib import Path

from fleet.jobs import WIRED_LIMIT, limits_job
from fleet.layout import LIBEXEC, LIMITS_LABEL, LOG, plist_path
from macos.facts import LaunchdJob
from macos.operations.launchd import DIGEST, _job_calls, job_plist
from macos.shell import script_command

from .conftest import World

PROGRAM = Path(__file__).resolve().parents[2] / "templates/libexec/raylab-limits"


def converge(world: World, limit: int) -> list[str]:
    """What the operation launchd.job does on m5, by name; done for real."""
    fact = LaunchdJob()
    found = fact.process(world.mac("m5", f"sudo sh <<'END'\n{fact.command(LIMITS_LABEL)}\nEND").stdout.splitlines())
    wanted = job_plist(LIMITS_LABEL, limits_job(limit).plist)
    content = plistlib.dumps(wanted, sort_keys=True).decode()
    calls = _job_calls(LIMITS_LABEL, content, wanted["EnvironmentVariables"][DIGEST], False, found)
    laid = [
        *(["directory", path, "root", "wheel", "0755"] for path in (LIBEXEC, LOG)),
        ["file", f"{LIBEXEC}/raylab-limits", "root", "wheel", "0755", PROGRAM.read_text()],
    ]
    variables: dict[str, str | int] = {
        "label": LIMITS_LABEL, "plist": plist_path(LIMITS_LABEL), "drain": 10, "settle": 0, "patience": 20, "logs": "",
    }  # fmt: skip
    command = script_command(["files", "launchd"], [*laid, *calls], [], variables)
    ran = world.lab("ssh", "m5", "sudo", "sh", "-s", stdin=str(command.connector_arguments["_stdin"]))
    assert (ran.returncode, ran.stderr) == (0, "")
    return [call[0] for call in calls]


def limit(world: World) -> str:
    return world.mac("m5", f"sysctl -n {WIRED_LIMIT}").stdout.strip()


def test_the_limit_is_set_at_once_and_at_every_start_and_no_run_repeats_it(macs: World) -> None:
    assert converge(macs, 400000) == ["file", "enable", "load", "finishes"]
    assert limit(macs) == "400000"
    assert converge(macs, 400000) == []
    macs.ok("reboot", "m5")
    # sshd may be up before the job has run.
    deadline = time.monotonic() + 20
    while limit(macs) != "400000":
        assert time.monotonic() < deadline
    assert converge(macs, 400000) == []
    assert converge(macs, 300000) == ["file", "enable", "unload", "load", "finishes"]
    assert limit(macs) == "300000"
    macs.mac("m5", f"sudo launchctl bootout system/{LIMITS_LABEL}; sudo rm {plist_path(LIMITS_LABEL)}")
    macs.ok("reboot", "m5")
    assert limit(macs) == "0"
