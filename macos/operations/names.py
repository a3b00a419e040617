"""A Mac's host name and its hosts file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from fleet.before import HOST_NAME
from macos.diff import show_change
from macos.facts import HostNames, HostsFile
from macos.facts.before import Before
from macos.facts.host import BEGIN, END, HOSTS, HostsText
from macos.operations.before import changing, restoring
from macos.quiet import Commands, mac_operation
from macos.shell import script_command


@mac_operation("names.host_name")
def host_name(host_name: str) -> Commands:
    """HostName is set. Unset, a Mac calls itself NAME.local, which resolves to loopback. Other names stay."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host_name):
        raise OperationValueError(f"{host_name!r} is not a host name")
    now = host.get_fact(HostNames).host_name
    if now == host_name:
        host.noop(f"HostName is {host_name}")
        return
    command = ["scutil", "--set", "HostName", host_name]
    yield changing([["kept", HOST_NAME, now or "", host_name], command], command)


@mac_operation("names.host_name_restored")
def host_name_restored() -> Commands:
    """HostName is what it was before raylab set it, unless somebody has set it since."""
    record = host.get_fact(Before).get(HOST_NAME)
    if record is None:
        host.noop("HostName was not changed")
        return
    now = host.get_fact(HostNames).host_name or ""
    # An empty name unsets it.
    command = ["scutil", "--set", "HostName", record.was]
    yield changing(restoring(HOST_NAME, record, now, [command]), command)


def _own_lines(lines: Sequence[str]) -> tuple[int, int] | None:
    """Where our block is, with its markers. Without its end it is only the marker: the rest is others'."""
    if BEGIN not in lines:
        return None
    begin = lines.index(BEGIN)
    end = lines.index(END, begin) if END in lines[begin:] else begin
    return begin, end + 1


def with_block(lines: Sequence[str], block: Sequence[str]) -> list[str]:
    """`lines` with our block as `block`: where it is, or else before the first entry, so that it wins."""
    marked = [BEGIN, *block, END]
    if own := _own_lines(lines):
        return [*lines[: own[0]], *marked, *lines[own[1] :]]
    first = next((at for at, line in enumerate(lines) if _entry(line)), len(lines))
    return [*lines[:first], *marked, *lines[first:]]


def without_block(lines: Sequence[str]) -> list[str]:
    """`lines` without our block."""
    begin, end = _own_lines(lines) or (0, 0)
    return [*lines[:begin], *lines[end:]]


def _entry(line: str) -> list[str]:
    """Address and names; empty for a comment."""
    return line.split("#", 1)[0].split()


def conflicts(lines: Sequence[str], block: Sequence[str]) -> list[str]:
    """Lines that are not ours and give one of our names another address."""
    ours: dict[str, str] = {name: entry[0] for entry in map(_entry, block) if entry for name in entry[1:]}
    return [
        line
        for line in without_block(lines)
        if (entry := _entry(line)) and any(ours.get(name, entry[0]) != entry[0] for name in entry[1:])
    ]


@mac_operation("names.hosts")
def hosts(block: str) -> Commands:
    """/etc/hosts holds the lines of `block` between two marker lines; every other line stays as it is.

    A line of other origin that gives one of the names another address is left alone, and named in a warning:
    the block stands before it, and only its owner knows whether it may go.
    """
    wanted = [line for line in block.splitlines() if line not in (BEGIN, END)]
    found = host.get_fact(HostsFile)
    for line in conflicts(found.lines, wanted):
        host.log(f"/etc/hosts says otherwise too, please remove: {line.strip()}", logger.warning)
    lines = with_block(found.lines, wanted)
    if lines == list(found.lines):
        host.noop("/etc/hosts is as it should be")
        return
    yield _rewritten(found, lines)


@mac_operation("names.hosts_restored")
def hosts_restored() -> Commands:
    """/etc/hosts holds none of our lines; every other line stays as it is."""
    found = host.get_fact(HostsFile)
    lines = without_block(found.lines)
    if lines == list(found.lines):
        host.noop("/etc/hosts has no lines of raylab")
        return
    yield _rewritten(found, lines)


def _rewritten(found: HostsText, lines: Sequence[str]) -> StringCommand:
    """The command that gives the hosts file these lines; its owner and mode stay."""
    text = "".join(f"{line}\n" for line in lines)
    show_change(HOSTS, text, exists=found.file is not None)
    file = found.file
    owner, group, mode = (file.owner, file.group, f"{file.mode:04o}") if file else ("root", "wheel", "0644")
    return script_command(["files"], [["file", HOSTS, owner, group, mode, text]], [HOSTS])
