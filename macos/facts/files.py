"""Facts about files: owner, group, mode and sha256 of many paths in one command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase

Kind = Literal["file", "directory", "link", "other"]
_KINDS: dict[str, Kind] = {"-": "file", "d": "directory", "l": "link"}

STAT_FORMAT = "%Sp %Su %Sg %Lp %z %N"
_STAT_LINE = re.compile(r"(\S{10,11}) (\S+) (\S+) ([0-7]+) (\d+) (/.*)")
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (/.*)")


@dataclass(frozen=True)
class FileState:
    """One path as it is, links not followed. `mode` is the permission bits; only a file has `sha256`."""

    kind: Kind
    owner: str
    group: str
    mode: int
    size: int
    sha256: str | None = None


def files_command(paths: Sequence[str]) -> str:
    """Prints a stat line for each path that exists and a sum line for each file; never fails."""
    quoted = shlex.join(paths)
    return f"stat -f '{STAT_FORMAT}' {quoted} 2>/dev/null; shasum -a 256 {quoted} 2>/dev/null; true"


def parse_files(lines: Iterable[str]) -> dict[str, FileState]:
    """The output of `files_command`. Paths that do not exist are missing from it; other lines are ignored."""
    stats: dict[str, re.Match[str]] = {}
    sums: dict[str, str] = {}
    for line in lines:
        if found := _SUM_LINE.fullmatch(line):
            sums[found[2]] = found[1]
        elif found := _STAT_LINE.fullmatch(line):
            stats[found[6]] = found
    states = {}
    for path, found in stats.items():
        kind = _KINDS.get(found[1][0], "other")
        sha256 = sums.get(path) if kind == "file" else None
        states[path] = FileState(kind, found[2], found[3], int(found[4], 8), int(found[5]), sha256)
    return states


class Files(FactBase[dict[str, FileState]]):
    """The state of each of `paths` (absolute) that exists, by path."""

    def command(self, paths: Sequence[str]) -> str:
        """One command for all of them."""
        return files_command(paths) if paths else "true"

    @staticmethod
    def default() -> dict[str, FileState]:
        """Nothing exists."""
        return {}

    def process(self, output: list[str]) -> dict[str, FileState]:
        """Parses what `command` printed."""
        return parse_files(output)


# Beside uploaded files: `SHA256 SIZE MTIME NAME` as each was when it arrived, so that gigabytes of weights
# are not read again on every run. A file whose size or time changed since is.
RECORD = ".raylab-sha256"

_DIGESTS = """\
cd {directory} 2>/dev/null || exit 0
{{ cat {record} 2>/dev/null; echo; echo ==; stat -f '%z %m %N' {names} 2>/dev/null; }} |
awk '
    $0 == "==" {{ live = 1; next }}
    !live {{ key = $0; sub(/^[^ ]* /, "", key); known[key] = $1; next }}
    {{ name = $0; sub(/^[^ ]* [^ ]* /, "", name); print (($0 in known) ? known[$0] : "?"), name }}
' |
while read -r sum name; do
    if [ "$sum" = "?" ]; then
        sum=$(shasum -a 256 "$name") && sum=${{sum%% *}}
    fi
    echo "$sum  $name"
done"""


class Digests(FactBase[dict[str, str]]):
    """The sha256 of each file of `names` (relative paths) that exists in `directory`, by name."""

    def command(self, directory: str, names: Sequence[str]) -> str:
        """One command; reads only files whose size or time are not those of the record made on arrival."""
        if not names:
            return "true"
        # Without `./`, stat would take a name that starts with a dash for an option.
        quoted = shlex.join(f"./{name}" for name in names)
        return _DIGESTS.format(directory=shlex.quote(directory), record=RECORD, names=quoted)

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing exists."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Parses `SHA256  ./NAME` lines."""
        pairs = (line.split("  ./", 1) for line in output if "  ./" in line)
        return {name: sha256 for sha256, name in pairs}
