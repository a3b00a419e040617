"""Network interfaces: ifconfig and ipconfig, from the real ones."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from typing import Any

from . import bridges
from .answers import REAL, complain, is_root

LOOPBACK = "lo"
"""Linux's name of what macOS calls lo0."""


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Linux's ip(8)."""
    return subprocess.run([f"{REAL}/ip", *arguments], capture_output=True, text=True, check=False)


def interfaces() -> dict[str, dict[str, Any]]:
    """Every interface by its macOS name: what `ip -json address` says of it."""
    found = json.loads(ip("-json", "address").stdout or "[]")
    return {"lo0" if one["ifname"] == LOOPBACK else one["ifname"]: one for one in found}


def prefix_length(mask: str) -> int:
    """255.255.255.0 or 0xffffff00 to 24. Raises ValueError for what is no mask."""
    number = int(mask, 16) if mask.startswith("0x") else struct.unpack("!I", socket.inet_aton(mask))[0]
    length = number.bit_count()
    if number != netmask(length):
        raise ValueError(mask)
    return length


def netmask(length: int) -> int:
    """24 to 0xffffff00."""
    return 0xFFFFFFFF ^ (0xFFFFFFFF >> length)


def set_address(device: str, address: str, length: int) -> bool:
    """Give an interface this address and no other; whether that worked."""
    ip("address", "flush", "dev", device)
    return ip("address", "add", f"{address}/{length}", "brd", "+", "dev", device).returncode == 0


def ipconfig(arguments: list[str]) -> int:
    """ipconfig getifaddr DEVICE | ifcount | waitall."""
    if arguments[:1] == ["getifaddr"] and len(arguments) == 2:
        for entry in interfaces().get(arguments[1], {}).get("addr_info", []):
            if entry["family"] == "inet":
                print(entry["local"])
                return 0
        return 1
    if arguments == ["ifcount"]:
        print(len(interfaces()) - 1)
        return 0
    if arguments == ["waitall"]:
        return 0
    return complain("usage: ipconfig <command> <args>", 1)


def ifconfig(arguments: list[str]) -> int:
    """ifconfig [-a | -l | DEVICE [inet ADDRESS [netmask MASK]] [alias | -alias | up | down | mtu N | addm M ...]]."""
    found = interfaces()
    if arguments in ([], ["-a"]):
        for name in found:
            _show(name, found[name])
        return 0
    if arguments == ["-l"]:
        print(*found)
        return 0
    name = arguments[0]
    if name not in found:
        return complain(f"ifconfig: interface {name} does not exist")
    if len(arguments) == 1:
        _show(name, found[name])
        return 0
    if not is_root():
        return complain("ifconfig: ioctl (SIOCAIFADDR): permission denied")
    if arguments[1] in ("addm", "deletem"):
        return _member(name, arguments[1:])
    return _change(found[name]["ifname"], arguments[1:])


def _show(name: str, facts: dict[str, Any]) -> None:
    up, carrier = "UP" in facts["flags"], "LOWER_UP" in facts["flags"]
    if name == "lo0":
        print(f"lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu {facts['mtu']}")
    elif up:
        print(f"{name}: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu {facts['mtu']}")
    else:
        print(f"{name}: flags=8822<BROADCAST,SMART,SIMPLEX,MULTICAST> mtu {facts['mtu']}")
    if name != "lo0":
        print(f"\tether {facts['address']}")
    for entry in facts["addr_info"]:
        if entry["family"] == "inet":
            broadcast = f" broadcast {entry['broadcast']}" if "broadcast" in entry else ""
            print(f"\tinet {entry['local']} netmask {netmask(entry['prefixlen']):#010x}{broadcast}")
        else:
            scope = f"%{name}" if entry["scope"] == "link" else ""
            print(f"\tinet6 {entry['local']}{scope} prefixlen {entry['prefixlen']}")
    for member in bridges.joined().get(name, []):
        print(f"\tmember: {member} flags=3<LEARNING,DISCOVER>")
    if name != "lo0":
        print("\tmedia: autoselect (10Gbase-T <full-duplex>)" if carrier else "\tmedia: autoselect (none)")
        print(f"\tstatus: {'active' if carrier else 'inactive'}")


def _member(bridge: str, words: list[str]) -> int:
    """addm and deletem; each may be there several times."""
    for verb, member in zip(words[::2], words[1::2], strict=False):
        if not bridges.change(bridge, member, verb == "addm"):
            error = "BRDGADD" if verb == "addm" else "BRDGDEL"
            return complain(f"ifconfig: {error} {member}: {'File exists' if verb == 'addm' else 'No such file'}")
    return 0


def _change(device: str, words: list[str]) -> int:
    if words in (["up"], ["down"]):
        return ip("link", "set", device, words[0]).returncode
    if words[0] == "mtu" and len(words) == 2:
        return ip("link", "set", device, "mtu", words[1]).returncode
    words = [word for word in words if word not in ("inet", "up")]
    address, _, length = words[0].partition("/")
    try:
        if "netmask" in words:
            length = str(prefix_length(words[words.index("netmask") + 1]))
        socket.inet_aton(address)
    except (ValueError, OSError, IndexError):
        return complain(f"ifconfig: {words[0]}: bad value")
    if "-alias" in words or "delete" in words:
        return ip("address", "del", f"{address}/{length or 32}", "dev", device).returncode
    if "alias" in words:
        return ip("address", "add", f"{address}/{length or 24}", "dev", device).returncode
    return 0 if set_address(device, address, int(length or 24)) else 1
