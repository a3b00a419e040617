"""Facts about objects: artifacts by their sha256 in the depot folder of a Mac, and the names linked to them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from pyinfra.api.facts import FactBase

from fleet.layout import DEPOT
from fleet.prune import DepotFile

QUARANTINE = "com.apple.quarantine"

# Found and handed over by find: a list of names could be longer than a command line may be.
_EACH = "-type f -exec stat -f '%z %m %l %i %N' {} + 2>/dev/null"
LIST_DEPOT = f"find {DEPOT} -maxdepth 1 {_EACH}"
_LINE = re.compile(r"(\d+) (-?\d+) (\d+) (\d+) (/.+)")


def parse_stats(lines: Iterable[str], folder: str) -> list[DepotFile]:
    """The files below `folder`, their names counted from there. Lines about others are ignored."""
    found = (_LINE.fullmatch(line) for line in lines)
    return [
        DepotFile(m[5].removeprefix(f"{folder}/"), int(m[1]), int(m[2]), int(m[3]), int(m[4]))
        for m in found
        if m and m[5].startswith(f"{folder}/")
    ]


class DepotFiles(FactBase[list[DepotFile]]):
    """Every file of the depot folder: objects, those that are still arriving, and whatever else is there."""

    def command(self) -> str:
        """One look, however many there are; a folder that is not there holds nothing."""
        return f"{LIST_DEPOT}; true"

    @staticmethod
    def default() -> list[DepotFile]:
        """Nothing is there."""
        return []

    def process(self, output: list[str]) -> list[DepotFile]:
        """Parses what `command` printed."""
        return parse_stats(output, DEPOT)


class Objects(FactBase[dict[str, int]]):
    """The whole objects of the depot folder: their sizes in bytes, by sha256."""

    def command(self) -> str:
        """As DepotFiles."""
        return f"{LIST_DEPOT}; true"

    @staticmethod
    def default() -> dict[str, int]:
        """Nothing is there."""
        return {}

    def process(self, output: list[str]) -> dict[str, int]:
        """Parses what `command` printed."""
        return {file.name: file.size for file in parse_stats(output, DEPOT) if file.whole}


class Views(FactBase[frozenset[str]]):
    """Which of `files` (name below `directory` → sha256) are right: hard links to their whole objects.

    A file that macOS holds in quarantine is not right.
    """

    def command(self, directory: str, files: Mapping[str, str]) -> str:
        """Lists the depot folder and all of `directory`: `files` may be more than a command line takes."""
        self.directory, self.files = directory, files
        folder = shlex.quote(directory)
        # With one file alone xattr would not print its name, hence the second.
        attributes = f"find {folder} -type f -exec xattr /dev/null {{}} + 2>/dev/null"
        return f"{LIST_DEPOT}; find {folder} {_EACH}; {attributes}; true"

    @staticmethod
    def default() -> frozenset[str]:
        """None of them."""
        return frozenset()

    def process(self, output: list[str]) -> frozenset[str]:
        """Parses what `command` printed."""
        objects = {file.name: file.inode for file in parse_stats(output, DEPOT) if file.whole}
        names = {file.name: file.inode for file in parse_stats(output, self.directory)}
        barred = {line.removesuffix(f": {QUARANTINE}") for line in output if line.endswith(f": {QUARANTINE}")}
        return frozenset(
            name
            for name, sha256 in self.files.items()
            if name in names and names[name] == objects.get(sha256) and f"{self.directory}/{name}" not in barred
        )
