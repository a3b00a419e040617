"""The hidden service account."""

from __future__ import annotations

import re

from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.facts import Account, ServiceAccount
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

_SHELL = "/usr/bin/false"
_HOME_MODE = 0o750


def _repairs(account: str, gid: int, home: str, found: Account) -> list[list[str]]:
    calls: list[list[str]] = []
    if found.gid != gid:
        calls.append(["attribute", "PrimaryGroupID", str(gid)])
    if found.home != home:
        calls.append(["attribute", "NFSHomeDirectory", home])
    if found.shell != _SHELL:
        calls.append(["attribute", "UserShell", _SHELL])
    if not found.hidden:
        calls.append(["attribute", "IsHidden", "1"])
    folder = found.home_directory
    if not (folder and (folder.kind, folder.owner, folder.mode) == ("directory", account, _HOME_MODE)):
        calls.append(["create_home"])
    return calls


@mac_operation("account.service_account")
def service_account(account: str, uid: int, gid: int, home: str) -> Commands:
    """A role account that nobody can log in to and no login window shows, its group, and its home (0750).

    `account` starts with `_` and `uid` is 200…400, as macOS wants it. An account that has another uid, or a
    uid or gid that is somebody else's, fails that Mac: files may belong to them, so nothing is renumbered.
    """
    if not re.fullmatch(r"_[a-z][a-z0-9_-]*", account):
        raise OperationValueError(f"{account}: a role account's name starts with _ and is lower-case")
    if not 200 <= uid <= 400:
        raise OperationValueError(f"{account}: a role account's uid is 200 to 400, not {uid}")
    found = host.get_fact(ServiceAccount, account=account, home=home)
    calls: list[list[str]]
    if found is None:
        calls = [["create_group"], ["create_account"], ["attribute", "IsHidden", "1"], ["create_home"]]
    elif found.uid != uid or found.group_gid not in (None, gid):
        calls = [
            [
                "die",
                f"{account} has uid {found.uid} and gid {found.group_gid} on this Mac, not {uid} and {gid}: "
                f"remove it (dscl . -delete /Users/{account}; dscl . -delete /Groups/{account}), or ask for "
                "those",
            ]
        ]
    else:
        calls = [["create_group"]] if found.group_gid is None else []
        calls += _repairs(account, gid, home, found)
    if not calls:
        host.noop(f"{account} is as it should be")
        return
    variables: dict[str, str | int] = {"account": account, "uid": uid, "gid": gid, "home": home}
    yield script_command(["account"], calls, [account, *(call[0] for call in calls)], variables)


@mac_operation("account.absent")
def absent(account: str, uid: int, home: str) -> Commands:
    """Neither the account nor its group is there. One of that name that raylab did not make stays."""
    found = host.get_fact(ServiceAccount, account=account, home=home)
    if found is None:
        host.noop(f"{account} is not there")
        return
    if (found.uid, found.home) != (uid, home):
        host.noop(f"{account} has uid {found.uid} and home {found.home}, which raylab did not give it: it stays")
        return
    # The group first: once the account is gone, both are.
    yield script_command(["account"], [["deleted", "Groups"], ["deleted", "Users"]], [account], {"account": account})
