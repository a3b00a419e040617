"""The fact about one launchd job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from .files import FileState, files_command, parse_files

DAEMONS = "/Library/LaunchDaemons"
_TOP = re.compile(r"\t([^\t=]+) = (.*)")
_ENTRY = re.compile(r"\t\t([^\t]+?) => (.*)")
_DISABLED = re.compile(r'\s+"(.+)" => (disabled|true)')


def plist_path(label: str) -> str:
    """Where a job's plist belongs."""
    return f"{DAEMONS}/{label}.plist"


@dataclass(frozen=True)
class JobState:
    """One job as launchd and the disk have it. All fields are empty for a job that is not there."""

    loaded: bool = False
    state: str | None = None
    pid: int | None = None
    path: str | None = None
    runs: int = 0
    last_exit: str | None = None
    """As launchd prints it: `0`, `78: EX_CONFIG`, `(never exited)`; after a signal `Terminated: 15`."""
    exit_timeout: int | None = None
    """Seconds from SIGTERM to SIGKILL."""
    throttle: int | None = None
    """Seconds between two launches (`minimum runtime`)."""
    logs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the loaded job's EnvironmentVariables are; empty also when this launchd does not print it."""
    disabled: bool = False
    plist: FileState | None = None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def parse_print(lines: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`launchctl print`: the lines with exactly one tab, and the entries of the block `environment`."""
    top: dict[str, str] = {}
    environment: dict[str, str] = {}
    block = ""
    for line in lines:
        if found := _TOP.fullmatch(line):
            block = found[1] if found[2] == "{" else ""
            if not block:
                top.setdefault(found[1], found[2])
        elif line == "\t}":
            block = ""
        elif block == "environment" and (found := _ENTRY.fullmatch(line)):
            environment[found[1]] = found[2]
    return top, environment


def _sections(output: Iterable[str]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {"": []}
    name = ""
    for line in output:
        if line.startswith("## "):
            name = line[3:]
        sections.setdefault(name, []).append(line)
    return sections


class LaunchdJob(FactBase[JobState]):
    """The job `label` of the system domain, and its plist."""

    def command(self, label: str) -> str:
        """`print` never shows whether a job is disabled, hence `print-disabled`."""
        self.label = label
        return (
            f"echo '## print'; launchctl print {shlex.quote(f'system/{label}')} 2>/dev/null; "
            "echo '## disabled'; launchctl print-disabled system 2>/dev/null; "
            f"echo '## plist'; {files_command([plist_path(label)])}"
        )

    @staticmethod
    def default() -> JobState:
        """A job that is not there."""
        return JobState()

    def process(self, output: list[str]) -> JobState:
        """Parses the three parts that `command` printed."""
        parts = _sections(output)
        top, environment = parse_print(parts.get("print", []))
        disabled = {m[1] for line in parts.get("disabled", []) if (m := _DISABLED.fullmatch(line))}
        logs = dict.fromkeys(top[key] for key in ("stderr path", "stdout path") if key in top)
        return JobState(
            loaded="state" in top or "path" in top,
            state=top.get("state"),
            pid=_number(top.get("pid")),
            path=top.get("path"),
            runs=_number(top.get("runs")) or 0,
            last_exit=top.get("last terminating signal", top.get("last exit code")),
            exit_timeout=_number(top.get("exit timeout")),
            throttle=_number(top.get("minimum runtime")),
            logs=tuple(logs),
            environment=environment,
            disabled=self.label in disabled,
            plist=parse_files(parts.get("plist", [])).get(plist_path(self.label)),
        )
