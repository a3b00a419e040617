"""What the settings of a Mac itself were before raylab changed them. Pure: others read, write and restore.

Each setting that raylab changes has a record of its own, made before its first change: what it was then, and what
raylab has set last. By the second a restore tells whether somebody has changed the setting since; that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Records by setting: `power.c.sleep` (pmset's flag and its name), `kernel.iogpu.wired_limit_mb`.
POWER, KERNEL = "power.", "kernel."
HOST_NAME = "name.HostName"
# The folder around ours, which no new Mac has: `made` when raylab made it.
PARENT = "folder.opt"
MADE = "made"


@dataclass(frozen=True)
class Record:
    """One setting. Empty values: it was not set."""

    was: str
    ours: str

    def changed_since(self, now: str) -> bool:
        """Whether somebody else has set it after raylab."""
        return now != self.ours

    def __str__(self) -> str:
        return self.was or "not set"


Records = Mapping[str, Record]


def parse_records(lines: Iterable[str]) -> dict[str, Record]:
    """Records by name, out of `## NAME`, `was:VALUE`, `ours:VALUE` for each; other lines are ignored."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in lines:
        if line.startswith("## "):
            name = line[3:]
            found[name] = {}
        elif name and line.startswith(("was:", "ours:")):
            key, _, value = line.partition(":")
            found[name][key] = value
    return {name: Record(each.get("was", ""), each.get("ours", "")) for name, each in found.items() if each}


_SOURCES = {"c": "wall power", "b": "battery", "u": "UPS"}


def describe(records: Records) -> list[str]:
    """Each setting and what it becomes again, for a person."""
    lines = []
    for name, record in records.items():
        if name.startswith(POWER):
            source, _, key = name.removeprefix(POWER).partition(".")
            lines.append(f"{key} {record} (on {_SOURCES.get(source, source)})")
        elif name.startswith(KERNEL):
            lines.append(f"{name.removeprefix(KERNEL)} {record}")
        elif name == HOST_NAME:
            lines.append(f"HostName {record}")
    return lines
