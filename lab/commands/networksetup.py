"""networksetup: the network services, their addresses and name servers, kept over reboots."""

from __future__ import annotations

import re
import socket

from .answers import changing, complain, hardware, is_root, recall, say, write_whole
from .interfaces import interfaces, ip, netmask, prefix_length, set_address
from .names import set_name

SERVICES = {"Ethernet": "en0", "Thunderbolt Bridge": "bridge0"}
"""Service, which is also its hardware port's name, to device."""
BAD_PARAMETERS = 4
NEEDS_ROOT = 14


def _bad(text: str = "") -> int:
    if text:
        print(text)
    return complain("** Error: The parameters were not valid.", BAD_PARAMETERS)


def _ports(_: list[str]) -> int:
    found = interfaces()
    for service, device in SERVICES.items():
        print(f"\nHardware Port: {service}\nDevice: {device}\nEthernet Address: {found[device]['address']}")
    print("\nVLAN Configurations\n===================")
    return 0


def _services(_: list[str]) -> int:
    print("An asterisk (*) denotes that a network service is disabled.")
    for service in SERVICES:
        print(service)
    return 0


def _order(_: list[str]) -> int:
    print("An asterisk (*) denotes that a network service is disabled.")
    for number, (service, device) in enumerate(SERVICES.items(), 1):
        print(f"({number}) {service}\n(Hardware Port: {service}, Device: {device})\n")
    return 0


def _info(words: list[str]) -> int:
    device = SERVICES[words[0]]
    facts = interfaces()[device]
    manual = recall("network").get("manual", {}).get(words[0])
    print("Manual Configuration" if manual else "DHCP Configuration")
    for entry in facts["addr_info"]:
        if entry["family"] == "inet":
            mask = socket.inet_ntoa(netmask(entry["prefixlen"]).to_bytes(4, "big"))
            print(f"IP address: {entry['local']}\nSubnet mask: {mask}")
    print(f"Router: {(manual or {}).get('router') or '(null)'}")
    print(f"IPv6: Automatic\nIPv6 IP address: none\nIPv6 Router: none\nEthernet Address: {facts['address']}")
    return 0


def _set_manual(words: list[str]) -> int:
    try:
        socket.inet_aton(words[1])
        length = prefix_length(words[2])
    except (IndexError, ValueError, OSError):
        return _bad()
    device = SERVICES[words[0]]
    if not set_address(device, words[1], length):
        return _bad()
    router = words[3] if len(words) > 3 else None
    with changing("network") as values:
        stored = {"device": device, "address": words[1], "length": length, "router": router}
        values.setdefault("manual", {})[words[0]] = stored
    return 0


def _set_dhcp(words: list[str]) -> int:
    with changing("network") as values:
        values.setdefault("manual", {}).pop(words[0], None)
    if words[0] == "Ethernet":
        # The lab's LAN hands out the same address every time.
        set_address("en0", hardware()["address"], 24)
    else:
        ip("address", "flush", "dev", SERVICES[words[0]])
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
    device = SERVICES.get(words[0], words[0])
    facts = interfaces().get(device)
    return say(f"Active MTU: {facts['mtu']} (Current Setting: {facts['mtu']})") if facts else _bad()


def _get_computer_name(_: list[str]) -> int:
    return say(recall("names").get("ComputerName", ""))


def _set_computer_name(words: list[str]) -> int:
    set_name("ComputerName", " ".join(words))
    return 0


def _enabled(_: list[str]) -> int:
    return say("Enabled")


_ANYWHERE = {
    "-listallhardwareports": _ports,
    "-listallnetworkservices": _services,
    "-listnetworkserviceorder": _order,
    "-getcomputername": _get_computer_name,
    "-setcomputername": _set_computer_name,
    "-getmtu": _mtu,
}
_OF_SERVICE = {
    "-getinfo": _info,
    "-setmanual": _set_manual,
    "-setdhcp": _set_dhcp,
    "-getdnsservers": _get_dns,
    "-setdnsservers": _set_dns,
    "-getnetworkserviceenabled": _enabled,
}


def networksetup(arguments: list[str]) -> int:
    """networksetup -COMMAND [SERVICE] [...]; commands are not case-sensitive."""
    if not arguments:
        return complain("networksetup Help Information", 64)
    command, words = re.sub("^--?", "-", arguments[0]).lower(), arguments[1:]
    action = _ANYWHERE.get(command) or _OF_SERVICE.get(command)
    if action is None:
        return _bad(f"{arguments[0]} is not a recognized command.")
    if command.startswith("-set") and not is_root():
        return complain("** Error: Command requires admin privileges.", NEEDS_ROOT)
    if command in _OF_SERVICE and (not words or words[0] not in SERVICES):
        return _bad(f"{words[0] if words else ''} is not a recognized network service.")
    return action(words)
