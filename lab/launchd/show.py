"""Jobs as launchctl prints them. Tabs matter: callers parse the lines that start with exactly one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from . import spawn
from .jobs import Job
from .plist import DEFAULT_PATH, Definition, group_name
from .signals import darwin_number, describe_signal

# sysexits(3), from 64 on
_EXIT_NAMES = (
    *("EX_USAGE", "EX_DATAERR", "EX_NOINPUT", "EX_NOUSER", "EX_NOHOST", "EX_UNAVAILABLE", "EX_SOFTWARE"),
    *("EX_OSERR", "EX_OSFILE", "EX_CANTCREAT", "EX_IOERR", "EX_TEMPFAIL", "EX_PROTOCOL", "EX_NOPERM"),
    "EX_CONFIG",
)


def service(job: Job) -> str:
    """What ``print system/LABEL`` prints."""
    plan = job.definition
    sections = (
        _head(job),
        [f"program = {plan.program}", *_block("arguments", plan.arguments)],
        [f"working directory = {plan.directory}"] if plan.directory else [],
        _streams_and_environment(plan),
        ["domain = system", *_account(plan)],
        _runtime(job),
        _semaphores(plan),
        ["spawn type = daemon (3)", "jetsam priority = 40"],
        [f"properties = {' | '.join(_properties(plan))}"],
    )
    return f"system/{plan.label} = {{\n{_paragraphs(section for section in sections if section)}\n}}\n"


def domain(jobs: Mapping[str, Job], disabled: Mapping[str, bool]) -> str:
    """What ``print system`` prints."""
    running = sum(job.pid is not None for job in jobs.values())
    rows = [f"{job.pid or 0:>8} {_status(job):>6} \t{label}" for label, job in sorted(jobs.items())]
    lines = ["type = system", "handle = 0", f"active count = {running}", f"service count = {len(jobs)}"]
    text = _paragraphs((lines, _block("services", rows)))
    return f"system = {{\n{text}\n{overrides(disabled)}}}\n"


def overrides(disabled: Mapping[str, bool]) -> str:
    """What ``print-disabled system`` prints."""
    rows = "".join(
        f'\t\t"{label}" => {"disabled" if value else "enabled"}\n' for label, value in sorted(disabled.items())
    )
    return f"\n\tdisabled services = {{\n{rows}\t}}\n"


def table(jobs: Mapping[str, Job]) -> str:
    """What ``list`` prints."""
    rows = (f"{job.pid or '-'}\t{_status(job)}\t{label}\n" for label, job in jobs.items())
    return "PID\tStatus\tLabel\n" + "".join(rows)


def dictionary(job: Job) -> str:
    """What ``list LABEL`` prints; LastExitStatus is the raw wait status."""
    plan = job.definition
    rows = [_quoted("StandardOutPath", plan.stdout)] if plan.stdout else []
    rows.append(_quoted("LimitLoadToSessionType", "System"))
    rows += [_quoted("StandardErrorPath", plan.stderr)] if plan.stderr else []
    rows.append(_quoted("Label", plan.label))
    rows.append(f'"OnDemand" = {"false" if plan.keep_alive.always else "true"};')
    rows.append(f'"LastExitStatus" = {_raw_status(job)};')
    rows += [f'"PID" = {job.pid};'] if job.pid is not None else []
    rows.append(_quoted("Program", plan.program))
    arguments = "".join(f'\t\t"{argument}";\n' for argument in plan.arguments)
    rows.append(f'"ProgramArguments" = (\n{arguments}\t);')
    return "{\n" + "".join(f"\t{row}\n" for row in rows) + "};\n"


def blame(job: Job) -> str:
    """What ``blame`` prints: why the process was started."""
    return f"{job.reason or '(not running)'}\n"


def _head(job: Job) -> list[str]:
    return [
        f"active count = {int(job.pid is not None)}",
        f"path = {job.definition.path}",
        "type = LaunchDaemon",
        f"state = {job.state}",
    ]


def _streams_and_environment(plan: Definition) -> list[str]:
    lines = [f"stdin path = {plan.stdin}"] if plan.stdin else []
    lines += [f"stdout path = {plan.stdout}"] if plan.stdout else []
    lines += [f"stderr path = {plan.stderr}"] if plan.stderr else []
    lines += _block("default environment", [f"PATH => {DEFAULT_PATH}"])
    own = {name: value for name, value in spawn.environment(plan).items() if name in plan.environment}
    own["XPC_SERVICE_NAME"] = plan.label
    return [*lines, "", *_block("environment", (f"{name} => {value}" for name, value in own.items()))]


def _account(plan: Definition) -> list[str]:
    lines = [f"username = {plan.user}"] if plan.user else []
    group = group_name(plan)
    return [*lines, f"group = {group}"] if group else lines


def _runtime(job: Job) -> list[str]:
    lines = [
        f"minimum runtime = {job.definition.minimum_runtime}",
        f"exit timeout = {job.definition.exit_timeout}",
        f"runs = {job.runs}",
    ]
    if job.pid is not None:
        lines += [f"pid = {job.pid}", f"immediate reason = {job.reason}", "forks = 0", "execs = 1"]
    return [*lines, _last_end(job.last_status)]


def _last_end(status: int | None) -> str:
    if status is None:
        return "last exit code = (never exited)"
    if os.WIFSIGNALED(status):
        return f"last terminating signal = {describe_signal(darwin_number(os.WTERMSIG(status)))}"
    code = os.WEXITSTATUS(status)
    named = 64 <= code < 64 + len(_EXIT_NAMES)
    return f"last exit code = {code}" + (f": {_EXIT_NAMES[code - 64]}" if named else "")


def _semaphores(plan: Definition) -> list[str]:
    conditions = (("successful exit", plan.keep_alive.successful_exit), ("crashed", plan.keep_alive.crashed))
    rows = [f"{name} => {int(value)}" for name, value in conditions if value is not None]
    return _block("semaphores", rows) if rows else []


def _properties(plan: Definition) -> list[str]:
    flags = (
        ("keepalive", plan.keep_alive.always),
        ("runatload", plan.run_at_load),
        ("inferred program", plan.inferred_program),
        ("abandons process group", plan.abandon_group),
    )
    return [name for name, given in flags if given]


def _block(name: str, rows: Iterable[str]) -> list[str]:
    return [f"{name} = {{", *(f"\t{row}" for row in rows), "}"]


def _paragraphs(sections: Iterable[list[str]]) -> str:
    return "\n\n".join("\n".join(f"\t{line}" if line else "" for line in lines) for lines in sections)


def _quoted(key: str, value: str) -> str:
    return f'"{key}" = "{value}";'


def _status(job: Job) -> int:
    if job.last_status is None:
        return 0
    if os.WIFSIGNALED(job.last_status):
        return -darwin_number(os.WTERMSIG(job.last_status))
    return os.WEXITSTATUS(job.last_status)


def _raw_status(job: Job) -> int:
    if job.last_status is None:
        return 0
    return job.last_status if os.WIFEXITED(job.last_status) else -_status(job)
