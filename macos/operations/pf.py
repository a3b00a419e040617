"""Rules of raylab's own in pf, macOS's packet filter."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.context import host

from fleet import layout
from fleet.firewall import ANCHOR, Rules
from macos.facts.pf import PacketFilter
from macos.quiet import Commands, mac_operation
from macos.shell import script_command


@mac_operation("pf.filtering")
def filtering(rules: Rules, program: Sequence[str]) -> Commands:
    """pf is on, for raylab too, and has these rules, which `program` loads: a file of the Mac and its arguments."""
    if host.get_fact(PacketFilter).keeps(rules):
        host.noop("pf has raylab's rules")
        return
    yield StringCommand(*(QuoteString(word) for word in program))


@mac_operation("pf.left")
def left() -> Commands:
    """pf has no rules of raylab's, and is not on for raylab. What others have in it stays."""
    found = host.get_fact(PacketFilter)
    calls = [*([["flushed", ANCHOR]] if found.digests else []), *([["released"]] if found.token else [])]
    if not calls:
        host.noop("pf has nothing of raylab's")
        return
    yield script_command(["files", "firewall"], calls, [ANCHOR], {"token": layout.FIREWALL_TOKEN})
