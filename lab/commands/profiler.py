"""system_profiler, and what belongs to Thunderbolt and its RDMA."""

from __future__ import annotations

import json
import os

from .answers import complain, hardware, recall, say
from .interfaces import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = {"SPHardwareDataType": "Hardware", "SPDisplaysDataType": "Graphics/Displays"}
NAMES |= {"SPThunderboltDataType": "Thunderbolt/USB4", "SPSoftwareDataType": "Software"}
LABELS = {
    "machine_name": "Model Name",
    "machine_model": "Model Identifier",
    "chip_type": "Chip",
    "number_processors": "Total Number of Cores",
    "physical_memory": "Memory",
    "serial_number": "Serial Number (system)",
    "platform_UUID": "Hardware UUID",
    "sppci_model": "Chipset Model",
    "sppci_cores": "Total Number of Cores",
    "os_version": "System Version",
    "local_host_name": "Computer Name",
}


def _hardware(mac: dict[str, Any]) -> list[dict[str, Any]]:
    fast, slow = mac["performance_cores"], mac["efficiency_cores"]
    return [
        {
            "_name": "hardware_overview",
            "activation_lock_status": "activation_lock_disabled",
            "chip_type": mac["chip"],
            "machine_model": mac["machine_model"],
            "machine_name": mac["model_name"],
            "number_processors": f"proc {fast + slow}:{fast}:{slow}",
            "physical_memory": f"{mac['memory_gb']} GB",
            "platform_UUID": mac["hardware_uuid"],
            "serial_number": mac["serial_number"],
        }
    ]


def _displays(mac: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "_name": mac["chip"],
            "spdisplays_mtlgpufamilysupport": "spdisplays_metal4",
            "spdisplays_vendor": "sppci_vendor_Apple",
            "sppci_bus": "spdisplays_builtin",
            "sppci_cores": str(mac["gpu_cores"]),
            "sppci_device_type": "spdisplays_gpu",
            "sppci_model": mac["chip"],
        }
    ]


def _thunderbolt(mac: dict[str, Any]) -> list[dict[str, Any]]:
    """A bus for each port, the last one first, and the Mac that is cabled to it."""
    cabled = _cabled()
    return [_bus(mac, bus, cabled.get(name)) for bus, name in reversed(list(enumerate(mac["interfaces"])))]


def _bus(mac: dict[str, Any], bus: int, peer: list[str] | None) -> dict[str, Any]:
    up_to = {5: 120, 4: 40}.get(mac["thunderbolt"], 40)
    tag = {
        "current_speed_key": peer[3] if peer else f"Up to {up_to} Gb/s",
        "link_status_key": "0x2" if peer else "0x100",
        "receptacle_id_key": str(bus + 1),
        "receptacle_status_key": "receptacle_connected" if peer else "receptacle_no_devices_connected",
    }
    return {
        **({"_items": [_peer(peer)]} if peer else {}),
        "_name": f"thunderboltusb4_bus_{bus}",
        "device_name_key": mac["model_name"],
        "domain_uuid_key": mac["domains"][bus],
        "receptacle_1_tag": tag,
        "route_string_key": "0",
        "switch_uid_key": f"0x05AC{mac['serial_number']}{bus:02d}",
        "vendor_name_key": "Apple Inc.",
    }


def _peer(peer: list[str]) -> dict[str, Any]:
    service = {"_name": "service_ip", "protocol_id_key": 1, "protocol_revision_key": 1, "protocol_version_key": 1}
    return {
        "_name": peer[0],
        "device_id_key": "0xA",
        "device_name_key": peer[1],
        "domain_uuid_key": peer[2],
        "services_title": [service],
        "vendor_id_key": "0x0A27",
        "vendor_name_key": "Apple Inc.",
    }


def _cabled() -> dict[str, list[str]]:
    """By interface with a carrier: name, model and domain of the Mac at the other end, and the speed."""
    found = json.loads(ip("-json", "link").stdout or "[]")
    return {
        one["ifname"]: json.loads(one["ifalias"]) for one in found if "ifalias" in one and "LOWER_UP" in one["flags"]
    }


def _software(mac: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "_name": "os_overview",
            "local_host_name": os.uname().nodename.split(".")[0],
            "os_version": f"macOS {mac['macos']} ({mac['build']})",
            "system_integrity": "integrity_enabled",
        }
    ]


_SECTIONS = {
    "SPHardwareDataType": _hardware,
    "SPDisplaysDataType": _displays,
    "SPThunderboltDataType": _thunderbolt,
    "SPSoftwareDataType": _software,
}


def system_profiler(arguments: list[str]) -> int:
    """system_profiler [-json] [TYPE ...]; an unknown type prints nothing, as on a Mac."""
    wanted = [word for word in arguments if word.startswith("SP")] or list(_SECTIONS)
    mac = hardware()
    found = {name: _SECTIONS[name](mac) for name in wanted if name in _SECTIONS}
    if "-listDataTypes" in arguments:
        return say("\n".join(["Available Datatypes:", *_SECTIONS]))
    if "-json" in arguments:
        return say(json.dumps(found, indent=2))
    for name, items in found.items():
        print(f"{NAMES[name]}:\n")
        for item in items:
            print(f"    {item['_name']}:\n" if name != "SPHardwareDataType" else "    Hardware Overview:\n")
            for key, label in LABELS.items():
                if key in item:
                    print(f"      {label}: {item[key]}")
            print()
    return 0


def _has_rdma(mac: dict[str, Any]) -> bool:
    """Thunderbolt 5 and macOS 26.2 or later."""
    version = tuple(int(part) for part in mac["macos"].split("."))
    return bool(mac["thunderbolt"] >= 5 and version >= (26, 2))


def rdma_ctl(arguments: list[str]) -> int:
    """rdma_ctl status | enable | disable: the state can change only in Recovery, as in the file rdma.json here."""
    if arguments == ["status"]:
        return say("enabled" if _has_rdma(hardware()) and recall("rdma").get("enabled") else "disabled")
    if arguments in (["enable"], ["disable"]):
        return complain("rdma_ctl: This tool needs to be executed from Recovery OS.", 77)
    return complain("usage: rdma_ctl [enable|disable|status]", 64)


def ibv_devices(_: list[str]) -> int:
    """ibv_devices: one per Thunderbolt 5 port."""
    mac = hardware()
    print("    device          \t   node GUID\n    ------          \t----------------")
    if _has_rdma(mac):
        for port, name in enumerate(mac["interfaces"], 2):
            print(f"    rdma_{name}        \t{mac['hardware_uuid'].replace('-', '').lower()[:15]}{port}")
    return 0
