"""Names: scutil for this Mac's own, dscacheutil for what a name resolves to."""

from __future__ import annotations

import re
import socket

from .answers import changing, complain, is_root, recall, say

KEYS = ("ComputerName", "LocalHostName", "HostName")


def set_name(key: str, value: str) -> None:
    """Keep a name (an empty one unsets it); HostName, else LocalHostName.local, is what `hostname` prints."""
    with changing("names") as values:
        if value:
            values[key] = value
        else:
            values.pop(key, None)
        socket.sethostname(values.get("HostName") or f"{values.get('LocalHostName', 'localhost')}.local")


def scutil(arguments: list[str]) -> int:
    """scutil --get KEY | --set KEY [VALUE] | --dns."""
    if arguments == ["--dns"]:
        return _dns()
    if len(arguments) < 2 or arguments[0] not in ("--get", "--set"):
        return complain("usage: scutil --get pref | --set pref [newval] | --dns", 64)
    key = arguments[1]
    if key not in KEYS:
        return complain(f"{key} is not a known preference", 64)
    if arguments[0] == "--get":
        value = recall("names").get(key)
        return say(value) if value else complain(f"{key}: not set")
    if not is_root():
        return complain("SCPreferencesLock() failed: Permission denied")
    value = arguments[2] if len(arguments) > 2 else ""
    if key == "LocalHostName" and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", value):
        return complain("SCPreferencesSetLocalHostName() failed: Invalid argument")
    set_name(key, value)
    return 0


def _dns() -> int:
    with open("/etc/resolv.conf") as file:
        servers = [line.split()[1] for line in file if line.startswith("nameserver")]
    print("DNS configuration\n\nresolver #1")
    for index, server in enumerate(servers):
        print(f"  nameserver[{index}] : {server}")
    return 0


def dscacheutil(arguments: list[str]) -> int:
    """dscacheutil -q host -a name NAME | -q host -a ip_address ADDRESS | -flushcache. Nothing found: rc 0."""
    if arguments == ["-flushcache"]:
        return 0
    if len(arguments) != 5 or arguments[:3] != ["-q", "host", "-a"]:
        return complain("Usage: dscacheutil -q category [-a key value]", 64)
    key, value = arguments[3:]
    try:
        if key == "ip_address":
            name, _, addresses = socket.gethostbyaddr(value)
        else:
            name, _, addresses = socket.gethostbyname_ex(value)
    except OSError:
        return 0
    print(f"name: {name}")
    for address in addresses:
        print(f"ip_address: {address}")
    print()
    return 0
