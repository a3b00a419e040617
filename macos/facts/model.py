"""Facts about a folder with a model's files."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# Read at both ends of every file to tell revisions apart, as for a folder on the control machine.
_SAMPLE_BYTES = 1024**2
# BSD's wc and tail look at a file's size, and do not read what they need not.
_LOOK = f"""\
cd {{folder}} 2>/dev/null || exit 0
names=$(find -L . -name '.?*' -prune -o -type f -print | LC_ALL=C sort)
[ -n "$names" ] || exit 0
printf '%s\\n' "$names" | while IFS= read -r name; do
    if [ -r "$name" ]; then echo "$(($(wc -c < "$name"))) $name"; else echo "? $name"; fi
done
printf '%s\\n' "$names" | while IFS= read -r name; do
    head -c {_SAMPLE_BYTES} "$name"; tail -c {_SAMPLE_BYTES} "$name"
done 2>/dev/null | shasum -a 256
cat config.json 2>/dev/null || cat adapter_config.json 2>/dev/null || true"""


@dataclass(frozen=True)
class Seen:
    """A model's folder, as a Mac shows it. Empty when there is none that the SSH user may enter."""

    files: tuple[tuple[str, int], ...] = ()
    """Each as (path below the folder, bytes). Hidden ones are left out."""
    closed: tuple[str, ...] = ()
    """Those that the SSH user may not read."""
    revision: str = ""
    """12 hex digits that change when the files do: over names, sizes and the first and last MiB of each."""
    config: str = ""
    """The text of config.json; of an adapter, of adapter_config.json."""


class ModelFolder(FactBase[Seen]):
    """What a folder holds, without reading gigabytes."""

    def command(self, folder: str) -> str:
        """`SIZE ./NAME` for each file, the sum of the samples, config.json. Never fails."""
        return _LOOK.format(folder=shlex.quote(folder))

    @staticmethod
    def default() -> Seen:
        """There is no such folder."""
        return Seen()

    def process(self, output: list[str]) -> Seen:
        """Parses what `command` printed."""
        end = next(at for at, line in enumerate(output) if line.endswith("  -"))
        listed = [line.split(" ./", 1) for line in output[:end]]
        files = tuple((name, int(size)) for size, name in listed if size != "?")
        closed = tuple(name for size, name in listed if size == "?")
        revision = hashlib.sha256("\n".join(output[: end + 1]).encode()).hexdigest()[:12]
        return Seen(files, closed, revision, "\n".join(output[end + 1 :]))


class Sums(FactBase[dict[str, str]]):
    """The sha256 of each file of `names` in `folder`, by name. Reads all of them."""

    def command(self, folder: str, names: Sequence[str]) -> str:
        """Fails when one of them cannot be read."""
        return f"cd {shlex.quote(folder)} && shasum -a 256 {shlex.join(f'./{name}' for name in names)}"

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing was read."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Parses `SHA256  ./NAME` lines."""
        pairs = (line.split("  ./", 1) for line in output if "  ./" in line)
        return {name: sha256 for sha256, name in pairs}
