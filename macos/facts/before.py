"""The fact about what settings were before raylab changed them."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from fleet.before import Record, parse_records
from fleet.layout import BEFORE


class Before(FactBase[dict[str, Record]]):
    """Every record of this Mac, by the setting's name."""

    def command(self) -> str:
        """Never fails."""
        return f'for each in {BEFORE}/*; do [ ! -f "$each" ] || {{ echo "## ${{each##*/}}"; cat "$each"; }}; done'

    @staticmethod
    def default() -> dict[str, Record]:
        """None."""
        return {}

    def process(self, output: list[str]) -> dict[str, Record]:
        """Parses what `command` printed."""
        return parse_records(output)
