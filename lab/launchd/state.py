"""What launchd keeps on disk: which labels are disabled. Also the faults that tests switch on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Overrides:
    """The disabled database: label -> True (disabled) or False (enabled against the plist's own key)."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "disabled.json"

    def all(self) -> dict[str, bool]:
        """Every label that was ever enabled or disabled; nothing if the file is damaged."""
        return {label: value for label, value in _read(self._file).items() if isinstance(value, bool)}

    def disabled(self, label: str, in_plist: bool) -> bool:
        """Whether a label may not be bootstrapped; its plist counts only if nobody decided."""
        return self.all().get(label, in_plist)

    def set(self, label: str, disabled: bool) -> None:
        """Decide, in one step that power loss cannot halve."""
        content = json.dumps({**self.all(), label: disabled}, indent=1, sort_keys=True)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".new")
        with open(temporary, "w") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._file)


class Faults:
    """The oddities of real launchds, from faults.json, read anew every time.

    `lazy_bootstrap`: a label bootstrapped within 10 s of its bootout stays `not running` until kickstarted.
    `bootout_race`: true: 5 s instead of a moment until a stopped label can be bootstrapped; false: none.
    `early_bootout`: bootout answers 0 at once, whatever the process does.
    `loaded_error`: 37 instead of 5 for a bootstrap of what is loaded.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faults.json"

    def get(self, name: str) -> Any:  # noqa: ANN401 (JSON)
        """The value of one fault, None if it is not set."""
        return _read(self._file).get(name)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
