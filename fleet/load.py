"""From the inventory file to a checked `Fleet`, or to everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet import checks
from fleet.applications import read_applications
from fleet.checks import Findings
from fleet.door import check_caddy, check_door
from fleet.errors import UNREADABLE, Code, SettingsError
from fleet.models import read_models
from fleet.ports import Ports
from fleet.raw import Entry, RawFleet, RawMac, read_raw
from fleet.release import Release, read_release
from fleet.settings import FLEET_SETTINGS, MAC_SETTINGS, PER_MAC, Fleet, Mac
from fleet.values import shown, stand_in, typed
from fleet.wheel import built

# The project that raylab runs inside Ray.
SERVING = Path(__file__).resolve().parents[1] / "serving"


def load(inventory: Path, root: Path | None = None) -> Fleet:
    """Read an inventory and its group_data.

    Relative paths in the settings count from `root`, by default the current folder: the one pyinfra runs in.
    Raises SettingsError with all problems at once. Opens no connection and changes nothing.
    """
    root = root or Path.cwd()
    raw = read_raw(inventory, root)
    return build(raw, root)


def build(raw: RawFleet, root: Path) -> Fleet:
    """Check what was read, and make it a Fleet. Raises SettingsError."""
    findings = Findings(raw.inventory, list(raw.problems))
    if any(problem.code in UNREADABLE for problem in raw.problems):
        # What such a file would have set is not known, so anything else would be guessing.
        raise SettingsError(findings.problems)
    checks.check_members(raw, findings)
    checks.check_setting_names(raw, findings)
    own = {id(mac): _mac_values(mac, root, findings) for mac in raw.macs}
    checks.check_addresses(raw, findings)
    checks.check_interfaces(raw, findings)
    common = _fleet_values(raw, root, findings)
    check_door(raw, common, root, findings)
    checks.check_secrets(raw, common, root, findings)
    macs = tuple(
        Mac(name=mac.name, role="head" if mac.role == "head" else "worker", where=mac.where, **own[id(mac)])
        for mac in raw.macs
    )
    releases = _releases(raw, macs, root, findings)
    models = read_models(_first(raw, "models"), raw, macs, common["depot"], root, findings)
    applications = read_applications(_first(raw, "applications"), root, findings)
    checks.check_allowed(_first(raw, "allow"), common["allow"], findings)
    checks.check_origins(_first(raw, "allowed_origins"), common["allowed_origins"], findings)
    if findings.problems:
        raise SettingsError(findings.problems)
    ordered = tuple(sorted(macs, key=lambda mac: not mac.is_head))
    serving = built(SERVING)
    return Fleet(macs=ordered, models=models, applications=applications, releases=releases, serving=serving, **common)


def _mac_values(mac: RawMac, root: Path, findings: Findings) -> dict[str, Any]:
    """The settings that one Mac may have to itself."""
    values: dict[str, Any] = {}
    for name, setting in MAC_SETTINGS.items():
        entry = mac.data.get(name)
        if entry is not None:
            values[name] = typed(
                setting, entry.value, root, findings.at(entry.where, mac.name if entry.own else "", name)
            )
        else:
            values[name] = stand_in(setting, root)
    if "locks" not in mac.data:
        values["locks"] = root / "locks" / str(values["platform"])
    if values["host_name"] is None and not mac.entry.startswith("@local"):
        values["host_name"] = mac.name
    return values


def _first(raw: RawFleet, name: str) -> Entry | None:
    return raw.macs[0].data.get(name) if raw.macs else None


def _fleet_values(raw: RawFleet, root: Path, findings: Findings) -> dict[str, Any]:
    """The settings that are the same for all Macs."""
    values: dict[str, Any] = {}
    for name, setting in FLEET_SETTINGS.items():
        field_name = setting.name
        if name in ("models", "applications"):
            continue
        entry = _first(raw, name)
        if entry is None:
            values[field_name] = raw.name if name == "fleet_name" else stand_in(setting, root)
            continue
        report = findings.at(entry.where, "", name)
        if name == "ports":
            values[field_name] = checks.checked_ports(entry, findings)
        else:
            values[field_name] = typed(setting, entry.value, root, report)
    values.setdefault("ports", Ports())
    if _first(raw, "locks") is None:
        values["locks"] = root / "locks" / str(values["platform"])
    if _first(raw, "secrets") is None:
        values["secrets"] = Path.home() / ".raylab" / values["name"]
    checks.check_temp_dir(_first(raw, "ray_temp_dir"), values["ray_temp_dir"], findings)
    for mac in raw.macs[1:]:
        for name in set(FLEET_SETTINGS) - PER_MAC:
            _check_same(raw.macs[0], mac, name, findings)
    return values


def _check_same(first: RawMac, mac: RawMac, name: str, findings: Findings) -> None:
    """The whole fleet has one value of this setting."""
    one, other = first.data.get(name), mac.data.get(name)
    if (one.value if one else None) == (other.value if other else None):
        return
    here, there, at = (other, one, mac.name) if other and (other.own or not one) else (one, other, first.name)
    assert here is not None
    elsewhere = f"{shown(there.value)} for the other Macs" if there else "not set for the other Macs"
    fix = "It is one for the whole fleet: set it in group_data."
    findings.at(here.where, at, name)(Code.SETTING_DIFFERS, shown(here.value), fix, elsewhere)


def _releases(raw: RawFleet, macs: tuple[Mac, ...], root: Path, findings: Findings) -> dict[Path, Release]:
    """Read every folder of locks that a Mac names, and see that Ray and Python are the same everywhere."""
    releases: dict[Path, Release] = {}
    if any(problem.field in ("platform", "locks") for problem in findings.problems):
        return releases  # which locks are meant is not known
    for folder in dict.fromkeys(mac.locks for mac in macs):
        try:
            releases[folder] = read_release(folder, findings.path(folder, root))
        except SettingsError as error:
            findings.problems.extend(error.problems)
        else:
            check_caddy(releases[folder], findings.path(folder, root), findings)
    known = [(mac, written) for mac, written in zip(macs, raw.macs, strict=True) if mac.locks in releases]
    for mac, written in known[1:]:
        first = known[0][0]
        for pin in ("python", "ray"):
            here, there = releases[mac.locks].versions[pin], releases[first.locks].versions[pin]
            if here != there:
                entry = written.data.get("locks") or written.data.get("platform")
                where = entry.where if entry else (lambda written=written: written.where)
                fix = "All Macs of a Ray cluster need the same Ray and Python: give them the same locks."
                given = f"{pin} {here}"
                findings.at(where, mac.name, "locks")(Code.PIN_DIFFERS, given, fix, f"{there} on {first.name}")
    return releases


__all__ = ["build", "load"]
