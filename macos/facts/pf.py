"""The fact about pf, macOS's packet filter."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from fleet import layout
from fleet.firewall import ANCHOR, Filter

_PARTS = {
    "info": "pfctl -s info",
    "references": "pfctl -s References",
    "main": "pfctl -s rules",
    "rules": f"pfctl -a {ANCHOR} -s rules",
    "token": f"cat {layout.FIREWALL_TOKEN}",
    "job": f"launchctl print system/{layout.FIREWALL_LABEL} | head -n 1",
}


class PacketFilter(FactBase[Filter]):
    """What pf does at the moment, as far as raylab is concerned."""

    def command(self) -> str:
        """Never fails. pfctl complains of ALTQ at each call, which nobody has to read."""
        parts = "; ".join(f"echo '## {name}'; {command}" for name, command in _PARTS.items())
        return f"{{ {parts}; }} 2>/dev/null; true"

    @staticmethod
    def default() -> Filter:
        """It does nothing."""
        return Filter()

    def process(self, output: list[str]) -> Filter:
        """Parses the parts that `command` printed. Never raises."""
        found = dict.fromkeys(_PARTS, "")
        name = ""
        for line in output:
            if line.startswith("## "):
                name = line[3:]
            elif name in found:
                found[name] += f"{line}\n"
        return Filter.parse(**found)


class SshPort(FactBase[int]):
    """The port of this Mac that the SSH connection came to; 0 without one. sudo hides it, so ask without."""

    def command(self) -> str:
        """The last of client, its port, server, its port."""
        return 'set -- $SSH_CONNECTION; echo "$4"'

    @staticmethod
    def default() -> int:
        """Not by SSH."""
        return 0

    def process(self, output: list[str]) -> int:
        """As printed."""
        text = "".join(output).strip()
        return int(text) if text.isdigit() else 0
