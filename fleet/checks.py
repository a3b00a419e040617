"""What must hold for an inventory before anything else is looked at. Each check reports all that it finds."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet import ports
from fleet.errors import Code, Problem
from fleet.firewall import is_network
from fleet.ports import HIGHEST, LOWEST, Ports
from fleet.raw import Entry, RawFleet, RawMac, shorten
from fleet.settings import FLEET_SETTINGS, MAC_SETTINGS, PER_MAC_ONLY
from fleet.values import Report, nearest, shown

# macOS allows 103 bytes. `/session_` with date, time and pid takes 41, `/sockets/dash_TaskEventsHead` 28, side two one.
TEMP_DIR_BYTES = 33
# pyinfra's own; `_sudo` and the like begin with an underscore.
SSH_SETTINGS = (
    "ssh_hostname",
    "ssh_port",
    "ssh_user",
    "ssh_password",
    "ssh_key",
    "ssh_key_password",
    "ssh_allow_agent",
    "ssh_look_for_keys",
    "ssh_forward_agent",
    "ssh_config_file",
    "ssh_known_hosts_file",
    "ssh_strict_host_key_checking",
    "ssh_paramiko_connect_kwargs",
    "ssh_connect_retries",
    "ssh_connect_retry_min_delay",
    "ssh_connect_retry_max_delay",
    "ssh_file_transfer_protocol",
)
KNOWN = (*MAC_SETTINGS, *FLEET_SETTINGS, *SSH_SETTINGS)
# As browsers send it: no path, not even a slash.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_INTERFACE = re.compile(r"en[0-9]+")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass
class Findings:
    """The problems found so far."""

    inventory: str
    problems: list[Problem] = field(default_factory=list)

    def at(self, where: Callable[..., str], mac: str, name: str) -> Report:
        """A way to report problems at one place; the place is looked up only when there is one."""

        def report(code: Code, given: str, fix: str, other: str = "") -> None:
            self.add(Problem(code, where(), mac, name, given, fix, other))

        return report

    def add(self, problem: Problem) -> None:
        """Keep a problem. What a group gives to several Macs is told once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def path(self, path: Path, root: Path) -> str:
        """A path as a person would write it."""
        return shorten(path, root)


def check_members(raw: RawFleet, findings: Findings) -> None:
    """One head, valid names, no name twice, a connection for each Mac."""
    heads = [mac for mac in raw.macs if mac.role == "head"]
    if not heads:
        fix = 'Write head = [("@mac/NAME", {"node_ip": "…"})].'
        findings.add(Problem(Code.NO_HEAD, raw.inventory, "", "head", "", fix))
    if len(heads) > 1:
        given = ", ".join(mac.name for mac in heads)
        findings.add(Problem(Code.TWO_HEADS, heads[1].where, "", "head", given, "Move all but one into `workers`."))
    seen: set[str] = set()
    for mac in raw.macs:
        if mac.name in seen:
            fix = "Give every Mac its own name, and one role."
            findings.add(Problem(Code.NAME_TWICE, mac.where, mac.name, "", mac.name, fix))
        seen.add(mac.name)
        if mac.entry != "@local" and not mac.entry.startswith("@mac/"):
            fix = 'Write "@mac/NAME", or "@local" for the Mac that this runs on.'
            findings.add(Problem(Code.CONNECTOR_UNKNOWN, mac.where, "", "", shown(mac.entry), fix))
            continue
        own = mac.data.get("host_name")
        name = own.value if own else mac.name
        if not _HOST_NAME.fullmatch(str(name)) and (own or mac.entry != "@local"):
            fix = "Use letters, digits and hyphens, at most 63, no dots: other Macs look this name up."
            where, label = (own.where(), "host_name") if own else (mac.where, "")
            findings.add(Problem(Code.NAME_INVALID, where, mac.name, label, shown(name), fix))


def check_setting_names(raw: RawFleet, findings: Findings) -> None:
    """No setting that nobody reads, none that stands where it cannot."""
    for group, name, entry in raw.group_data:
        _check_name(name, entry, "", findings)
        if name in PER_MAC_ONLY:
            fix = f"Write it beside the Mac's name in {raw.inventory}, not for the group `{group}`."
            findings.at(entry.where, "", name)(Code.SETTING_PLACE, shown(entry.value), fix)
    for mac in raw.macs:
        for name, entry in mac.data.items():
            if entry.own:
                _check_name(name, entry, mac.name, findings)


def _check_name(name: str, entry: Entry, mac: str, findings: Findings) -> None:
    if name not in KNOWN and not name.startswith("_"):
        fix = nearest(name, KNOWN, "Remove it, or begin its name with _ when it only helps other lines.")
        findings.at(entry.where, mac, name)(Code.SETTING_UNKNOWN, f"`{name}`", fix)


def check_addresses(raw: RawFleet, findings: Findings) -> None:
    """Every Mac has its own IPv4 address; loopback only where nobody else needs to reach it."""
    owners: dict[str, RawMac] = {}
    for mac in raw.macs:
        entry = mac.data.get("node_ip")
        if entry is None:
            fix = f'Write ("{mac.entry}", {{"node_ip": "192.168.1.20"}}) with an address of that Mac.'
            findings.add(Problem(Code.NODE_IP_MISSING, mac.where, mac.name, "node_ip", "", fix))
            continue
        if not isinstance(entry.value, str) or not entry.own:
            continue  # reported as a wrong type, or as standing in the wrong place
        report = findings.at(entry.where, mac.name, "node_ip")
        address = _address(entry.value)
        if address is None:
            report(Code.NODE_IP_INVALID, shown(entry.value), "Write four numbers, such as 192.168.1.20.")
        elif address.is_loopback and len(raw.macs) > 1:
            report(Code.LOOPBACK_MIXED, entry.value, "Give every Mac of a fleet its address on the LAN.")
        elif entry.value in owners and owners[entry.value].name != mac.name:
            report(Code.NODE_IP_TWICE, entry.value, "Give every Mac its own.", owners[entry.value].name)
        owners.setdefault(entry.value, mac)
    for mac in raw.macs:
        _check_thunderbolt(mac, owners, findings)


def _check_thunderbolt(mac: RawMac, owners: dict[str, RawMac], findings: Findings) -> None:
    """An address of its own on another network; `owners` are the Macs by the addresses seen so far."""
    entry = mac.data.get("thunderbolt_ip")
    if entry is None or not isinstance(entry.value, str) or not entry.own:
        return
    report = findings.at(entry.where, mac.name, "thunderbolt_ip")
    address = _address(entry.value)
    if address is None or address.is_loopback:
        report(Code.NODE_IP_INVALID, shown(entry.value), "Write the Mac's address on its Thunderbolt Bridge.")
    elif entry.value in owners:
        fix = "It is another network than that of the node IPs: give every Mac its own address there."
        report(Code.NODE_IP_TWICE, entry.value, fix, owners[entry.value].name)
    owners.setdefault(entry.value, mac)


def check_interfaces(raw: RawFleet, findings: Findings) -> None:
    """The Thunderbolt interfaces of each Mac are such, each once."""
    for mac in raw.macs:
        entry = mac.data.get("thunderbolt")
        if entry is None or not entry.own or not isinstance(entry.value, (list, tuple)):
            continue
        report = findings.at(entry.where, mac.name, "thunderbolt")
        for name in dict.fromkeys(entry.value):
            if not isinstance(name, str):
                continue  # reported as a wrong type
            if not _INTERFACE.fullmatch(name):
                fix = "Write names such as en2: `networksetup -listallhardwareports` shows those of Thunderbolt."
                report(Code.INTERFACE_INVALID, shown(name), fix)
            elif entry.value.count(name) > 1:
                report(Code.INTERFACE_TWICE, shown(name), "Name it once.")


def check_origins(entry: Entry | None, origins: tuple[str, ...], findings: Findings) -> None:
    """Each is an origin as browsers tell it, or * for all."""
    if entry is None:
        return
    report = findings.at(entry.where, "", "allowed_origins")
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            fix = 'Write scheme, host and port only, such as "https://chat.example.org".'
            report(Code.ORIGIN_INVALID, shown(origin), fix)


def check_allowed(entry: Entry | None, allowed: tuple[str, ...], findings: Findings) -> None:
    """Each is an address, or a network without bits beyond its own."""
    if entry is None:
        return
    report = findings.at(entry.where, "", "allow")
    for network in allowed:
        if not is_network(network):
            fix = 'Write one such as "192.168.1.5" or "192.168.1.0/24".'
            report(Code.NETWORK_INVALID, shown(network), fix)


def _address(text: str) -> ipaddress.IPv4Address | None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    unusable = address.is_multicast or address.is_unspecified or address.is_reserved
    return None if unusable else address


def checked_ports(entry: Entry, findings: Findings) -> Ports:
    """The port table with the overrides, as far as they are right."""
    if not isinstance(entry.value, Mapping):
        report = findings.at(entry.where, "", "ports")
        report(
            Code.SETTING_TYPE,
            shown(entry.value),
            'For example {"door": 8100}.',
            "a dict of ports by name",
        )
        return Ports()
    good: dict[str, int] = {}
    for name, port in entry.value.items():
        report = findings.at(_part(entry, str(name)), "", f"ports.{name}")
        if name not in ports.NAMES:
            names = f"The names are {', '.join(ports.NAMES)}."
            report(Code.SETTING_UNKNOWN, f"`ports.{name}`", nearest(str(name), ports.NAMES, names))
        elif not isinstance(port, int) or isinstance(port, bool):
            report(
                Code.SETTING_TYPE,
                shown(port),
                f"Write a number such as {getattr(Ports(), name)}.",
                "a whole number",
            )
        elif not LOWEST <= port <= _highest(name):
            fix = "Below, only root may listen; above, macOS hands ports out by itself."
            report(Code.PORT_RANGE, str(port), fix, f"{LOWEST} to {_highest(name)}")
        else:
            good[name] = port
    table = Ports().with_overrides(good)
    if table.worker_max < table.worker_min:
        report = findings.at(_part(entry, "worker_max"), "", "ports.worker_max")
        report(Code.PORT_ORDER, str(table.worker_min), "Ray needs about 100 of them.", str(table.worker_max))
    for name, other in ports.clashes(table):
        where = name if name in entry.value else next(iter(entry.value), "")
        report = findings.at(_part(entry, str(where)), "", f"ports.{name}")
        report(Code.PORT_TWICE, str(getattr(table, name)), "Choose a free one.", other)
    return table


def _highest(name: str) -> int:
    """Of a port of side one, so that side two has room above it."""
    return HIGHEST if name in ports.SHARED else HIGHEST - ports.APART


def _part(entry: Entry, *path: str | int) -> Callable[[], str]:
    return lambda: entry.where(*path)


def check_temp_dir(entry: Entry | None, folder: str, findings: Findings) -> None:
    """Ray's sockets fit below its temp dir."""
    if entry is None:
        return
    report = findings.at(entry.where, "", "ray_temp_dir")
    size = len(folder.encode())
    if not folder.startswith("/"):
        report(Code.TEMP_DIR_RELATIVE, shown(folder), "Write a folder on the Macs, such as /opt/raylab/ray/tmp.")
    elif size > TEMP_DIR_BYTES:
        report(Code.TEMP_DIR_LONG, shown(folder), "Choose a shorter one, such as /opt/raylab/ray/tmp.", str(size))


def check_secrets(raw: RawFleet, common: Mapping[str, Any], root: Path, findings: Findings) -> None:
    """Secrets that exist are ours alone and can be read; those that do not are made later. SSH keys exist."""
    folder: Path = common["secrets"]
    entry = raw.macs[0].data.get("secrets") if raw.macs else None
    report = findings.at(entry.where if entry else (lambda: raw.inventory), "", "secrets")
    if folder.is_dir():
        keys = (path for pattern in ("*key.pem", "door/*key.pem", "api-keys/*") for path in folder.glob(pattern))
        for path in (folder / "ray-token", *sorted(keys)):
            check_secret(path, shorten(path, root), report)
    elif folder.exists():
        report(Code.SECRET_UNREADABLE, shorten(folder, root), "Name a folder.", "it is not a folder")
    for mac in raw.macs:
        key = mac.data.get("ssh_key")
        if key and isinstance(key.value, str) and not (root / Path(key.value).expanduser()).is_file():
            fix = "Run `make lab`, which makes it." if ".lab" in Path(key.value).parts else "Name a private key file."
            findings.at(key.where, "" if not key.own else mac.name, "ssh_key")(Code.KEY_MISSING, key.value, fix)


def check_secret(path: Path, name: str, report: Report) -> bool:
    """Report a file that others can read, or that cannot be read; whether it did. One that does not exist is fine."""
    if not path.exists():
        return False
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        report(Code.SECRET_OPEN, name, f"Run: chmod 600 {name}", f"{mode:04o}")
        return True
    try:
        if not mode & 0o400:
            raise PermissionError(13, "Permission denied")
        empty = not path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        report(Code.SECRET_UNREADABLE, name, "Make it a readable file of mode 0600, or remove it.", str(reason))
        return True
    if empty:
        report(Code.SECRET_UNREADABLE, name, "Remove it: the next run makes a new one.", "it is empty")
    return empty
