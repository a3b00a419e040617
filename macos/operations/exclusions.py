"""Folders that neither Time Machine nor Spotlight shall read."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.context import host

from macos.facts.exclusions import MARKER, Exclusions
from macos.quiet import Commands, mac_operation
from macos.shell import script_command


@mac_operation("exclusions.excluded")
def excluded(directories: Sequence[str]) -> Commands:
    """None of these folders (they exist) is backed up by Time Machine or indexed by Spotlight.

    What is in them comes from the control machine, and is many gigabytes.
    """
    found = host.get_fact(Exclusions, directories=directories)
    calls = [["excluded", path] for path in directories if path not in found.by_time_machine]
    calls += [["unindexed", path, MARKER] for path in directories if path not in found.by_spotlight]
    if not calls:
        host.noop("they are excluded")
        return
    yield script_command(["files", "exclusions"], calls, dict.fromkeys(call[1] for call in calls))


@mac_operation("exclusions.included")
def included(directories: Sequence[str]) -> Commands:
    """Time Machine treats these folders as all others again; Spotlight's mark goes with the folders themselves."""
    found = host.get_fact(Exclusions, directories=directories)
    excluded = [path for path in directories if path in found.by_time_machine]
    if not excluded:
        host.noop("none of them is excluded")
        return
    yield script_command(["files", "exclusions"], [["included", path] for path in excluded], excluded)
