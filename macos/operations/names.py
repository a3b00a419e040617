"""A Mac's host name and its hosts file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.diff import show_change
from macos.facts import HostNames, HostsFile
from macos.facts.host import HOSTS
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

BEGIN = "# raylab begin"
END = "# raylab end"


@mac_operation("names.host_name")
def host_name(host_name: str) -> Commands:
    """HostName is set. Unset, a Mac calls itself NAME.local, which resolves to loopback. Other names stay."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host_name):
        raise OperationValueError(f"{host_name!r} is not a host name")
    if host.get_fact(HostNames).host_name == host_name:
        host.noop(f"HostName is {host_name}")
        return
    yield StringCommand("scutil", "--set", "HostName", QuoteString(host_name))


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


def _entry(line: str) -> list[str]:
    """Address and names; empty for a comment."""
    return line.split("#", 1)[0].split()


def conflicts(lines: Sequence[str], block: Sequence[str]) -> list[str]:
    """Lines that are not ours and give one of our names another address."""
    ours: dict[str, str] = {name: entry[0] for entry in map(_entry, block) if entry for name in entry[1:]}
    begin, end = _own_lines(lines) or (0, 0)
    others = [line for at, line in enumerate(lines) if not begin <= at < end]
    return [
        line
        for line in others
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
    text = "\n".join(lines) + "\n"
    show_change(HOSTS, text, exists=found.file is not None)
    file = found.file
    owner, group, mode = (file.owner, file.group, f"{file.mode:04o}") if file else ("root", "wheel", "0644")
    yield script_command(["files"], [["file", HOSTS, owner, group, mode, text]], [HOSTS])
