"""Records of what settings were before raylab changed them: kept before a change, let go after the restore."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api.command import StringCommand
from pyinfra.context import host

from fleet.before import MADE, PARENT, Record
from fleet.layout import BEFORE, PREFIX
from macos.facts import Files
from macos.facts.before import Before
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

Calls = Sequence[Sequence[str]]


def changing(calls: Calls, subjects: Sequence[str]) -> StringCommand:
    """A command of calls of the script `before`, and of programs, up to the first failure."""
    return script_command(["files", "before"], calls, subjects, {"records": BEFORE})


def restoring(name: str, record: Record, now: str, calls: Calls) -> list[list[str]]:
    """`calls` and the end of the record; without `calls` when somebody else has changed the setting since."""
    if record.changed_since(now):
        host.noop(f"{name} is {now or 'not set'}, which raylab did not set: it stays")
        calls = []
    return [*(list(call) for call in calls), ["let_go", name]]


@mac_operation("before.parent")
def parent() -> Commands:
    """Whether the folder around ours is raylab's own is known. Before anything else is made."""
    around = PREFIX.rpartition("/")[0]
    if host.get_fact(Files, paths=[around, PREFIX]):
        host.noop(f"{around} is there")
        return
    yield changing([["kept", PARENT, "", MADE]], [around])


@mac_operation("before.forgotten")
def forgotten(name: str) -> Commands:
    """There is no record of this setting: what it was is restored."""
    if name not in host.get_fact(Before):
        host.noop(f"{name} has no record")
        return
    yield changing([["let_go", name]], [name])
