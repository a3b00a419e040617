"""Accounts: sysadminctl (which exits 0 whatever happens), createhomedir and dseditgroup."""

from __future__ import annotations

import os
import sys
import time

from .answers import complain, is_root, say
from .directory import Record, editing, groups, new_uuid, users

FLAGS = frozenset({"-admin", "-roleAccount", "-adminUser", "-interactive", "-keepHome", "-secure"})
ROLE_UIDS = range(200, 401)
NOT_A_MEMBER = 67
NO_GROUP = 64


def _log(text: str) -> int:
    """A line of sysadminctl's log, on standard error; 0, as sysadminctl answers even after an error."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{stamp}.000 sysadminctl[{os.getpid()}:{os.getppid()}] {text}", file=sys.stderr)
    return 0


def _options(words: list[str]) -> dict[str, str]:
    """`-key value` pairs; flags have an empty value."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        options[word] = "" if word in FLAGS or not rest or rest[0].startswith("-") else rest.pop(0)
    return options


def sysadminctl(arguments: list[str]) -> int:
    """sysadminctl -addUser NAME [-UID N] [-GID N] [-home P] [-shell P] [-roleAccount] | -deleteUser NAME."""
    options = _options(arguments)
    if not is_root():
        return _log("### Error:-14120 File:DSRecord.m Line:571: operation not permitted without privileges")
    if options.get("-addUser"):
        return _add(options["-addUser"], options)
    if options.get("-deleteUser"):
        return _delete(options["-deleteUser"])
    return complain("Usage: sysadminctl -addUser <user name> [-fullName <full name>] [-UID <user ID>] ...", 0)


def _next_uid() -> int:
    taken = {int(record["UniqueID"][0]) for record in users().values() if "UniqueID" in record}
    return next(number for number in range(501, 65536) if number not in taken)


def _add(name: str, options: dict[str, str]) -> int:
    role = "-roleAccount" in options
    uid = options.get("-UID") or str(_next_uid())
    gid = options.get("-GID") or "20"
    if not uid.isdigit() or not gid.isdigit():
        return _log(f"Invalid UID or GID: {uid} {gid}")
    if role and (not name.startswith("_") or int(uid) not in ROLE_UIDS):
        return _log("Role account names must start with _ and have a UID between 200 and 400")
    if name in users():
        return _log(f"User {name} already exists")
    if any(record.get("UniqueID") == [uid] for record in users().values()):
        return _log(f"UID {uid} is already in use")
    record: Record = {
        "GeneratedUID": [new_uuid()],
        "UniqueID": [uid],
        "PrimaryGroupID": [gid],
        "RealName": [options.get("-fullName") or name],
        "NFSHomeDirectory": [options.get("-home") or ("/var/empty" if role else f"/Users/{name}")],
        "UserShell": [options.get("-shell") or ("/usr/bin/false" if role else "/bin/zsh")],
    }
    with editing() as (local_users, local_groups):
        local_users[name] = record
        if "-admin" in options:
            admins = local_groups.setdefault("admin", {"PrimaryGroupID": ["80"]})
            admins.setdefault("GroupMembership", []).append(name)
    _log(f"Creating user record for {name}")
    return _log(f"Assigning UID: {uid} GroupID: {gid}")


def _delete(name: str) -> int:
    with editing() as (local_users, local_groups):
        if name not in local_users:
            return _log(f"Unknown user {name}")
        del local_users[name]
        for record in local_groups.values():
            members = record.get("GroupMembership", [])
            record["GroupMembership"] = [member for member in members if member != name]
    return _log(f"Deleting record for {name}")


def createhomedir(arguments: list[str]) -> int:
    """createhomedir -c [-u NAME]: make the home folder of that user, or of everybody."""
    if not arguments or arguments[0] not in ("-c", "-b", "-l"):
        return complain("usage: createhomedir [-scbalh] [-n directoryDomainName] [-u username]", 1)
    if not is_root():
        return complain("createhomedir: must be run as root", 1)
    wanted = arguments[arguments.index("-u") + 1] if "-u" in arguments[:-1] else None
    print(f"creating home directories for ({os.uname().nodename})")
    for name, record in users().items():
        home = record.get("NFSHomeDirectory", ["/var/empty"])[0]
        chosen = name == wanted if wanted else home.startswith("/Users/")
        if chosen and home != "/var/empty" and not os.path.exists(home):
            os.makedirs(home, mode=0o755)
            os.chmod(home, 0o750)
            os.chown(home, int(record["UniqueID"][0]), int(record.get("PrimaryGroupID", ["20"])[0]))
            print(f"created ({name})")
    return 0


def dseditgroup(arguments: list[str]) -> int:
    """dseditgroup [-o read|create|delete|edit|checkmember] [-i GID] [-r NAME] [-a|-d|-m MEMBER] GROUP."""
    if not arguments:
        return complain("usage: dseditgroup [-pqv] -o edit ... groupname", 64)
    options = _options(arguments[:-1])
    name = arguments[-1]
    verb = options.get("-o", "read")
    record = groups().get(name)
    if record is None and verb != "create":
        return complain("Group not found.", NO_GROUP)
    if verb == "checkmember":
        return _check_member(options.get("-m", ""), name, record or {})
    if verb == "read":
        for key, values in sorted((record or {}).items()):
            print(f"dsAttrTypeStandard:{key} -\n\t\t{' '.join(values)}")
        return 0
    if not is_root():
        return complain(
            "Operation was denied because the current credentials do not have the appropriate privileges.", 77
        )
    return _edit_group(verb, name, options)


def _check_member(member: str, group: str, record: Record) -> int:
    user = users().get(member, {})
    primary = user.get("PrimaryGroupID", ["?"]) == record.get("PrimaryGroupID")
    if primary or member in record.get("GroupMembership", []):
        return say(f"yes {member} is a member of {group}")
    print(f"no {member} is NOT a member of {group}")
    return NOT_A_MEMBER


def _edit_group(verb: str, name: str, options: dict[str, str]) -> int:
    known = groups()
    taken = {int(record["PrimaryGroupID"][0]) for record in known.values() if "PrimaryGroupID" in record}
    with editing() as (_, local):
        if verb == "delete":
            return 0 if local.pop(name, None) else complain("Group not found.", NO_GROUP)
        if verb == "create" and name not in known:
            gid = options.get("-i") or str(next(number for number in range(501, 65536) if number not in taken))
            local[name] = {
                "GeneratedUID": [new_uuid()],
                "PrimaryGroupID": [gid],
                "RealName": [options.get("-r") or name],
            }
        # A system group keeps its number; the local record only adds members.
        default: Record = {"PrimaryGroupID": known[name]["PrimaryGroupID"]} if name in known else {}
        members = local.setdefault(name, default).setdefault("GroupMembership", [])
        if options.get("-a") and options["-a"] not in members:
            members.append(options["-a"])
        if options.get("-d") in members:
            members.remove(options["-d"])
    return 0
