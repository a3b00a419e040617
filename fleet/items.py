"""Settings that are a list of dicts, `models` and `applications`: each dict with its place in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from fleet.checks import Findings
from fleet.errors import Code
from fleet.raw import Entry
from fleet.values import Report, nearest, shown, stand_in, typed


class Item:
    """One dict of the list."""

    def __init__(self, setting: str, entry: Entry, index: int, findings: Findings) -> None:
        assert isinstance(entry.value, (list, tuple))
        self._setting, self._entry, self._index, self._findings = setting, entry, index, findings
        self.written: Any = entry.value[index]
        self.right = True
        """False once something was reported."""

    @property
    def title(self) -> str:
        """What to call it where it may have no name."""
        for key in ("id", "name"):
            if key in self.written:
                return shown(self.written[key])
        return f"number {self._index + 1}"

    def report(self, *path: str) -> Report:
        """Report at one key of this dict."""
        name = ".".join((f"{self._setting}[{self._index}]", *path))
        report = self._findings.at(lambda: self._entry.where(self._index, *path), "", name)

        def and_remember(code: Code, given: str, fix: str, other: str = "") -> None:
            self.right = False
            report(code, given, fix, other)

        return and_remember

    def values(
        self, settings: Mapping[str, Field[Any]], root: Path, incomplete: Code, optional: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Each setting's value, or its default; reports keys that nobody knows, and settings that are missing.

        Those of `optional` may be missing although they have no default: they are then an empty text.
        """
        for key in self.written:
            if key not in settings:
                known = f"There are {', '.join(settings)}."
                self.report(str(key))(Code.SETTING_UNKNOWN, f"`{key}`", nearest(str(key), settings, known))
        found = {}
        for name, setting in settings.items():
            if name in self.written:
                found[name] = typed(setting, self.written[name], root, self.report(name))
                continue
            if setting.default is MISSING and setting.default_factory is MISSING and name not in optional:
                self.report()(incomplete, self.title, f"For example {setting.metadata['example']}.", f"`{name}`")
            found[name] = stand_in(setting, root)
        return found


def items(setting: str, entry: Entry | None, example: str, findings: Findings) -> Sequence[Item]:
    """The dicts of the list, in its order; what is no dict is reported."""
    if entry is None:
        return ()
    if not isinstance(entry.value, (list, tuple)):
        report = findings.at(entry.where, "", setting)
        report(Code.SETTING_TYPE, shown(entry.value), f"For example [{example}].", "a list of dicts")
        return ()
    every = [Item(setting, entry, index, findings) for index in range(len(entry.value))]
    for item in every:
        if not isinstance(item.written, Mapping):
            item.report()(Code.SETTING_TYPE, shown(item.written), f"For example {example}.", "a dict")
    return [item for item in every if isinstance(item.written, Mapping)]
