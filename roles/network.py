"""Names and cables: every Mac resolves every Mac's name to its node IP, and Thunderbolt cables have addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyinfra.api.deploy import deploy

from fleet.cables import PortReport
from fleet.errors import Problem
from fleet.links import NETMASK, check_ports, port_addresses
from fleet.names import hosts_block
from fleet.plan import Plan
from macos.facts.thunderbolt import ThunderboltPorts
from macos.operations import names, thunderbolt
from roles.context import everyone, the_fleet, this_mac


@deploy("Network")
def resolved_names() -> None:
    """Host name and hosts file. A Mac's own `.local` name means loopback, which breaks Ray and gloo."""
    if this_mac().host_name:
        names.host_name(this_mac().host_name, name="Host name")
    if block := hosts_block(the_fleet()):
        names.hosts(block, name="Hosts file")


@deploy("Thunderbolt")
def cabled() -> None:
    """Thunderbolt ports that the inventory hands over have addresses, where a cable joins two of them.

    Nothing else of the network settings is touched.
    """
    mac = this_mac()
    thunderbolt.addresses(
        port_addresses(the_fleet(), port_reports())[mac.name],
        netmask=NETMASK,
        handed=mac.thunderbolt,
        reached_by=[mac.node_ip],
        name="Addresses of cables",
    )


def problems(plan: Plan) -> list[Problem]:
    """What is wrong with the ports that are handed over, and which cables the plan's groups lack."""
    lacking = [problem for every in plan.links.values() for links in every for problem in links.problems]
    return list(dict.fromkeys([*check_ports(plan.fleet, port_reports()), *lacking]))


def port_reports() -> dict[str, PortReport]:
    """What the Macs say of their Thunderbolt ports, by name; of a Mac that this run leaves out, what it said last.

    Without that, the addresses of a group would change with --limit. Empty for a fleet without Thunderbolt.
    """
    if not any(mac.thunderbolt or mac.thunderbolt_ip for mac in the_fleet().macs):
        return {}
    seen = everyone(ThunderboltPorts)
    path = Path(the_fleet().depot) / "cables.json"
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    before = known.get(the_fleet().name, {})
    now = {**before, **{name: report.to_remember() for name, report in seen.items()}}
    now = {mac.name: now[mac.name] for mac in the_fleet().macs if mac.name in now}
    if now != before:
        _write(path, {**known, the_fleet().name: now})
    return {name: seen.get(name) or PortReport.remembered(stored) for name, stored in now.items()}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """As JSON, the whole file or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)
