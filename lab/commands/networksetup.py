"""networksetup: the network services, their addresses and name servers, kept over reboots."""

from __future__ import annotations

import re
import socket

from .answers import changing, complain, hardware, is_root, recall, say, write_whole
from .interfaces import interfaces, netmask, prefix_length, set_address
from .names import set_name
from .services import apply, device, ports, service, services, store

BAD_PARAMETERS = 4
NEEDS_ROOT = 14


def _bad(text: str = "") -> int:
    if text:
        print(text)
    return complain("** Error: The parameters were not valid.", BAD_PARAMETERS)


def _ports(_: list[str]) -> int:
    found = interfaces()
    for port, name in ports().items():
        print(f"\nHardware Port: {port}\nDevice: {name}\nEthernet Address: {found[name]['address']}")
    print("\nVLAN Configurations\n===================")
    return 0


def _services(_: list[str]) -> int:
    print("An asterisk (*) denotes that a network service is disabled.")
    for one in services():
        print(one["name"] if one["enabled"] else f"*{one['name']}")
    return 0


def _order(_: list[str]) -> int:
    print("An asterisk (*) denotes that a network service is disabled.")
    for number, one in enumerate(services(), 1):
        place = number if one["enabled"] else "*"
        print(f"({place}) {one['name']}\n(Hardware Port: {one['port']}, Device: {ports()[one['port']]})\n")
    return 0


def _info(words: list[str]) -> int:
    facts = interfaces()[device(words[0])]
    manual = recall("network").get("manual", {}).get(words[0])
    print("Manual Configuration" if manual else "DHCP Configuration")
    # What was set, also while the interface does not have it; of DHCP what it has.
    leases = [(entry["local"], entry["prefixlen"]) for entry in facts["addr_info"] if entry["family"] == "inet"]
    for address, length in [(manual["address"], manual["length"])] if manual else leases:
        mask = socket.inet_ntoa(netmask(length).to_bytes(4, "big"))
        print(f"IP address: {address}\nSubnet mask: {mask}")
    print(f"Router: {(manual or {}).get('router') or '(null)'}")
    print(f"IPv6: Automatic\nIPv6 IP address: none\nIPv6 Router: none\nEthernet Address: {facts['address']}")
    return 0


def _set_manual(words: list[str]) -> int:
    try:
        socket.inet_aton(words[1])
        length = prefix_length(words[2])
    except (IndexError, ValueError, OSError):
        return _bad()
    router = words[3] if len(words) > 3 else None
    with changing("network") as values:
        stored = {"device": device(words[0]), "address": words[1], "length": length, "router": router}
        values.setdefault("manual", {})[words[0]] = stored
    apply()
    return 0


def _set_dhcp(words: list[str]) -> int:
    with changing("network") as values:
        values.setdefault("manual", {}).pop(words[0], None)
    if device(words[0]) == "en0":
        # The lab's LAN hands out the same address every time.
        set_address("en0", hardware()["address"], 24)
    apply()
    return 0


def _create(words: list[str]) -> int:
    if len(words) != 2 or words[1] not in ports():
        return _bad(f"{words[-1] if words else ''} is not a recognized hardware port.")
    if service(words[0]):
        return _bad(f"{words[0]} is already the name of a network service.")
    store([*services(), {"name": words[0], "port": words[1], "enabled": True}])
    return 0


def _remove(words: list[str]) -> int:
    others = [one for one in services() if one["name"] != words[0]]
    if device(words[0]) not in [ports()[one["port"]] for one in others]:
        return _bad(f"Cannot delete {words[0]}: it is the only network service of its hardware port.")
    store(others)
    return 0


def _get_enabled(words: list[str]) -> int:
    return say("Enabled" if any(one["enabled"] for one in services() if one["name"] == words[0]) else "Disabled")


def _set_enabled(words: list[str]) -> int:
    if words[1:] not in (["on"], ["off"]):
        return _bad()
    store([{**one, "enabled": words[1] == "on"} if one["name"] == words[0] else one for one in services()])
    return 0


def _get_dns(words: list[str]) -> int:
    servers = recall("network").get("dns", {}).get(words[0])
    return say("\n".join(servers) if servers else f"There aren't any DNS Servers set on {words[0]}.")


def _set_dns(words: list[str]) -> int:
    servers = [] if [word.lower() for word in words[1:]] == ["empty"] else words[1:]
    with changing("network") as values:
        values.setdefault("dns", {})[words[0]] = servers
    if servers:
        write_whole("/etc/resolv.conf", "".join(f"nameserver {server}\n" for server in servers))
    return 0


def _mtu(words: list[str]) -> int:
    name = device(words[0]) if service(words[0]) else words[0]
    facts = interfaces().get(name)
    return say(f"Active MTU: {facts['mtu']} (Current Setting: {facts['mtu']})") if facts else _bad()


def _get_computer_name(_: list[str]) -> int:
    return say(recall("names").get("ComputerName", ""))


def _set_computer_name(words: list[str]) -> int:
    set_name("ComputerName", " ".join(words))
    return 0


_ANYWHERE = {
    "-listallhardwareports": _ports,
    "-listallnetworkservices": _services,
    "-listnetworkserviceorder": _order,
    "-getcomputername": _get_computer_name,
    "-setcomputername": _set_computer_name,
    "-getmtu": _mtu,
    "-createnetworkservice": _create,
}
_OF_SERVICE = {
    "-getinfo": _info,
    "-setmanual": _set_manual,
    "-setdhcp": _set_dhcp,
    "-getdnsservers": _get_dns,
    "-setdnsservers": _set_dns,
    "-getnetworkserviceenabled": _get_enabled,
    "-setnetworkserviceenabled": _set_enabled,
    "-removenetworkservice": _remove,
}


def networksetup(arguments: list[str]) -> int:
    """networksetup -COMMAND [SERVICE] [...]; commands are not case-sensitive."""
    if not arguments:
        return complain("networksetup Help Information", 64)
    command, words = re.sub("^--?", "-", arguments[0]).lower(), arguments[1:]
    action = _ANYWHERE.get(command) or _OF_SERVICE.get(command)
    if action is None:
        return _bad(f"{arguments[0]} is not a recognized command.")
    if command.startswith(("-set", "-create", "-remove")) and not is_root():
        return complain("** Error: Command requires admin privileges.", NEEDS_ROOT)
    if command in _OF_SERVICE and (not words or service(words[0]) is None):
        return _bad(f"{words[0] if words else ''} is not a recognized network service.")
    return action(words)
