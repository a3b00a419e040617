"""Facts about the folders of releases, code and weights: which there are, and how large."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pyinfra.api.facts import FactBase

from fleet.layout import PLISTS, RELEASES, SERVE_CONFIG, SERVING, WEIGHTS
from fleet.prune import CodeFolder, ReleaseFolder

# The files of launchd's jobs that are ours.
_OUR_PLISTS = f"{PLISTS}/io.raylab.*.plist"
_CODE = re.compile(
    rf"(?:## (?P<used>used) |## made (?P<time>\d+) |){SERVING}/(?P<name>(?:\.removed-)?[0-9a-f]{{12}})"
    r"(?:/(?P<package>[^/-]+)-[^/]+\.whl)?"
)
_LINE = re.compile(rf"(?:## (?P<used>used) |## complete (?P<time>\d+) |){RELEASES}/(?P<name>[^/]+)(?:/complete)?")


class ReleaseFolders(FactBase[list[ReleaseFolder]]):
    """Every folder of releases/, half-built ones too."""

    def command(self) -> str:
        """The folders, the times of their markers, and what plists and processes name. Never fails."""
        return (
            f"find {RELEASES} -mindepth 1 -maxdepth 1 -type d 2>/dev/null; "
            f"find {RELEASES} -mindepth 2 -maxdepth 2 -name complete -exec stat -f '## complete %m %N' {{}} + "
            f"2>/dev/null; {{ cat {_OUR_PLISTS}; ps -axww -o command=; }} 2>/dev/null | "
            f"grep -aoE '{RELEASES}/[A-Za-z0-9._-]+' | sort -u | sed 's/^/## used /'; true"
        )

    @staticmethod
    def default() -> list[ReleaseFolder]:
        """There is none."""
        return []

    def process(self, output: list[str]) -> list[ReleaseFolder]:
        """Parses the three kinds of lines."""
        found = [m for line in output if (m := _LINE.fullmatch(line))]
        completed = {m["name"]: int(m["time"]) for m in found if m["time"]}
        used = {m["name"] for m in found if m["used"]}
        names = [m["name"] for m in found if not m["time"] and not m["used"]]
        return [ReleaseFolder(name, completed.get(name), name in used) for name in names]


class CodeFolders(FactBase[list[CodeFolder]]):
    """Every folder of serving/ that is named as raylab names them."""

    def command(self) -> str:
        """The folders' times, the wheels, and what plists, the Serve config and processes name. Never fails."""
        return (
            f"find {SERVING} -mindepth 1 -maxdepth 1 -type d -exec stat -f '## made %m %N' {{}} + 2>/dev/null; "
            f"find {SERVING} -mindepth 2 -maxdepth 2 -name '*.whl' 2>/dev/null; "
            f"{{ cat {_OUR_PLISTS}; cat {SERVE_CONFIG}; ps -axww -o command=; }} 2>/dev/null | "
            f"grep -aoE '{SERVING}/[0-9a-f]{{12}}' | sort -u | sed 's/^/## used /'; true"
        )

    @staticmethod
    def default() -> list[CodeFolder]:
        """There is none."""
        return []

    def process(self, output: list[str]) -> list[CodeFolder]:
        """Parses the three kinds of lines."""
        found = [m for line in output if (m := _CODE.fullmatch(line))]
        used = {m["name"] for m in found if m["used"]}
        packages = {m["name"]: m["package"] for m in found if m["package"]}
        made = [(m["name"], int(m["time"])) for m in found if m["time"]]
        return [CodeFolder(name, time, packages.get(name, ""), name in used) for name, time in made]


class WeightFolders(FactBase[list[str]]):
    """The folders of all models and of their revisions, as full paths."""

    def command(self) -> str:
        """Never fails."""
        return f"find {WEIGHTS} -mindepth 1 -maxdepth 2 -type d 2>/dev/null; true"

    @staticmethod
    def default() -> list[str]:
        """There is none."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """One path a line."""
        return [line for line in output if line.startswith(f"{WEIGHTS}/")]


class DiskUsage(FactBase[dict[str, int]]):
    """The bytes that each of `paths` takes on the disk."""

    def command(self, paths: Sequence[str]) -> str:
        """Never fails: a path that is not there is missing from the answer."""
        # One call each: of two names for one file, du counts only the first.
        return "".join(f"du -sk {shlex.quote(path)} 2>/dev/null; " for path in paths) + "true"

    @staticmethod
    def default() -> dict[str, int]:
        """None of them."""
        return {}

    def process(self, output: list[str]) -> dict[str, int]:
        """Parses `KIBIBYTES TAB PATH`."""
        rows = (line.split("\t", 1) for line in output if "\t" in line)
        return {path: int(size) * 1024 for size, path in rows}
