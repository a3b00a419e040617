"""Facts about the folders of releases, code and weights: which there are, and how large."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pyinfra.api.facts import FactBase

from fleet.layout import PLISTS, PREVIOUS, RELEASES, SERVE_CONFIG, SERVING, WEIGHTS
from fleet.prune import Folder

# The files of launchd's jobs that are ours, and the config of Serve; also as they are kept to go back to.
_OURS = [f"{kept}{path}" for kept in ("", PREVIOUS) for path in (f"{PLISTS}/io.raylab.*.plist", SERVE_CONFIG)]


class Folders(FactBase[list[Folder]]):
    """Every folder of one place that is named as raylab names them, half-made ones too."""

    place: str
    names: str
    """What a name looks like, for Python; what is left of a removal is called so, too."""
    used: str
    """And where it is named, for grep."""
    times: str
    """Which paths tell when a folder became whole, for find: itself, or a file in it."""
    packaged: bool
    """Whether it is whole only with a wheel."""

    def command(self) -> str:
        """The folders, times, wheels, and what plists, Serve configs and processes name. Never fails."""
        return (
            f"find {self.place} -mindepth 1 -maxdepth 1 -type d 2>/dev/null; "
            f"find {self.place} {self.times} -exec stat -f '## made %m %N' {{}} + 2>/dev/null; "
            f"find {self.place} -mindepth 2 -maxdepth 2 -name '*.whl' 2>/dev/null; "
            f"{{ {''.join(f'cat {path}; ' for path in _OURS)}ps -axww -o command=; }} 2>/dev/null | "
            f"grep -aoE '{self.place}/{self.used}' | sort -u | sed 's/^/## used /'; true"
        )

    @staticmethod
    def default() -> list[Folder]:
        """There is none."""
        return []

    def process(self, output: list[str]) -> list[Folder]:
        """Parses the four kinds of lines."""
        line = re.compile(
            rf"(?:## (?P<used>used) |## made (?P<time>\d+) |){self.place}/(?P<name>{self.names})"
            r"(?:/(?P<package>[^/-]+)-[^/]+\.whl|/complete)?"
        )
        found = [m for text in output if (m := line.fullmatch(text))]
        used = {m["name"] for m in found if m["used"]}
        packages = {m["name"]: m["package"] for m in found if m["package"]}
        made = {m["name"]: int(m["time"]) for m in found if m["time"] and (m["name"] in packages or not self.packaged)}
        names = [m["name"] for m in found if not (m["used"] or m["time"] or m["package"])]
        return [Folder(name, made.get(name), name in used, packages.get(name, "")) for name in names]


class ReleaseFolders(Folders):
    """Every folder of releases/; the marker of a whole one was made when it became so."""

    place = RELEASES
    names = "[^/]+"
    used = "[A-Za-z0-9._-]+"
    times = "-mindepth 2 -maxdepth 2 -name complete"
    packaged = False


class CodeFolders(Folders):
    """Every folder of serving/; the time of a wheel is that of all objects, so the folder's own counts."""

    place = SERVING
    names = r"(?:\.removed-)?[0-9a-f]{12}"
    used = "[0-9a-f]{12}"
    times = "-mindepth 1 -maxdepth 1 -type d"
    packaged = True


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
