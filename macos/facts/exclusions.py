"""The fact about folders that neither Time Machine nor Spotlight shall read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

MARKER = ".metadata_never_index"
_LINE = re.compile(r"\[(Excluded|Unindexed)\]\s+(/.*)")


@dataclass(frozen=True)
class Excluded:
    """Folders that are left alone, by whom."""

    by_time_machine: frozenset[str] = frozenset()
    by_spotlight: frozenset[str] = frozenset()


class Exclusions(FactBase[Excluded]):
    """Which of `directories` Time Machine leaves out of its backups, and which carry Spotlight's marker."""

    def command(self, directories: Sequence[str]) -> str:
        """Prints `[Excluded] PATH` as tmutil does, and `[Unindexed] PATH`. Never fails."""
        if not directories:
            return "true"
        quoted = shlex.join(directories)
        marked = f'if [ -e "$each/{MARKER}" ]; then printf \'[Unindexed] %s\\n\' "$each"; fi'
        return f"tmutil isexcluded {quoted} 2>/dev/null; for each in {quoted}; do {marked}; done; true"

    @staticmethod
    def default() -> Excluded:
        """None of them."""
        return Excluded()

    def process(self, output: list[str]) -> Excluded:
        """Parses both kinds of lines."""
        found = [m for line in output if (m := _LINE.fullmatch(line))]
        by = {who: frozenset(m[2] for m in found if m[1] == who) for who in ("Excluded", "Unindexed")}
        return Excluded(by["Excluded"], by["Unindexed"])
