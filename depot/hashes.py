"""Remembers the sha256 of files, so that gigabytes are hashed once and not at every run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path


class Hashes:
    """sha256 of files, trusted while size and modification time stay what they were."""

    def __init__(self, memory: Path) -> None:
        """`memory` is the JSON file that keeps them; missing or unreadable, it starts anew."""
        self._memory = memory
        self._known: dict[str, list[int | str]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def of(self, path: Path) -> str:
        """The file's sha256. Raises OSError when it cannot be read."""
        found = path.stat()
        known = self._known.get(str(path.absolute()))
        if known and known[:2] == [found.st_size, found.st_mtime_ns]:
            return str(known[2])
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._known[str(path.absolute())] = [found.st_size, found.st_mtime_ns, digest]
        self._changed = True
        return digest

    def holds(self, path: Path, sha256s: tuple[str, ...]) -> bool:
        """Whether the file is there with one of these contents."""
        return path.is_file() and self.of(path) in sha256s

    def save(self) -> None:
        """Writes what was learnt; forgets files that are gone."""
        if not self._changed:
            return
        self._known = {path: entry for path, entry in self._known.items() if Path(path).exists()}
        partial = self._memory.with_name(f"{self._memory.name}.{os.getpid()}")
        partial.write_text(json.dumps(self._known, indent=0, sort_keys=True), encoding="utf-8")
        partial.replace(self._memory)
        self._changed = False
