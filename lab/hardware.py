"""What each simulated Mac is: hardware.toml, typed."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lab.errors import LabError

FILE = Path(__file__).with_name("hardware.toml")
CLIENT = "client"
"""The LAN machine outside the fleet: a network namespace and nothing else."""


@dataclass(frozen=True)
class Hardware:
    """One simulated Mac, as it answers about itself."""

    name: str
    address: str
    """Its IPv4 address on the LAN: the node IP."""
    chip: str
    """`sysctl machdep.cpu.brand_string`."""
    machine_model: str
    """`sysctl hw.model`."""
    model_name: str
    """What people call it: Mac mini, Mac Studio, MacBook Pro."""
    memory_gb: int
    performance_cores: int
    efficiency_cores: int
    gpu_cores: int
    thunderbolt: int
    """Thunderbolt generation; 5 has RDMA (macOS 26.2 and later)."""
    thunderbolt_ports: int
    """How many; the first is en2."""
    macos: str
    """`sw_vers -productVersion`."""
    build: str
    """`sw_vers -buildVersion`."""

    @property
    def number(self) -> int:
        """The last part of its address: unique on the LAN, so MAC addresses are made of it."""
        return int(self.address.rsplit(".", 1)[1])

    def ether(self, link: int) -> str:
        """The MAC address of its first (0, en0) or second (1, bridge0) link, or of a Thunderbolt port (2, en2)."""
        return f"36:1c:0a:4d:{link:02x}:{self.number:02x}"

    @property
    def uuid(self) -> str:
        """Made of its name."""
        digest = hashlib.sha256(self.name.encode()).hexdigest().upper()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))

    @property
    def interfaces(self) -> list[str]:
        """The interface of each Thunderbolt port."""
        return [f"en{number}" for number in range(2, 2 + self.thunderbolt_ports)]

    @property
    def domains(self) -> list[str]:
        """The UUID of each Thunderbolt port."""
        return [f"{self.uuid[:-1]}{bus}" for bus in range(self.thunderbolt_ports)]

    def as_json(self) -> dict[str, Any]:
        """What the Mac itself reads: the fields, the Thunderbolt ports, and a serial number made of its name."""
        serial = hashlib.sha256(self.name.encode()).hexdigest().upper()[-10:]
        thunderbolt = {"interfaces": self.interfaces, "domains": self.domains}
        return {**asdict(self), **thunderbolt, "serial_number": serial, "hardware_uuid": self.uuid}


def _read(file: Path) -> dict[str, dict[str, Any]]:
    return tomllib.loads(file.read_text())


def load(file: Path = FILE) -> dict[str, Hardware]:
    """Every Mac of `file` by name, without the client. Raises LabError naming the Mac and the key."""
    wanted = {field.name: field.type for field in fields(Hardware)} | {"name": "str"}
    macs = {}
    for name, values in _read(file).items():
        if name == CLIENT:
            continue
        values = {**values, "name": name}
        for key in values.keys() ^ wanted.keys():
            state = "is missing" if key in wanted else "is no such key"
            raise LabError(f"{file.name}: {name}: {key} {state}")
        for key, kind in wanted.items():
            if type(values[key]).__name__ != kind:
                raise LabError(f"{file.name}: {name}: {key} must be {kind}, not {values[key]!r}")
        macs[name] = Hardware(**values)
    return macs


def client_address(file: Path = FILE) -> str:
    """The LAN address of the client namespace."""
    return str(_read(file)[CLIENT]["address"])


def find(name: str, file: Path = FILE) -> Hardware:
    """The Mac called `name`. Raises LabError that says the nearest name."""
    macs = load(file)
    if name not in macs:
        near = difflib.get_close_matches(name, macs, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(macs)}."
        raise LabError(f"no simulated Mac is called {name}: {hint}")
    return macs[name]
