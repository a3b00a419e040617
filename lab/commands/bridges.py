"""Network bridges: which interfaces the network settings join, and which are joined at the moment.

As configd does, the running bridge follows the settings when those of bridges have changed, and at every start. What
ifconfig changed in between lasts until then.
"""

from __future__ import annotations

import plistlib

from .answers import LOST, changing, recall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PREFERENCES = "/Library/Preferences/SystemConfiguration/preferences.plist"
THUNDERBOLT = "bridge0"


def on_a_new_mac(ports: Sequence[str]) -> dict[str, Any]:
    """The settings as a Mac comes out of its box: every Thunderbolt port is in the Thunderbolt Bridge."""
    bridge = {"Interfaces": list(ports), "Options": {"__AUTO__": "thunderbolt-bridge"}}
    return {"VirtualNetworkInterfaces": {"Bridge": {THUNDERBOLT: bridge}}}


def configured() -> dict[str, list[str]]:
    """The members that the settings give each bridge."""
    with open(PREFERENCES, "rb") as file:
        settings: dict[str, Any] = plistlib.load(file)
    bridges = settings.get("VirtualNetworkInterfaces", {}).get("Bridge", {})
    return {name: list(bridge.get("Interfaces", [])) for name, bridge in bridges.items()}


def joined() -> dict[str, list[str]]:
    """The members that each bridge has at the moment."""
    found: dict[str, list[str]] = recall("bridges", LOST).get("joined", configured())
    return found


def follow() -> None:
    """What configd does when networksetup has changed something."""
    now = configured()
    with changing("bridges", LOST) as values:
        if values.get("seen") != now:
            values.update(seen=now, joined=now)


def change(bridge: str, member: str, add: bool) -> bool:
    """ifconfig's addm and deletem; whether it could be done."""
    before = joined()
    with changing("bridges", LOST) as values:
        members = before.get(bridge, [])
        if (member in members) is add:
            return False
        before[bridge] = [*members, member] if add else [name for name in members if name != member]
        values["joined"] = before
        values.setdefault("seen", configured())
    return True
