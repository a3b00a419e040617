"""Settings of the kernel, and the job that sets them at every start."""

from __future__ import annotations

import hashlib
import plistlib
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.exceptions import OperationValueError
from test_macos_harness import Command, run

from fleet.jobs import WIRED_LIMIT, limits_job
from fleet.layout import LIMITS_LABEL, plist_path
from macos.operations.kernel import given_up, setting
from macos.operations.launchd import DIGEST, job, job_plist

ROOT = Path(__file__).resolve().parents[2]
PLIST = limits_job(114688).plist


RECORD = "kernel.iogpu.wired_limit_mb"


def calls(now: str, value: int) -> list[list[str]]:
    commands = run({"sysctl -n": [now]}, setting, setting=WIRED_LIMIT, value=value)
    return [call for command in commands for call in command.calls()]


def test_a_limit_is_set_once_and_what_it_was_is_recorded_first() -> None:
    assert calls("0", 114688) == [["kept", RECORD, "0", "114688"], ["sysctl", "iogpu.wired_limit_mb=114688"]]
    assert calls("114688", 114688) == []


def test_a_mac_without_the_setting_fails_at_it() -> None:
    assert calls("", 114688)[-1] == ["sysctl", "iogpu.wired_limit_mb=114688"]


def test_it_must_be_a_setting() -> None:
    with pytest.raises(OperationValueError):
        run({}, setting, setting="a; reboot", value=1)


def printed(last_exit: str, wanted: dict[str, object] | None = None) -> str:
    """What the fact LaunchdJob reads of a job that has run and ended."""
    plist = wanted or job_plist(LIMITS_LABEL, PLIST)
    content = plistlib.dumps(plist, sort_keys=True)
    path = plist_path(LIMITS_LABEL)
    return (
        f"## print\nsystem/{LIMITS_LABEL} = {{\n\tactive count = 0\n\tpath = {path}\n\tstate = not running\n"
        f"\tenvironment = {{\n\t\t{DIGEST} => {plist['EnvironmentVariables'][DIGEST]}\n\t}}\n"  # type: ignore[index]
        f"\truns = 1\n\tlast exit code = {last_exit}\n}}\n## disabled\n\tdisabled services = {{\n\t}}\n"
        f"## plist\n-rw-r--r-- root wheel 644 900 {path}\n{hashlib.sha256(content).hexdigest()}  {path}\n"
    )


NO_JOB = "## print\n## disabled\n## plist\n"


def converge(answer: str) -> list[Command]:
    return run({"launchctl print ": answer}, job, label=LIMITS_LABEL, plist=PLIST)


def test_the_job_that_has_run_and_ended_is_left_alone() -> None:
    assert converge(printed("0")) == []


def test_the_job_is_installed_and_ends_well() -> None:
    [command] = converge(NO_JOB)
    assert command.verbs() == ["file", "enable", "load", "finishes"]
    plist = plistlib.loads(command.calls()[0][5].encode())
    assert plist["ProgramArguments"] == ["/opt/raylab/libexec/raylab-limits", "iogpu.wired_limit_mb=114688"]
    assert plist["RunAtLoad"] is True
    # As root, and once.
    assert not {"UserName", "KeepAlive"} & plist.keys()


def test_a_job_that_failed_at_the_last_start_runs_again() -> None:
    [command] = converge(printed("1"))
    assert command.verbs() == ["enable", "unload", "load", "finishes"]


def test_another_limit_is_another_job() -> None:
    [command] = converge(printed("0", job_plist(LIMITS_LABEL, limits_job(98304).plist)))
    assert command.verbs() == ["file", "enable", "unload", "load", "finishes"]


def gives_up(answer: str, now: str, record: tuple[str, ...] = ()) -> list[list[str]]:
    responses = {"state/before": list(record), "launchctl print ": answer, "sysctl -n": [now]}
    commands = run(responses, given_up, setting=WIRED_LIMIT, label=LIMITS_LABEL)
    return [call for command in commands for call in command.calls()]


def test_the_limit_goes_back_to_macos_with_the_job() -> None:
    assert gives_up(printed("0"), "114688") == [["sysctl", "iogpu.wired_limit_mb=0"]]
    assert gives_up(printed("0"), "0") == []


def test_the_limit_of_before_is_restored_even_when_the_job_is_gone_already() -> None:
    record = (f"## {RECORD}", "was:65536", "ours:114688")
    for job_state in (printed("0"), NO_JOB):
        assert gives_up(job_state, "114688", record) == [["sysctl", "iogpu.wired_limit_mb=65536"]]
        # It is restored already, or somebody else has set it.
        assert gives_up(job_state, "65536", record) == gives_up(job_state, "9000", record) == []


def test_a_limit_that_somebody_else_has_set_stays() -> None:
    assert gives_up(NO_JOB, "65536") == []


def test_the_program_hands_its_arguments_to_sysctl(tmp_path: Path) -> None:
    text = (ROOT / "templates/libexec/raylab-limits").read_text()
    program = tmp_path / "raylab-limits"
    program.write_text(text.replace("/usr/sbin/sysctl", "/bin/echo"))
    ran = subprocess.run(["sh", program, "a=1", "b=2"], capture_output=True, text=True, check=True)
    assert ran.stdout == "a=1 b=2\n"
