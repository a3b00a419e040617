"""The fact LaunchdJob and the operations of macos.operations.launchd: facts in, commands out."""

from __future__ import annotations

import hashlib
import plistlib
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError
from test_macos_harness import Command, fact, run

from macos.facts import LaunchdJob
from macos.operations.launchd import DIGEST, absent, job, job_plist, reload, restart, start, stop

LABEL = "io.raylab.ray"
PATH = f"/Library/LaunchDaemons/{LABEL}.plist"
PLIST: dict[str, Any] = {
    "ProgramArguments": ["/opt/raylab/libexec/raylab-ray", "--block"],
    "KeepAlive": True,
    "ExitTimeOut": 120,
    "EnvironmentVariables": {"LANG": "en_US.UTF-8"},
    "StandardOutPath": "/opt/raylab/log/ray.log",
    "StandardErrorPath": "/opt/raylab/log/ray.log",
}
WANTED = job_plist(LABEL, PLIST)
CONTENT = plistlib.dumps(WANTED, sort_keys=True)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

PRINTED = """\
system/io.raylab.ray = {
	active count = 1
	path = /Library/LaunchDaemons/io.raylab.ray.plist
	type = LaunchDaemon
	state = running

	program = /opt/raylab/libexec/raylab-ray
	arguments = {
		/opt/raylab/libexec/raylab-ray
		pid = 1
	}

	stdout path = /opt/raylab/log/ray.log
	stderr path = /opt/raylab/log/ray.log
	inherited environment = {
		RAYLAB_DIGEST => inherited
	}

	default environment = {
		PATH => /usr/bin:/bin:/usr/sbin:/sbin
	}

	environment = {
		RAYLAB_DIGEST => DIGEST
		OPTIONS => a => b = c
		XPC_SERVICE_NAME => io.raylab.ray
	}

	domain = system
	username = _raylab
	minimum runtime = 10
	exit timeout = 120
	runs = 3
	pid = 54109
	immediate reason = speculative
	last exit code = (never exited)

	spawn type = daemon (3)

	properties = keepalive | runatload
}""".replace("DIGEST\n", WANTED["EnvironmentVariables"][DIGEST] + "\n")


def answer(
    printed: str = PRINTED,
    sha256: str | None = SHA256,
    stat: str = f"-rw-r--r-- root wheel 644 900 {PATH}",
    disabled: str = "enabled",
) -> str:
    """What the fact's command prints; `sha256=None`: no plist."""
    plist = f"{stat}\n{sha256}  {PATH}" if sha256 else ""
    return (
        f"## print\n{printed}\n## disabled\n\tdisabled services = {{\n"
        f'\t\t"com.x" => disabled\n\t\t"{LABEL}" => {disabled}\n\t}}\n## plist\n{plist}\n'
    )


def without_pid(printed: str = PRINTED) -> str:
    return printed.replace("\tpid = 54109\n", "").replace("state = running", "state = spawn scheduled")


def converge(answered: str, **arguments: object) -> list[Command]:
    return run({"launchctl print ": answered}, job, **{"label": LABEL, "plist": PLIST, **arguments})


# The fact


def test_reads_only_lines_with_one_tab_and_the_block_environment() -> None:
    found = fact(LaunchdJob, answer(), label=LABEL)
    assert found.loaded
    assert (found.state, found.pid, found.path, found.runs) == ("running", 54109, PATH, 3)
    assert (found.last_exit, found.exit_timeout, found.throttle) == ("(never exited)", 120, 10)
    assert found.environment["OPTIONS"] == "a => b = c"
    assert found.environment[DIGEST] == WANTED["EnvironmentVariables"][DIGEST]
    assert "PATH" not in found.environment
    assert found.logs == ("/opt/raylab/log/ray.log",)
    assert found.plist.sha256 == SHA256
    assert not found.disabled


def test_a_job_that_launchd_does_not_know() -> None:
    found = fact(LaunchdJob, answer(printed="Bad request.", sha256=None), label=LABEL)
    assert not found.loaded
    assert found.plist is None
    assert found.pid is None


@pytest.mark.parametrize(("word", "is_disabled"), [("disabled", True), ("true", True), ("enabled", False)])
def test_disabled_is_read_from_print_disabled_in_both_spellings(word: str, is_disabled: bool) -> None:
    assert fact(LaunchdJob, answer(disabled=word), label=LABEL).disabled is is_disabled


def test_a_throttled_job_has_no_pid() -> None:
    found = fact(LaunchdJob, answer(without_pid()), label=LABEL)
    assert (found.state, found.pid) == ("spawn scheduled", None)


@pytest.mark.parametrize(
    ("line", "last_exit"),
    [
        ("last exit code = 78: EX_CONFIG", "78: EX_CONFIG"),
        ("last terminating signal = Terminated: 15", "Terminated: 15"),
    ],
)
def test_reads_how_it_ended(line: str, last_exit: str) -> None:
    printed = PRINTED.replace("last exit code = (never exited)", line)
    assert fact(LaunchdJob, answer(printed), label=LABEL).last_exit == last_exit


def test_the_fact_cannot_fail_because_of_the_job() -> None:
    assert LaunchdJob().command(label=LABEL).endswith("; true")


# The digest


def test_the_digest_covers_the_plist_and_what_it_depends_on() -> None:
    def digest(plist: dict[str, Any], *depends: str) -> str:
        return str(job_plist(LABEL, plist, depends)["EnvironmentVariables"][DIGEST])

    assert digest(PLIST, "a") == digest(dict(reversed(PLIST.items())), "a")
    different = [digest(PLIST), digest(PLIST, "a"), digest(PLIST, "b"), digest(PLIST, "a", "b")]
    different += [digest(PLIST, "ab"), digest(PLIST, "b", "a"), digest({**PLIST, "Nice": 1})]
    assert len(set(different)) == len(different)


def test_contents_never_leave_this_machine() -> None:
    [command] = converge(answer(sha256=None), depends=["token-s3cret"])
    assert "token-s3cret" not in command.text + command.stdin


@pytest.mark.parametrize(
    "bad",
    [
        {**PLIST, "Label": "other"},
        {**PLIST, "ProgramArguments": ["python"]},
        {"KeepAlive": True},
        {**PLIST, "EnvironmentVariables": {"A": 1}},
    ],
)
def test_bad_plists_raise(bad: dict[str, Any]) -> None:
    with pytest.raises(OperationValueError, match=LABEL):
        job_plist(LABEL, bad)


# job


def test_a_job_that_is_well_yields_nothing() -> None:
    assert converge(answer()) == []


def test_a_new_job_is_written_enabled_loaded_and_watched() -> None:
    [command] = converge(answer(printed="", sha256=None))
    assert command.text == f"sh -s launchd {LABEL} file enable load stays_up"
    call = command.calls()[0]
    assert call[:5] == ["file", PATH, "root", "wheel", "0644"]
    assert plistlib.loads(call[5].encode()) == {**WANTED, "Label": LABEL}
    assert "    drain=130\n" in command.stdin
    assert "    settle=11\n" in command.stdin
    assert "    logs=/opt/raylab/log/ray.log\n" in command.stdin


def test_other_bytes_reload_it() -> None:
    [command] = converge(answer(sha256="0" * 64))
    assert command.verbs() == ["file", "enable", "unload", "load", "stays_up"]


def test_what_it_depends_on_changed_and_an_earlier_run_wrote_the_plist_but_never_reloaded() -> None:
    new = job_plist(LABEL, PLIST, ["new token"])
    on_disk = hashlib.sha256(plistlib.dumps(new, sort_keys=True)).hexdigest()
    [command] = converge(answer(sha256=on_disk), depends=["new token"])
    assert command.verbs() == ["enable", "unload", "load", "stays_up"]


def test_loaded_from_another_path_reloads_it() -> None:
    printed = PRINTED.replace("path = /Library", "path = /Users/admin/Library")
    [command] = converge(answer(printed))
    assert command.verbs() == ["enable", "unload", "load", "stays_up"]


@pytest.mark.parametrize("stat", ["-rw-r--r-- admin staff 644 9 ", "-rw-rw-r-- root wheel 664 9 "])
def test_owner_or_mode_alone_interrupts_nothing(stat: str) -> None:
    [command] = converge(answer(stat=stat + PATH))
    assert command.verbs() == ["file", "enable", "stays_up"]


def test_no_pid_is_watched_and_kicked_but_not_reloaded() -> None:
    [command] = converge(answer(without_pid()))
    assert command.verbs() == ["enable", "stays_up"]


def test_a_disabled_job_is_enabled() -> None:
    [command] = converge(answer(disabled="disabled"))
    assert command.verbs() == ["enable", "stays_up"]


def test_a_launchd_that_prints_no_environment_does_not_restart_it_every_time() -> None:
    head, rest = PRINTED.split("\tinherited environment", 1)
    printed = head + rest.split("XPC_SERVICE_NAME => io.raylab.ray\n\t}\n", 1)[1]
    assert converge(answer(printed)) == []
    assert len(converge(answer(printed, sha256="0" * 64))) == 1


def test_the_longer_of_both_exit_timeouts_is_waited_for() -> None:
    [command] = converge(answer(), plist={**PLIST, "ExitTimeOut": 5})
    assert "    drain=130\n" in command.stdin


def test_settle_follows_the_throttle_interval() -> None:
    throttled = {**PLIST, "ThrottleInterval": 30}
    [command] = converge(answer(sha256=None), plist=throttled)
    assert "    settle=31\n" in command.stdin
    [command] = converge(answer(sha256=None), plist=throttled, settle=2)
    assert "    settle=2\n" in command.stdin


ONCE = {key: value for key, value in PLIST.items() if key != "KeepAlive"} | {"RunAtLoad": True}


def once(last_exit: str) -> list[Command]:
    wanted = job_plist(LABEL, ONCE)
    printed = without_pid().replace("(never exited)", last_exit)
    digest = WANTED["EnvironmentVariables"][DIGEST]
    printed = printed.replace(digest, wanted["EnvironmentVariables"][DIGEST])
    sha256 = hashlib.sha256(plistlib.dumps(wanted, sort_keys=True)).hexdigest()
    return converge(answer(printed, sha256=sha256), plist=ONCE)


def test_a_job_that_runs_once_and_ended_well_yields_nothing() -> None:
    assert once("0") == []


def test_a_job_that_runs_once_and_failed_is_loaded_afresh() -> None:
    [command] = once("1")
    assert command.verbs() == ["enable", "unload", "load", "finishes"]


# absent, stop, start, restart


def test_absent() -> None:
    def verbs(answered: str) -> list[list[str]]:
        return [command.verbs() for command in run({"launchctl print ": answered}, absent, label=LABEL)]

    assert verbs(answer()) == [["unload", "remove"]]
    assert verbs(answer(printed="")) == [["remove"]]
    assert verbs(answer(printed="", sha256=None, disabled="disabled")) == [["enable"]]
    assert verbs(answer(printed="", sha256=None)) == []


def test_stop_disables_first_and_is_idempotent() -> None:
    def verbs(answered: str) -> list[list[str]]:
        return [command.verbs() for command in run({"launchctl print ": answered}, stop, label=LABEL)]

    assert verbs(answer()) == [["disable", "unload"]]
    assert verbs(answer(printed="", disabled="disabled")) == []
    assert verbs(answer(printed="")) == [["disable"]]
    assert verbs(answer(printed="", sha256=None)) == []


def test_start() -> None:
    def verbs(answered: str) -> list[list[str]]:
        return [command.verbs() for command in run({"launchctl print ": answered}, start, label=LABEL)]

    assert verbs(answer()) == []
    assert verbs(answer(printed="", disabled="disabled")) == [["start", "stays_up"]]
    assert verbs(answer(without_pid())) == [["start", "stays_up"]]


def test_a_reload_unloads_what_is_loaded_and_waits_for_the_new_one() -> None:
    [command] = run({"launchctl print ": answer()}, reload, label=LABEL)
    assert command.verbs() == ["enable", "unload", "load", "stays_up"]


def test_restart_always_acts() -> None:
    [command] = run({"launchctl print ": answer()}, restart, label=LABEL)
    assert command.verbs() == ["restart", "stays_up"]
    assert "    drain=130\n" in command.stdin
