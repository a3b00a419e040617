"""Macs with Thunderbolt ports, as their own commands describe them: keys and values as macOS 26 prints them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from fleet.cables import PortReport

# The receptacle's number says nothing about the interface: a MacBook Pro has them in this order.
MACBOOK = {1: "en1", 2: "en6", 3: "en2"}
STUDIO = {1: "en2", 2: "en3", 3: "en4", 4: "en5", 5: "en6", 6: "en7"}
MINI = {1: "en2", 2: "en3", 3: "en4"}


@dataclass
class Desk:
    """Some Macs, and what is plugged into their ports."""

    macs: dict[str, dict[int, str]]
    """Interface by receptacle, by Mac."""
    cables: list[tuple[str, int, str, int]] = field(default_factory=list)
    docks: list[tuple[str, int, str]] = field(default_factory=list)
    """A dock at a port: its name."""
    behind: list[tuple[str, int, str, int]] = field(default_factory=list)
    """Ports joined through docks: each Mac shows the other below its dock."""
    speed: int = 80
    rdma: bool = False
    bridged: bool = True
    """The ports are in the Thunderbolt Bridge, as on a new Mac."""
    addresses: dict[tuple[str, str], str] = field(default_factory=dict)

    def report(self, mac: str) -> PortReport:
        """What fleet/ makes of the Mac's own output."""
        return PortReport.parse(
            self.profiler(mac), self.hardware_ports(mac), self.ifconfig(mac), self.rdma_ctl(), self.ibv_devices(mac)
        )

    def reports(self) -> dict[str, PortReport]:
        return {mac: self.report(mac) for mac in self.macs}

    def profiler(self, mac: str) -> str:
        """`system_profiler SPThunderboltDataType -json`: the last bus first."""
        buses = [self._bus(mac, receptacle) for receptacle in sorted(self.macs[mac], reverse=True)]
        return json.dumps({"SPThunderboltDataType": buses}, indent=2)

    def _bus(self, mac: str, receptacle: int) -> dict[str, Any]:
        items = self._items(mac, receptacle)
        return {
            **({"_items": items} if items else {}),
            "_name": f"thunderboltusb4_bus_{receptacle - 1}",
            "device_name_key": "Mac Studio",
            "domain_uuid_key": domain(mac, receptacle),
            "receptacle_1_tag": {
                "current_speed_key": f"{self.speed} Gb/s" if items else "Up to 120 Gb/s",
                "link_status_key": "0x2" if items else "0x100",
                "micro_version_key": "0.0.0",
                "receptacle_id_key": str(receptacle),
                "receptacle_status_key": "receptacle_connected" if items else "receptacle_no_devices_connected",
            },
            "route_string_key": "0",
            "switch_uid_key": f"0x05AC714E4ABE981{receptacle}",
            "vendor_name_key": "Apple Inc.",
        }

    def _items(self, mac: str, receptacle: int) -> list[dict[str, Any]]:
        here = (mac, receptacle)
        items = [_peer(*there) for there in _others(self.cables, here)]
        for name in [name for owner, port, name in self.docks if (owner, port) == here]:
            below = [_peer(*there) for there in _others(self.behind, here)]
            items.append({**_dock(name), **({"_items": below} if below else {})})
        return items

    def hardware_ports(self, mac: str) -> str:
        """`networksetup -listallhardwareports`."""
        found = {"Ethernet": "en0", **{f"Thunderbolt {n}": name for n, name in self.macs[mac].items()}}
        found |= {"Thunderbolt Bridge": "bridge0"} if self.bridged else {}
        blocks = (
            f"\nHardware Port: {port}\nDevice: {name}\nEthernet Address: 36:1c:0a:4d:00:0b\n"
            for port, name in found.items()
        )
        return "".join(blocks) + "\nVLAN Configurations\n===================\n"

    def ifconfig(self, mac: str) -> str:
        """`ifconfig -a`."""
        text = _interface("en0", self.addresses.get((mac, "en0"), "192.168.1.20"))
        for name in self.macs[mac].values():
            text += _interface(name, self.addresses.get((mac, name), ""))
        members = "".join(
            f"\tmember: {name} flags=3<LEARNING,DISCOVER>\n\t        ifmaxaddr 0 port 9 priority 0 path cost 0\n"
            for name in self.macs[mac].values()
        )
        return text + (_interface("bridge0", self.addresses.get((mac, "bridge0"), ""), members) if self.bridged else "")

    def rdma_ctl(self) -> str:
        return "enabled\n" if self.rdma else "disabled\n"

    def ibv_devices(self, mac: str) -> str:
        """macOS lists a device for every port, also while RDMA is off."""
        rows = "".join(f"    rdma_{name}        \te0c5797d9c8fac05\n" for name in self.macs[mac].values())
        return f"    device          \t   node GUID\n    ------          \t----------------\n{rows}"


def domain(mac: str, receptacle: int) -> str:
    """A UUID of the port's own."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{mac} {receptacle}")).upper()


def _others(cables: list[tuple[str, int, str, int]], here: tuple[str, int]) -> list[tuple[str, int]]:
    ends = [((one, port), (other, far)) for one, port, other, far in cables]
    return [second for first, second in ends if first == here] + [first for first, second in ends if second == here]


def _peer(mac: str, receptacle: int) -> dict[str, Any]:
    """A computer at the other end."""
    service = {"_name": "service_ip", "protocol_id_key": 1, "protocol_revision_key": 1, "protocol_version_key": 1}
    return {
        "_name": "Mac Studio",
        "device_id_key": "0xA",
        "device_name_key": "Mac15,14",
        "domain_uuid_key": domain(mac, receptacle),
        "services_title": [service],
        "vendor_id_key": "0x0A27",
        "vendor_name_key": "Apple Inc.",
    }


def _dock(name: str) -> dict[str, Any]:
    """A device that is no computer has no domain."""
    return {
        "_name": name,
        "device_id_key": "0x41",
        "device_name_key": name,
        "mode_key": "usb_four",
        "receptacle_upstream_ambiguous_tag": {
            "current_speed_key": "40 Gb/s",
            "link_status_key": "0x2",
            "receptacle_status_key": "receptacle_connected",
        },
        "route_string_key": "1",
        "switch_uid_key": "0x003D4B3A0F2C8500",
        "vendor_name_key": "CalDigit, Inc.",
    }


def _interface(name: str, address: str, below: str = "") -> str:
    inet = f"\tinet {address} netmask 0xffffff00 broadcast 192.168.1.255\n" if address else ""
    return (
        f"{name}: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n\toptions=460<TSO4,TSO6>\n"
        f"\tether 36:1c:0a:4d:02:0b\n{inet}{below}\tmedia: autoselect <full-duplex>\n\tstatus: active\n"
    )
