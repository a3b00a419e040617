"""Facts about Thunderbolt: what is cabled to what, and how the network settings use the ports."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from fleet.cables import PortReport, bridge_members, hardware_port_names, interface_addresses
from fleet.layout import THUNDERBOLT_BEFORE, UNDO

PREFERENCES = "/Library/Preferences/SystemConfiguration/preferences.plist"
_SERVICE = re.compile(r"^\((\d+|\*)\) (.+)\n\(Hardware Port: .*, Device: (\S*)\)$", re.M)


def service_name(interface: str) -> str:
    """The network service that raylab makes for a port. It is a service of its own: nobody else's is changed."""
    return f"raylab {interface}"


def _sections(output: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in output:
        if line.startswith("## "):
            name = line[3:]
            found[name] = ""
        else:
            found[name] = f"{found.get(name, '')}{line}\n"
    return found


class ThunderboltPorts(FactBase[PortReport]):
    """What every port is cabled to, its addresses, and whether it has RDMA."""

    def command(self) -> str:
        """Never fails: rdma_ctl came with macOS 26.2."""
        return (
            "echo '## profiler'; system_profiler SPThunderboltDataType -json 2>/dev/null; "
            "echo; echo '## ports'; networksetup -listallhardwareports 2>/dev/null; "
            "echo '## interfaces'; ifconfig -a 2>/dev/null; echo '## rdma'; rdma_ctl status 2>/dev/null; "
            "echo '## devices'; ibv_devices 2>/dev/null; true"
        )

    @staticmethod
    def default() -> PortReport:
        """None."""
        return PortReport()

    def process(self, output: list[str]) -> PortReport:
        """Parses the five parts. Never raises."""
        parts = _sections(output)
        names = ("profiler", "ports", "interfaces", "rdma", "devices")
        return PortReport.parse(*(parts.get(name, "") for name in names))


@dataclass(frozen=True)
class Service:
    """One network service of the current location."""

    name: str
    interface: str
    enabled: bool


@dataclass(frozen=True)
class PortSettings:
    """How the network settings use this Mac's ports."""

    ports: Mapping[str, str] = field(default_factory=dict)
    """The hardware port of each interface: `Thunderbolt 1` of `en2`."""
    services: tuple[Service, ...] = ()
    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The members that the settings give each bridge."""
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The members that each bridge has at the moment."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    """The address that raylab's own service has, by interface."""
    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was recorded of a port before it was taken, by interface: lines such as `bridge bridge0 1`."""
    pending: bool = False
    """A change waits for a new connection, and will be undone without."""


class NetworkPorts(FactBase[PortSettings]):
    """How the settings use the ports `interfaces`, and those that an earlier run has taken."""

    def command(self, interfaces: Sequence[str]) -> str:
        """Never fails, and costs nothing on a Mac of which no port was ever handed over."""
        handed = shlex.join(interfaces)
        records = f"$(ls {THUNDERBOLT_BEFORE} 2>/dev/null)"
        service = service_name("$each")
        return (
            f'names="{handed} {records}"; if [ -n "${{names# }}" ]; then '
            "echo '## ports'; networksetup -listallhardwareports 2>/dev/null; "
            "echo '## services'; networksetup -listnetworkserviceorder 2>/dev/null; "
            f"echo '## bridges'; plutil -extract VirtualNetworkInterfaces.Bridge json -o - {PREFERENCES} 2>/dev/null; "
            "echo; echo '## interfaces'; ifconfig -a 2>/dev/null; "
            'for each in $names; do echo "## given $each"; '
            f'networksetup -getinfo "{service}" 2>/dev/null; done; '
            f'for each in {records}; do echo "## before $each"; cat "{THUNDERBOLT_BEFORE}/$each"; done; fi; '
            f"if [ -d {UNDO} ] && [ ! -L {UNDO}/decided ]; then echo '## pending'; fi; true"
        )

    @staticmethod
    def default() -> PortSettings:
        """Nothing to tell."""
        return PortSettings()

    def process(self, output: list[str]) -> PortSettings:
        """Parses what `command` printed."""
        parts = _sections(output)
        interfaces = parts.get("interfaces", "")
        return PortSettings(
            {interface: port for port, interface in hardware_port_names(parts.get("ports", "")).items()},
            tuple(Service(m[2], m[3], m[1] != "*") for m in _SERVICE.finditer(parts.get("services", ""))),
            _bridges(parts.get("bridges", "")),
            bridge_members(interfaces),
            interface_addresses(interfaces),
            {
                name.removeprefix("given "): found[1]
                for name, text in parts.items()
                if name.startswith("given ") and (found := re.search(r"^IP address: (\S+)$", text, re.M))
            },
            {
                name.removeprefix("before "): tuple(text.splitlines())
                for name, text in parts.items()
                if name.startswith("before ")
            },
            "pending" in parts,
        )


def _bridges(text: str) -> dict[str, tuple[str, ...]]:
    try:
        return {name: tuple(bridge["Interfaces"]) for name, bridge in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


class SshAddress(FactBase[str]):
    """The address of this Mac that the SSH connection came to; empty without one. sudo hides it, so ask without."""

    def command(self) -> str:
        """The third of client, its port, server, its port."""
        return 'set -- $SSH_CONNECTION; echo "$3"'

    @staticmethod
    def default() -> str:
        """Not by SSH."""
        return ""

    def process(self, output: list[str]) -> str:
        """As printed."""
        return "".join(output).strip()
