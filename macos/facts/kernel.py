"""The fact about one setting of the kernel."""

from __future__ import annotations

import shlex

from pyinfra.api.facts import FactBase


class KernelSetting(FactBase[str]):
    """The value of `setting`, as sysctl prints it; empty when this macOS does not have it."""

    def command(self, setting: str) -> str:
        """Never fails."""
        return f"sysctl -n {shlex.quote(setting)} 2>/dev/null; true"

    @staticmethod
    def default() -> str:
        """There is none."""
        return ""

    def process(self, output: list[str]) -> str:
        """As printed."""
        return "\n".join(output).strip()
