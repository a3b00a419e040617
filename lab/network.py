"""The lab's two networks: a LAN of network namespaces on a bridge, and a second, "Thunderbolt" one.

A Mac's Thunderbolt ports are links to the switch too, which have no carrier until cables.py joins two of them. Its
namespace is made when it boots and removed when it is off, with all its sockets: a plug pulled leaves nobody who
answers, and nobody who says goodbye.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import hardware
from lab.errors import LabError
from lab.hardware import Hardware
from lab.paths import MacPaths

LAN = "raylab-lan"
"""The namespace of the bridges: the switch."""
HOST_LINK = "raylab0"
HOST_ADDRESS = "10.77.0.1"
SUBNET = "10.77.0.0/24"
BRIDGES = {"lan": "en0", "tb": "bridge0"}
"""Bridge to the interface that a Mac has on it."""


def namespace(name: str) -> str:
    """The network namespace of a Mac, or of the client."""
    return f"raylab-{name}"


def ip(*arguments: str, check: bool = True) -> str:
    """Run ip(8); its output. Raises LabError with what it said."""
    ran = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and ran.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


def _batch(where: str, lines: list[str], check: bool = True) -> None:
    """Run many ip commands in the namespace `where` at the price of one; without `check`, as many as work."""
    ran = subprocess.run(
        ["ip", "-n", where, *([] if check else ["-force"]), "-batch", "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if check and ran.returncode:
        raise LabError(f"ip, in {where}: {ran.stderr.strip()}")


def namespaces() -> list[str]:
    """The lab's namespaces that exist now."""
    ours = [LAN, *(namespace(name) for name in (*hardware.load(), hardware.CLIENT))]
    return sorted(name for name in ours if Path("/run/netns", name).exists())


def _refuse_collision() -> None:
    for line in ip("-4", "route", "show").splitlines():
        if line.startswith("10.77.0.") and HOST_LINK not in line:
            raise LabError(f"this machine already routes {SUBNET}, the lab's LAN: {line.strip()}")


def up() -> None:
    """Make the switch, this machine's own link to it (10.77.0.1) and the client, unless they exist."""
    _refuse_collision()
    existing = namespaces()
    if LAN not in existing:
        ip("netns", "add", LAN)
        _batch(LAN, ["link set lo up", *(f"link add {bridge} type bridge" for bridge in BRIDGES)])
        _batch(LAN, [f"link set {bridge} up" for bridge in BRIDGES])
    if not ip("link", "show", HOST_LINK, check=False):
        ip("link", "add", HOST_LINK, "type", "veth", "peer", "name", "host", "netns", LAN)
        _batch(LAN, ["link set host master lan up"])
        ip("addr", "add", f"{HOST_ADDRESS}/24", "dev", HOST_LINK)
        ip("link", "set", HOST_LINK, "up")
    if namespace(hardware.CLIENT) not in existing:
        where = namespace(hardware.CLIENT)
        ip("netns", "add", where)
        ip("-n", LAN, "link", "add", "client", "type", "veth", "peer", "name", "en0", "netns", where)
        _batch(LAN, ["link set client master lan up"])
        address = hardware.client_address()
        _batch(where, ["link set lo up", f"addr add {address}/24 dev en0", "link set en0 up"])


def down() -> None:
    """Remove every namespace of the lab, and this machine's link."""
    ip("link", "del", HOST_LINK, check=False)
    for name in namespaces():
        ip("netns", "del", name)


def plug_in(mac: Hardware) -> None:
    """Make a Mac's namespace and its links, the LAN's as its cable is: cut, shaped, or neither."""
    unplug(mac)
    where = namespace(mac.name)
    ip("netns", "add", where)
    links = [
        f"link add {port} type veth peer name {interface} address {mac.ether(index)} netns {where}"
        for index, (port, interface) in enumerate(zip(_ports(mac), (*BRIDGES.values(), *mac.interfaces), strict=True))
    ]
    _batch(LAN, [*links, *(f"link set {_port(mac.name, bridge)} master {bridge} up" for bridge in BRIDGES)])
    _batch(
        where,
        [
            "link set lo up",
            f"addr add {mac.address}/24 brd + dev en0",
            "link set en0 up",
            "link set bridge0 up",
            *(f"link set {interface} up" for interface in mac.interfaces),
        ],
    )
    _apply(mac.name, Link.read(mac.name))


def unplug(mac: Hardware) -> None:
    """Remove a Mac's namespace and links, if it has them."""
    _batch(LAN, [f"link del {port}" for port in _ports(mac)], check=False)
    if namespace(mac.name) in namespaces():
        ip("netns", "del", namespace(mac.name))


def go_silent(mac: Hardware) -> None:
    """Cut all links of a Mac that is about to lose power: nobody hears its sockets close."""
    _batch(LAN, [f"link set {port} down" for port in _ports(mac)], check=False)


def _port(name: str, bridge: str) -> str:
    return name if bridge == "lan" else f"tb-{name}"


def thunderbolt_port(name: str, interface: str) -> str:
    """The switch's end of a Thunderbolt port."""
    return f"{name}-{interface}"


def _ports(mac: Hardware) -> list[str]:
    """The switch's ends of all links of a Mac."""
    ports = [_port(mac.name, bridge) for bridge in BRIDGES]
    return [*ports, *(thunderbolt_port(mac.name, interface) for interface in mac.interfaces)]


@dataclass(frozen=True)
class Link:
    """The state of a Mac's LAN cable, kept over reboots."""

    cut: bool = False
    rate: str | None = None
    """As tc(8) writes it, e.g. 100mbit; None is unshaped."""

    @staticmethod
    def read(name: str) -> Link:
        """The stored state, or an unharmed cable."""
        with contextlib.suppress(FileNotFoundError):
            return Link(**json.loads(MacPaths(name).link.read_text()))
        return Link()

    def store(self, name: str) -> None:
        """Keep it, and apply it if the Mac is there."""
        MacPaths(name).home.mkdir(parents=True, exist_ok=True)
        MacPaths(name).link.write_text(json.dumps(asdict(self)))
        if namespace(name) in namespaces():
            _apply(name, self)


def cut(name: str) -> None:
    """Pull the LAN cable: the Mac runs on, unreachable."""
    Link(cut=True, rate=Link.read(name).rate).store(name)


def join(name: str) -> None:
    """Put the LAN cable back."""
    Link(cut=False, rate=Link.read(name).rate).store(name)


def shape(name: str, rate: str) -> None:
    """Limit the LAN link to `rate` in each direction: 100mbit, 1gbit, a bare number of Mbit/s, or none."""
    Link(cut=Link.read(name).cut, rate=_rate(rate)).store(name)


def shape_host(rate: str) -> None:
    """Likewise for this machine's own link, until the lab is down. Raises LabError when it is."""
    if not ip("link", "show", HOST_LINK, check=False):
        raise LabError("the lab is down: lab up")
    _limit([(None, HOST_LINK), (LAN, "host")], _rate(rate))


def _rate(text: str) -> str | None:
    """As tc(8) writes it; None for none."""
    if text == "none":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)?", text.lower())
    if not found or float(found[1]) == 0:
        raise LabError(f"{text} is no rate: write 100mbit, 1gbit, or none")
    return f"{found[1]}{found[2] or 'mbit'}"


def _apply(name: str, link: Link) -> None:
    ip("-n", LAN, "link", "set", name, "down" if link.cut else "up")
    _limit([(namespace(name), "en0"), (LAN, name)], link.rate)


def _limit(ends: list[tuple[str | None, str]], rate: str | None) -> None:
    """Shape what leaves each of these devices; a device's namespace is None for this machine's own."""
    for where, device in ends:
        command = ["tc", *(["-n", where] if where else []), "qdisc"]
        subprocess.run([*command, "del", "dev", device, "root"], capture_output=True, check=False)
        if rate:
            # A bucket below a few milliseconds of traffic cannot reach the rate.
            number, unit = re.match(r"([\d.]+)(\w)", rate).groups()  # type: ignore[union-attr]
            burst = max(64 * 1024, int(float(number) * {"k": 1e3, "m": 1e6, "g": 1e9}[unit] / 8 * 0.004))
            shaping = ["root", "tbf", "rate", rate, "burst", str(burst), "latency", "30ms"]
            subprocess.run([*command, "replace", "dev", device, *shaping], capture_output=True, check=True)
