"""What is different between two locks, package by package."""

from __future__ import annotations

from collections.abc import Iterable

Entry = tuple[str, str, tuple[str, ...]]
"""Name, version, and the sha256 of each file that may serve."""


def changes(old: Iterable[Entry], new: Iterable[Entry]) -> list[str]:
    """One line for each package that is not what it was, by name."""
    before = {name: (version, sha256s) for name, version, sha256s in old}
    after = {name: (version, sha256s) for name, version, sha256s in new}
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            lines.append(f"+ {name} {after[name][0]}")
        elif name not in after:
            lines.append(f"- {name} {before[name][0]}")
        elif before[name][0] != after[name][0]:
            lines.append(f"{name} {before[name][0]} → {after[name][0]}")
        elif not set(after[name][1]) <= set(before[name][1]):
            lines.append(f"{name} {after[name][0]}: another file")
    return lines
