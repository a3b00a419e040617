"""The local accounts (dslocal), and dscl.

Records live in one file; the C library sees them through /etc/passwd.cache and /etc/group.cache, which
libnss-cache reads: local users of macOS are not in /etc/passwd. The few system accounts of /etc/passwd are
shown too, unchangeable.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .answers import KEPT, changing, complain, is_root, recall, write_whole

Record = dict[str, list[str]]
Records = dict[str, Record]

NOT_FOUND = 56
KINDS = {"Users": "users", "Groups": "groups"}


def _first(record: Record, key: str, default: str) -> str:
    return (record.get(key) or [default])[0]


def _publish(root: str, users: Records, groups: Records) -> None:
    """Write what the C library reads. A record without a number is not an account yet."""
    lines = [
        ":".join(
            (
                name,
                "*",
                _first(record, "UniqueID", ""),
                _first(record, "PrimaryGroupID", "20"),
                _first(record, "RealName", ""),
                _first(record, "NFSHomeDirectory", "/var/empty"),
                _first(record, "UserShell", "/usr/bin/false"),
            )
        )
        for name, record in users.items()
        if "UniqueID" in record
    ]
    write_whole(f"{root}/etc/passwd.cache", "".join(f"{line}\n" for line in lines))
    lines = [
        f"{name}:*:{_first(record, 'PrimaryGroupID', '')}:{','.join(record.get('GroupMembership', []))}"
        for name, record in groups.items()
        if "PrimaryGroupID" in record
    ]
    write_whole(f"{root}/etc/group.cache", "".join(f"{line}\n" for line in lines))


def create(root: Path, users: Records, groups: Records) -> None:
    """Make the database of a new Mac whose files are under `root`."""
    folder = root / KEPT.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "directory.json").write_text(json.dumps({"users": users, "groups": groups}))
    _publish(str(root), users, groups)


@contextmanager
def editing() -> Iterator[tuple[Records, Records]]:
    """The local users and groups, to change; published when the block ends well."""
    with changing("directory") as values:
        users = values.setdefault("users", {})
        groups = values.setdefault("groups", {})
        yield users, groups
        _publish("", users, groups)


def _system(path: str, keys: tuple[str, ...]) -> Records:
    """The accounts of a colon-separated file, by the names that Open Directory gives its columns."""
    with open(path) as file:
        rows = [line.rstrip("\n").split(":") for line in file if not line.startswith("#")]
    return {row[0]: {key: [value] for key, value in zip(keys, row[1:], strict=False) if value} for row in rows}


def users() -> Records:
    """Every user: local and system."""
    keys = ("Password", "UniqueID", "PrimaryGroupID", "RealName", "NFSHomeDirectory", "UserShell")
    return {**_system("/etc/passwd", keys), **recall("directory").get("users", {})}


def groups() -> Records:
    """Every group: local and system, members of both joined."""
    answer = _system("/etc/group", ("Password", "PrimaryGroupID", "GroupMembership"))
    for record in answer.values():
        record["GroupMembership"] = _first(record, "GroupMembership", "").split(",")
    for name, record in recall("directory").get("groups", {}).items():
        both = [*answer.get(name, {}).get("GroupMembership", []), *record.get("GroupMembership", [])]
        answer[name] = {**answer.get(name, {}), **record, "GroupMembership": [one for one in both if one]}
    return answer


def new_uuid() -> str:
    """What GeneratedUID holds."""
    return str(uuid.uuid4()).upper()


def _error(name: str, number: int, status: int) -> int:
    print(f"<dscl_cmd> DS Error: {number} ({name})", file=sys.stderr)
    return status


def _not_found() -> int:
    return _error("eDSRecordNotFound", -14136, NOT_FOUND)


def dscl(arguments: list[str]) -> int:
    """dscl [options] DATASOURCE -COMMAND [path] [...]: the Directory Service command line."""
    rest = [argument for argument in arguments if argument not in ("-q", "-plist", "-raw", "-url")]
    if len(rest) < 2 or rest[0] not in (".", "/Local/Default", "localhost", "/Search"):
        return complain("usage: dscl [options] [<datasource> [<command>]]", 64)
    command = rest[1].lstrip("-").lower()
    action = _ACTIONS.get(command)
    if action is None:
        return complain(f"Invalid Command: {rest[1]}", 64)
    path = rest[2] if len(rest) > 2 else "/"
    parts = [part for part in path.removeprefix("/Local/Default").split("/") if part]
    if not parts or parts[0] not in KINDS or len(parts) > 2:
        return complain(f"Invalid Path\n{'':0}<dscl_cmd> DS Error: -14009 (eDSUnknownNodeName)", NOT_FOUND)
    if command in _WRITES and not is_root():
        return _error("eDSPermissionError", -14120, 40)
    return action(parts[0], parts[1] if len(parts) == 2 else None, rest[3:])


def _all(kind: str) -> Records:
    return users() if kind == "Users" else groups()


def _read(kind: str, name: str | None, keys: list[str]) -> int:
    record = _all(kind).get(name or "")
    if record is None:
        return _not_found()
    shown = {**record, "RecordName": [name or ""]}
    for key in keys or sorted(shown):
        values = shown.get(key)
        if values is None:
            print(f"No such key: {key}")
        elif any(" " in value for value in values):
            # A value with a space goes to a line of its own.
            print(f"{key}:", *(f"\n {value}" for value in values), sep="")
        else:
            print(f"{key}:", *values)
    return 0


def _list(kind: str, _: str | None, keys: list[str]) -> int:
    records = _all(kind)
    width = max(len(name) for name in records) + 1
    for name in sorted(records):
        if not keys:
            print(name)
        elif keys[0] in records[name]:
            print(f"{name:<{width}}{' '.join(records[name][keys[0]])}")
    return 0


def _search(kind: str, _: str | None, words: list[str]) -> int:
    if len(words) != 2:
        return complain("usage: dscl . -search <path> <key> <val>", 64)
    for name, record in sorted(_all(kind).items()):
        if words[1] in record.get(words[0], []):
            print(f"{name}\t\t{words[0]} = (\n    {words[1]}\n)")
    return 0


def _local(kind: str, both: tuple[Records, Records]) -> Records:
    return both[0] if kind == "Users" else both[1]


def _create(kind: str, name: str | None, words: list[str]) -> int:
    if name is None:
        return complain("Invalid Path", NOT_FOUND)
    with editing() as both:
        record = _local(kind, both).setdefault(name, {"GeneratedUID": [new_uuid()]})
        if words:
            record[words[0]] = words[1:]
    return 0


def _append(kind: str, name: str | None, words: list[str]) -> int:
    if name not in _all(kind) or not words:
        return _not_found()
    with editing() as both:
        values = _local(kind, both).setdefault(name or "", {}).setdefault(words[0], [])
        values.extend(word for word in words[1:] if word not in values)
    return 0


def _delete(kind: str, name: str | None, words: list[str]) -> int:
    with editing() as both:
        records = _local(kind, both)
        if name not in records:
            return _not_found()
        if not words:
            del records[name or ""]
            return 0
        record = records[name or ""]
        if words[0] not in record:
            return _error("eDSAttributeNotFound", -14134, 54)
        kept = [value for value in record[words[0]] if value not in words[1:]] if words[1:] else []
        if kept:
            record[words[0]] = kept
        else:
            del record[words[0]]
    return 0


_ACTIONS = {
    "read": _read,
    "list": _list,
    "ls": _list,
    "search": _search,
    "create": _create,
    "append": _append,
    "merge": _append,
    "delete": _delete,
}
_WRITES = frozenset({"create", "append", "merge", "delete"})
