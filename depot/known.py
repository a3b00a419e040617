"""What the depot remembers of its objects beside their content: known.json."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path


class Known:
    """Names of wheels, and programs taken out of archives. What is forgotten here is found out again."""

    def __init__(self, depot: Path) -> None:
        self._memory = depot / "known.json"
        self.wheels: dict[str, str] = {}
        """File names by sha256, for wheels whose name a lock does not tell."""
        self.programs: dict[str, str] = {}
        """sha256 of programs, by `<sha256 of the archive>/<path in it>`."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            read = json.loads(self._memory.read_text(encoding="utf-8"))
            self.wheels, self.programs = dict(read["wheels"]), dict(read["programs"])
        self._saved = self._text()

    def programs_of(self, archives: Collection[str]) -> set[str]:
        """The programs that were taken out of these archives, all by sha256."""
        return {program for place, program in self.programs.items() if place.partition("/")[0] in archives}

    def forget(self, kept: Collection[str]) -> None:
        """Of all but these objects."""
        self.wheels = {sha256: name for sha256, name in self.wheels.items() if sha256 in kept}
        self.programs = {place: sha256 for place, sha256 in self.programs.items() if sha256 in kept}

    def save(self) -> None:
        """Writes down what is new."""
        if (text := self._text()) == self._saved:
            return
        handle, name = tempfile.mkstemp(dir=self._memory.parent, prefix=".known-")
        with os.fdopen(handle, "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        Path(name).replace(self._memory)
        self._saved = text

    def _text(self) -> str:
        return json.dumps({"wheels": self.wheels, "programs": self.programs}, indent=0, sort_keys=True)
