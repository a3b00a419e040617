"""The fact about the Mac's current start."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

_SESSION = "session "


@dataclass(frozen=True)
class BootState:
    """Since it last started."""

    session: str = ""
    """Another one after each start, whatever the clock says; empty when the Mac does not tell."""
    console: tuple[str, ...] = ()
    """Who is logged in at its screen."""


class Boot(FactBase[BootState]):
    """Which start of the Mac this is, and who has logged in since, other than over SSH."""

    def command(self) -> str:
        """Never fails."""
        return f'echo "{_SESSION}$(sysctl -n kern.bootsessionuuid 2>/dev/null)"; who; true'

    @staticmethod
    def default() -> BootState:
        """Nothing is known."""
        return BootState()

    def process(self, output: list[str]) -> BootState:
        """`session UUID`, then who's `USER console …` and `USER ttys000 …`."""
        session = next((line.removeprefix(_SESSION) for line in output if line.startswith(_SESSION)), "")
        logged_in = (line.split() for line in output)
        return BootState(session.strip(), tuple(words[0] for words in logged_in if words[1:2] == ["console"]))
