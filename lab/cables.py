"""Thunderbolt cables between simulated Macs: two ports joined, and nobody else on that wire.

The switch joins its ends of the two ports by a bridge of their own. Each Mac's port says what is at the other end, as
Thunderbolt does; the stand-in of system_profiler reads it there.
"""

from __future__ import annotations

import fcntl
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import hardware, network
from lab.errors import LabError
from lab.hardware import Hardware
from lab.paths import lab_dir

# Gb/s of a link between two Macs, by the older one's generation.
SPEEDS = {5: 80}
SLOWER = 40


@dataclass(frozen=True)
class End:
    """A port of a Mac; the first has the number 1."""

    mac: str
    port: int

    def __str__(self) -> str:
        return f"{self.mac}:{self.port}"

    @property
    def interface(self) -> str:
        """`en2` for the first."""
        return self.hardware.interfaces[self.port - 1]

    @property
    def hardware(self) -> Hardware:
        """The Mac it is in."""
        return hardware.find(self.mac)


Cable = tuple[End, End]


def read() -> list[Cable]:
    """Every cable, whether its Macs are on or not."""
    file = lab_dir() / "cables.json"
    if not file.exists():
        return []
    return [(End(*one), End(*other)) for one, other in json.loads(file.read_text())]


def _store(cables: list[Cable]) -> None:
    ends = [[(end.mac, end.port) for end in cable] for cable in cables]
    (lab_dir() / "cables.json").write_text(json.dumps(ends))


@contextmanager
def _alone() -> Iterator[None]:
    """Macs boot at the same time, and each looks after its cables."""
    lab_dir().mkdir(exist_ok=True)
    with open(lab_dir() / "cables.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def plug(one: str, other: str) -> Cable:
    """A cable between two ports, each written NAME:PORT, or NAME for its first free one. Raises LabError."""
    with _alone():
        cables = read()
        first = _end(one, cables)
        cable = (first, _end(other, cables))
        if cable[1].mac == first.mac:
            raise LabError(f"{first} and {cable[1]} are ports of the same Mac")
        _store([*cables, cable])
        _join(cable)
    return cable


def pull(one: str, other: str) -> None:
    """Takes out every cable between two Macs, or the one at NAME:PORT. Raises LabError when there is none."""
    with _alone():
        cables = read()
        out = [cable for cable in cables if _is_at(one, cable) and _is_at(other, cable)]
        if one.partition(":")[0] == other.partition(":")[0] or not out:
            raise LabError(f"there is no cable between {one} and {other}: lab status")
        _store([cable for cable in cables if cable not in out])
        for cable in out:
            _part(cable)


def forget(name: str) -> None:
    """Takes out every cable of a Mac."""
    with _alone():
        cables = read()
        _store([cable for cable in cables if not _is_at(name, cable)])
        for cable in cables:
            if _is_at(name, cable):
                _part(cable)


def follow(name: str) -> None:
    """After a Mac's power came or went: its cables carry when the Macs at both ends are there."""
    with _alone():
        for cable in read():
            if _is_at(name, cable):
                _join(cable)


def _is_at(where: str, cable: Cable) -> bool:
    return any(where in (end.mac, str(end)) for end in cable)


def _end(text: str, cables: list[Cable]) -> End:
    name, colon, number = text.partition(":")
    count = hardware.find(name).thunderbolt_ports
    taken = {end.port for cable in cables for end in cable if end.mac == name}
    free = [port for port in range(1, count + 1) if port not in taken]
    if colon and number not in map(str, range(1, count + 1)):
        raise LabError(f"{name} has the Thunderbolt ports 1 to {count}, and no {number or 'port without a number'}")
    port = int(number) if colon else next(iter(free), 0)
    if port not in free:
        raise LabError(f"{text} has a cable already" if colon else f"{name} has no free Thunderbolt port")
    return End(name, port)


def _bridge(cable: Cable) -> str:
    return f"cable-{zlib.crc32(' '.join(map(str, cable)).encode()):08x}"


def _join(cable: Cable) -> None:
    """Carrier at both ends, if both Macs are there; else at none."""
    present = [end for end in cable if network.namespace(end.mac) in network.namespaces()]
    if len(present) < 2:
        _part(cable)
        return
    bridge = _bridge(cable)
    network.ip("-n", network.LAN, "link", "add", bridge, "type", "bridge", check=False)
    network.ip("-n", network.LAN, "link", "set", bridge, "up")
    for end, other in (cable, cable[::-1]):
        port = network.thunderbolt_port(end.mac, end.interface)
        _tell(end, other)
        network.ip("-n", network.LAN, "link", "set", port, "master", bridge, "up")


def _part(cable: Cable) -> None:
    """No carrier at either end."""
    network.ip("-n", network.LAN, "link", "del", _bridge(cable), check=False)
    for end in cable:
        if network.namespace(end.mac) in network.namespaces():
            port = network.thunderbolt_port(end.mac, end.interface)
            network.ip("-n", network.LAN, "link", "set", port, "down", check=False)
            network.ip("-n", network.namespace(end.mac), "link", "set", end.interface, "alias", "", check=False)


def _tell(end: End, other: End) -> None:
    """Let the port know what is at the other end."""
    mac, peer = end.hardware, other.hardware
    speed = SPEEDS.get(min(mac.thunderbolt, peer.thunderbolt), SLOWER)
    seen = [peer.model_name, peer.machine_model, peer.domains[other.port - 1], f"{speed} Gb/s"]
    network.ip("-n", network.namespace(end.mac), "link", "set", end.interface, "alias", json.dumps(seen))
