"""Network services: what the network settings make of the hardware ports, and the addresses that come of it."""

from __future__ import annotations

from . import bridges
from .answers import changing, hardware, recall
from .interfaces import interfaces, ip, set_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def ports() -> dict[str, str]:
    """Interface by hardware port."""
    thunderbolt = {f"Thunderbolt {number}": name for number, name in enumerate(hardware()["interfaces"], 1)}
    return {"Ethernet": "en0", **thunderbolt, "Thunderbolt Bridge": bridges.THUNDERBOLT}


def services() -> list[dict[str, Any]]:
    """Name, hardware port and `enabled` of each, in service order. A new Mac has none for its Thunderbolt ports."""
    new = [{"name": name, "port": name, "enabled": True} for name in ("Ethernet", "Thunderbolt Bridge")]
    found: list[dict[str, Any]] = recall("network").get("services", new)
    return found


def service(name: str) -> dict[str, Any] | None:
    """The service of that name."""
    return next((one for one in services() if one["name"] == name), None)


def device(name: str) -> str:
    """The interface of a service that exists."""
    one = service(name)
    assert one is not None
    return ports()[one["port"]]


def store(changed: list[dict[str, Any]]) -> None:
    """Keep the services, and do what they say."""
    with changing("network") as values:
        values["services"] = changed
        names = {one["name"] for one in changed}
        values["manual"] = {name: entry for name, entry in values.get("manual", {}).items() if name in names}
    apply()


def apply() -> None:
    """What configd does when the settings have changed, and at every start.

    An interface has the address of the first of its services that is on and has one; a member of a bridge has none.
    """
    bridges.follow()
    manual = recall("network").get("manual", {})
    joined = {name for members in bridges.joined().values() for name in members}
    found = interfaces()
    for interface in ports().values():
        entries = [manual[name] for name in _enabled(interface) if name in manual and interface not in joined]
        wanted = [(entry["address"], entry["length"]) for entry in entries[:1]]
        has = [(one["local"], one["prefixlen"]) for one in found[interface]["addr_info"] if one["family"] == "inet"]
        # The LAN's DHCP gives en0 the address that the lab has set.
        if has == wanted or (interface == "en0" and not wanted):
            continue
        ip("-4", "address", "flush", "dev", interface)
        for address, length in wanted:
            set_address(interface, address, length)


def _enabled(interface: str) -> list[str]:
    return [one["name"] for one in services() if one["enabled"] and ports()[one["port"]] == interface]
