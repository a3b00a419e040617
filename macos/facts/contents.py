"""Facts about what is really in folders: their manifests, and the sha256 of every file."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyinfra.api.facts import FactBase

MANIFEST = "manifest.json"
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (/.*)")


class Manifests(FactBase[dict[str, Mapping[str, Any]]]):
    """The manifest of each of `folders` that has one, by folder. One that is not a JSON object counts as none."""

    def command(self, folders: Sequence[str]) -> str:
        """Never fails."""
        paths = shlex.join(f"{folder}/{MANIFEST}" for folder in folders)
        each = 'printf "## %s\\n" "${each%/*}"; cat "$each" 2>/dev/null; echo'
        return f"for each in {paths}; do {each}; done; true" if folders else "true"

    @staticmethod
    def default() -> dict[str, Mapping[str, Any]]:
        """None of them."""
        return {}

    def process(self, output: list[str]) -> dict[str, Mapping[str, Any]]:
        """Parses what `command` printed."""
        texts: dict[str, list[str]] = {}
        for line in output:
            if line.startswith("## "):
                texts[line.removeprefix("## ")] = current = []
            else:
                current.append(line)
        found = {folder: _json(lines) for folder, lines in texts.items()}
        return {folder: content for folder, content in found.items() if isinstance(content, Mapping)}


def _json(lines: Iterable[str]) -> object:
    try:
        return json.loads("\n".join(lines))
    except ValueError:
        return None


class Sums(FactBase[dict[str, str]]):
    """The sha256 of every file below `directories`, by full path. Reads all of them: it takes its time."""

    def command(self, directories: Sequence[str]) -> str:
        """A file that cannot be read is missing from the answer, as is one that is not there."""
        if not directories:
            return "true"
        return f"find {shlex.join(directories)} -type f -exec shasum -a 256 {{}} + 2>/dev/null; true"

    @staticmethod
    def default() -> dict[str, str]:
        """There is none."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Parses `SHA256  PATH`."""
        return {found[2]: found[1] for line in output if (found := _SUM_LINE.fullmatch(line))}
