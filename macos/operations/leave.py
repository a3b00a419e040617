"""The end of raylab on a Mac: what it brought goes, what is others' stays."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from fleet.before import MADE, PARENT
from fleet.layout import PREFIX, STATE
from macos.facts import ServiceAccount
from macos.facts.before import Before
from macos.facts.traces import STAGING, Leftovers, Traces
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

# Seconds from asking processes to end to killing them.
_PATIENCE = 20
_STAGED = re.compile(rf"{STAGING}[0-9a-f]{{12}}")


@mac_operation("leave.processes_ended")
def processes_ended(account: str, uid: int, home: str) -> Commands:
    """The account runs nothing any more. One of that name that is not raylab's is left alone."""
    found = host.get_fact(ServiceAccount, account=account, home=home)
    if found is None or (found.uid, found.home) != (uid, home):
        host.noop(f"{account} is not there")
        return
    yield script_command(["files", "leave"], [["ended"]], [account], {"uid": uid, "patience": _PATIENCE})


@mac_operation("leave.folders_absent")
def folders_absent(kept: Collection[str] = ()) -> Commands:
    """Nothing is left in /opt/raylab but the state, which goes last, and `kept`."""
    there = [path for path in host.get_fact(Traces).folders if path not in (PREFIX, STATE, *kept)]
    if not there:
        host.noop(f"nothing else is in {PREFIX}")
        return
    yield script_command(["files", "prune"], [["absent", path] for path in there], there)


@mac_operation("leave.leftovers_absent")
def leftovers_absent(uid: int, folders: Sequence[str]) -> Commands:
    """Nothing of the account is left in `folders`, which others use too, and no staged upload."""
    if relative := [folder for folder in folders if not folder.startswith("/") or folder.strip("/") == ""]:
        raise OperationValueError(f"not to be searched: {', '.join(relative)}")
    found = host.get_fact(Leftovers, uid=uid, folders=folders)
    staged = [path for path in found if _STAGED.fullmatch(path)]
    calls = [["cleared", folder] for folder in folders if any(path.startswith(f"{folder}/") for path in found)]
    calls += [["rm", "-rf", path] for path in staged]
    if not calls:
        host.noop("nothing is left over")
        return
    yield script_command(["files", "leave"], calls, [call[-1] for call in calls], {"uid": uid, "patience": _PATIENCE})


@mac_operation("leave.state_absent")
def state_absent() -> Commands:
    """The records of what was there before are gone, and with them /opt/raylab, unless something was kept in it."""
    folders = host.get_fact(Traces).folders
    if not folders:
        host.noop(f"{PREFIX} is not there")
        return
    around = host.get_fact(Before).get(PARENT)
    calls = [["absent", STATE], ["emptied", PREFIX]]
    if around and around.ours == MADE:
        calls.append(["emptied", PREFIX.rpartition("/")[0]])
    yield script_command(["files", "prune", "leave"], calls, [STATE])
