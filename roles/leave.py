"""A Mac leaves the fleet: what raylab brought goes, and what was there before is there again."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Collection

from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from fleet import layout
from fleet.before import describe
from fleet.leaving import homeless, refusals
from fleet.links import NETMASK
from fleet.prune import amount
from fleet.upgrade import interrupted
from macos.facts.before import Before
from macos.facts.folders import DiskUsage
from macos.facts.traces import Found, Traces
from macos.operations import account, exclusions, launchd, leave, names, power, thunderbolt
from macos.quiet import Commands, mac_operation
from roles import announce, drain, firewall, limits, prune, sides
from roles.context import everyone, reached, the_fleet
from roles.told import told_plan

# Where Ray, the engines and others keep files of the account, which others use too.
SHARED = ("/tmp", "/var/tmp", "/var/folders", "/dev/shm")
KEPT = (layout.WEIGHTS, layout.DEPOT)
_ACCOUNT = {"account": layout.ACCOUNT, "uid": layout.ACCOUNT_UID, "home": layout.HOME}


def announced() -> None:
    """Say what is about to happen on every Mac of this run, or why not; then nothing has been touched."""
    leaving = [mac.name for mac in state.inventory if state.is_host_in_limit(mac)]
    problems = refusals(the_fleet(), leaving, everybody=bool(host.data.get("all")))
    whole = len(leaving) == len(the_fleet().macs)
    if not problems and not whole:
        problems = homeless(the_fleet(), leaving, announce.quiet_plan(), announce.quiet_plan(without=leaving))
    silent = [name for name in leaving if reached(name) is None] if whole else []
    errors = [problem.line() for problem in problems]
    errors += [f"{name} does not answer. Delete its line in the inventory, and run this again." for name in silent]
    if not whole and (between := sides.under_way()):
        errors.append(sides.not_whole(between))
    if errors:
        announce.say(*(f"error: {line}" for line in errors), "No Mac was touched.")
        announce.end(2)
    traces, records, sizes = everyone(Traces), everyone(Before), everyone(DiskUsage, _sized)
    if not _said:
        _said.append(True)
        announce.say(f"Removing from the fleet {the_fleet().name}:", *([] if whole else _away(leaving)))
        for name, found in traces.items():
            size = amount(sizes[name].get(layout.PREFIX, 0))
            for line in _intentions(found, describe(records[name]), size):
                announce.tell(f"  {name}: {line}")


def _away(leaving: Collection[str]) -> list[str]:
    """What nobody serves from then on until the others have it, in words."""
    models = interrupted(told_plan(), [the_fleet().mac(name) for name in leaving])
    return [f"  {model} is served by nobody else until deploy/cluster.py has run afterwards." for model in models]


_said: list[bool] = []


def _sized() -> dict[str, tuple[str, ...]]:
    return {"paths": (layout.PREFIX,)}


def _intentions(found: Found, settings: list[str], size: str) -> list[str]:
    """What is done to one Mac."""
    if not found:
        return ["nothing of raylab is there"]
    rows = {
        "ends": found.jobs,
        "becomes again": [*settings, *(f"{port} (Thunderbolt)" for port in found.ports)],
        "takes away": [
            *([f"{layout.PREFIX} ({size})"] if found.folders else []),
            *([f"the account {layout.ACCOUNT}"] if found.account else []),
            *(["the fleet's names in /etc/hosts"] if found.hosts else []),
        ],
        "keeps": [path for path in _kept() if path in found.folders],
    }
    return [f"{verb} {', '.join(what)}" for verb, what in rows.items() if what]


def _kept() -> tuple[str, ...]:
    return KEPT if host.data.get("keep_weights") else ()


def _nothing() -> bool:
    """Whether this Mac has nothing of raylab."""
    return not everyone(Traces).get(host.name)


@deploy("Service")
def stopped() -> None:
    """Nothing of raylab runs on this Mac, nor at its next start."""
    if _nothing():
        return
    drain.drained(name="Its requests finish")
    # Before its job goes, which holds pf.
    firewall.removed()
    # The limit's job goes when the limit is what it was, and a change of the network may have to undo itself.
    besides = (layout.LIMITS_LABEL, layout.UNDO_LABEL)
    launchd.all_absent(tuple(reversed((*layout.NEXT_LABELS, *layout.LABELS))), besides, name="Jobs")
    leave.processes_ended(**_ACCOUNT, name=f"Processes of {layout.ACCOUNT}")


@deploy("Settings of the Mac")
def restored() -> None:
    """What raylab has changed of the Mac's own settings is what it was; what others have changed since stays."""
    if _nothing():
        return
    limits.given_up()
    power.restored(name="Power settings")
    thunderbolt.addresses({}, netmask=NETMASK, handed=(), reached_by=(), name="Thunderbolt ports")
    launchd.absent(layout.UNDO_LABEL, name=layout.UNDO_LABEL)
    names.host_name_restored(name="Host name")
    names.hosts_restored(name="Hosts file")
    excluded = [path for path in (layout.DEPOT, layout.RELEASES, layout.WEIGHTS) if path not in _kept()]
    exclusions.included(excluded, name="Backups of artifacts")


@deploy("Files")
def taken_away() -> None:
    """Folders, what is left over elsewhere, the account; the records of what was there before go last."""
    if _nothing():
        return
    leave.folders_absent(_kept(), name=f"Folders of {layout.PREFIX}")
    if _kept():
        prune.objects(frozenset(), name="Artifacts that no model needs")
    folders = [the_fleet().on_side(side).temp_dir for side in (1, 2)]
    temporary = [folder for folder in folders if not folder.startswith(f"{layout.PREFIX}/")]
    leave.leftovers_absent(layout.ACCOUNT_UID, (*SHARED, *temporary), name="What is left over elsewhere")
    account.absent(**_ACCOUNT, name="Service account")
    leave.state_absent(name="Records of what was there before")


@mac_operation("leave.farewell")
def farewell() -> Commands:
    """Tells at the end of the run, below pyinfra's own results, what the person has left to do. Touches nothing."""
    host.noop("nothing is left to do on this Mac")
    if state.is_executing and len(_said) == 1:
        _said.append(True)
        leaving = [mac.name for mac in state.inventory if state.is_host_in_limit(mac)]
        atexit.register(lambda: print(last_words(leaving), file=sys.stderr))
    return
    yield


def last_words(leaving: list[str]) -> str:
    """Which lines to delete, and what to run then."""
    failed = sorted(mac.name for mac in state.failed_hosts if mac.name in leaving)
    done = [the_fleet().mac(name) for name in leaving if name not in failed]
    lines = [""]
    if failed:
        lines += [f"Not done: {', '.join(failed)}; see above, then run the same command again."]
    if done:
        lines += [f"Nothing of raylab is on {', '.join(mac.name for mac in done)} any more."]
    staying = [mac for mac in the_fleet().macs if mac.name not in leaving]
    if done and staying:
        places = ", ".join(f"{mac.name} ({mac.where})" for mac in done)
        inventory = done[0].where.rpartition(":")[0] or "INVENTORY"
        lines += [f"Now delete from the inventory: {places}", f"and run: pyinfra {inventory} deploy/cluster.py"]
    return "\n".join([*lines, ""])
