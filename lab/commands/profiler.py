"""system_profiler, and what belongs to Thunderbolt and its RDMA."""

from __future__ import annotations

import json
import os

from .answers import complain, hardware, say

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
    """Three buses, nothing cabled to them."""
    return [
        {
            "_name": f"thunderboltusb4_bus_{bus}",
            "device_name_key": mac["model_name"],
            "domain_uuid_key": f"{mac['hardware_uuid'][:-1]}{bus}",
            "receptacle_1_tag": {
                "current_speed_key": f"Up to {120 if mac['thunderbolt'] == 5 else 40} Gb/s",
                "receptacle_id_key": str(bus + 1),
                "receptacle_status_key": "receptacle_no_devices_connected",
            },
            "vendor_name_key": "Apple Inc.",
        }
        for bus in range(3)
    ]


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
    """rdma_ctl status | enable | disable: the state can change only in Recovery."""
    if arguments == ["status"]:
        return say("disabled")
    if arguments in (["enable"], ["disable"]):
        return complain("rdma_ctl: This tool needs to be executed from Recovery OS.", 77)
    return complain("usage: rdma_ctl [enable|disable|status]", 64)


def ibv_devices(_: list[str]) -> int:
    """ibv_devices: one per Thunderbolt 5 port."""
    mac = hardware()
    print("    device          \t   node GUID\n    ------          \t----------------")
    if _has_rdma(mac):
        for port in range(2, 5):
            print(f"    rdma_en{port}        \t{mac['hardware_uuid'].replace('-', '').lower()[:15]}{port}")
    return 0
