"""The fact that preflight reads."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from fleet.macfacts import FACTS_SCRIPT, MacFacts


class MacReport(FactBase[MacFacts]):
    """Everything that preflight wants to know about the Mac that the inventory calls `mac`."""

    def command(self, mac: str = "") -> str:
        """The script belongs to the fleet, beside its parser."""
        self.mac = mac
        return FACTS_SCRIPT

    def process(self, output: list[str]) -> MacFacts:
        """Never raises: what a Mac does not tell is empty."""
        return MacFacts.parse("\n".join(output), self.mac)
