"""The inventory as it is written: every Mac with its data merged as pyinfra merges them, each with its place.

pyinfra looks a setting up in the host's own data, then in its groups' (the last group wins), then in `all`.
A group's data: what the inventory gives beside the group, ./group_data, group_data beside the inventory; the
last wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fleet.errors import Code, Problem
from fleet.sources import Source, read_source

ROLES = {"head": "head", "workers": "worker"}


@dataclass(frozen=True)
class Entry:
    """One value, and where it is written: `where()` for the whole, `where("key", 0)` for a part of it."""

    value: object
    where: Callable[..., str]
    own: bool
    """True when it stands beside the Mac's name, False when a group gives it."""


@dataclass(frozen=True)
class RawMac:
    """One host of the groups head and workers. A host that is written twice is here twice."""

    entry: str
    """As written: `@mac/alpha`."""
    name: str
    role: str
    where: str
    data: dict[str, Entry]


@dataclass
class RawFleet:
    """An inventory file and its group_data."""

    inventory: str
    """The file's name in messages."""
    name: str
    """The file's name without `.py`: a group of all Macs, too."""
    ours: bool = False
    """True when the file has a group `head` or `workers`; others are not for us to check."""
    macs: list[RawMac] = field(default_factory=list)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of the Macs of each group."""
    group_data: list[tuple[str, str, Entry]] = field(default_factory=list)
    """Every (group, setting, value) of the files that concern this inventory."""
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Group:
    name: str
    hosts: list[tuple[str, dict[str, object]]]
    data: dict[str, Entry]


def name_of(entry: str) -> str:
    """What pyinfra calls a host: `alpha` for `@mac/alpha`, `@local` for itself."""
    return entry.removeprefix("@mac/")


def shorten(path: Path, root: Path) -> str:
    """A path as a person who stands in `root` would write it."""
    full = path if path.is_absolute() else root / path
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)


def read_raw(inventory: Path, root: Path) -> RawFleet:
    """Run the inventory and its group_data and merge them. Never raises: what is wrong is in `problems`."""
    raw = RawFleet(shorten(inventory, root), inventory.stem)
    source = read_source(root / inventory, raw.inventory)
    if isinstance(source, Problem):
        raw.problems.append(source)
        return raw
    groups = _groups(source, raw)
    raw.ours = any(group.name in ROLES for group in groups)
    if not raw.ours:
        return raw
    everybody = {entry: None for group in groups for entry, _ in group.hosts}
    if raw.name not in {group.name for group in groups}:
        groups.append(_Group(raw.name, [(entry, {}) for entry in everybody], {}))
    raw.groups = {group.name: tuple(name_of(entry) for entry, _ in group.hosts) for group in groups}
    files = _group_files(root, root / inventory, raw)
    for group in groups:
        group.data.update(files.get(group.name, {}))
    written_all = next((group.data for group in groups if group.name == "all"), files.get("all", {}))
    raw.group_data = [("all", key, entry) for key, entry in written_all.items()]
    raw.group_data += [(group.name, *item) for group in groups if group.name != "all" for item in group.data.items()]
    _collect_macs(raw, source, groups, written_all)
    return raw


def _groups(source: Source, raw: RawFleet) -> list[_Group]:
    """The module-level lists of hosts."""
    found = []
    for name, value in source.values.items():
        data: object = {}
        hosts = value
        if isinstance(value, tuple) and len(value) == 2:
            hosts, data = value
        if name.startswith("_") or not isinstance(hosts, list) or not isinstance(data, dict):
            continue
        good = []
        for index, host in enumerate(hosts):
            entry, own = host if isinstance(host, tuple) and len(host) == 2 else (host, {})
            if isinstance(entry, str) and entry and isinstance(own, dict):
                good.append((entry, own))
            elif name in ROLES:
                where = source.assigned(name, index)
                fix = 'Write ("@mac/NAME", {"node_ip": "…"}).'
                raw.problems.append(Problem(Code.ENTRY_INVALID, where, "", name, repr(host), fix))
        if len(good) == len(hosts) or name in ROLES:
            entries = {key: Entry(item, _assigned(source, name, 1, key), own=False) for key, item in data.items()}
            found.append(_Group(name, good, entries))
    return found


def _group_files(root: Path, inventory: Path, raw: RawFleet) -> dict[str, dict[str, Entry]]:
    """The group_data files, by group. Those beside the inventory win over those in `root`."""
    merged: dict[str, dict[str, Entry]] = {}
    for folder in dict.fromkeys((root / "group_data", inventory.parent.resolve() / "group_data")):
        for path in sorted(folder.glob("*.py")):
            source = read_source(path, shorten(path, root))
            if isinstance(source, Problem):
                raw.problems.append(source)
                continue
            entries = {key: Entry(value, _assigned(source, key), own=False) for key, value in source.values.items()}
            merged.setdefault(path.stem, {}).update(entries)
    return merged


def _assigned(source: Source, name: str, *before: str | int) -> Callable[..., str]:
    def where(*path: str | int) -> str:
        return source.assigned(name, *before, *path)

    return where


def _written(source: Source, entry: str, occurrence: int, key: str) -> Callable[..., str]:
    def where(*path: str | int) -> str:
        return source.host(entry, occurrence, key, *path)

    return where


def _collect_macs(raw: RawFleet, source: Source, groups: Iterable[_Group], for_all: dict[str, Entry]) -> None:
    """Fill in the Macs, and complain about hosts that have no role."""
    own: dict[str, dict[str, object]] = {}
    member: dict[str, list[_Group]] = {}
    for group in groups:
        for entry, data in group.hosts:
            own.setdefault(entry, {}).update(data)
            member.setdefault(entry, []).append(group)
    seen: dict[str, int] = {}
    with_role = set()
    for group in groups:
        for entry, data in group.hosts if group.name in ROLES else ():
            occurrence = seen[entry] = seen.get(entry, -1) + 1
            with_role.add(entry)
            # A host that is written twice keeps what stands beside each, so that both can be shown.
            beside = data if occurrence else own[entry]
            merged = dict(for_all)
            for other in member[entry]:
                merged.update(other.data if other.name != "all" else {})
            merged.update(
                {key: Entry(value, _written(source, entry, occurrence, key), own=True) for key, value in beside.items()}
            )
            where = source.host(entry, occurrence)
            raw.macs.append(RawMac(entry, name_of(entry), ROLES[group.name], where, merged))
    for entry, groups_of in member.items():
        if entry not in with_role:
            fix = f"Put it into `head` or `workers`; the group `{groups_of[0].name}` gives it no role."
            name = name_of(entry)
            raw.problems.append(Problem(Code.ROLE_MISSING, source.host(entry, 0), name, "", name, fix))
