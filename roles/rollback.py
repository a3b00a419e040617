"""A rollback of the fleet: where it takes each Mac, shown first; then one Mac after the other."""

from __future__ import annotations

from functools import cache

from pyinfra.context import host

from fleet.rollback import goes_back
from fleet.settings import Mac
from fleet.told import applications
from fleet.upgrade import batches, order
from macos.facts.report import MacReport
from macos.facts.running import Clusters, Turns
from roles import announce, turn, upgrade
from roles.context import everyone, the_fleet
from roles.report import serve_config


@cache
def _going() -> tuple[str, ...]:
    return goes_back(everyone(Turns))


@cache
def announced() -> None:
    """Show which Mac goes back to what; end the run when the last upgrade cannot be taken back."""
    upgrade.everybody("a rollback")
    _same_cluster()
    announce.say("Rollback of the last upgrade:", *map(_line, (mac.name for mac in order(the_fleet()))))
    if _going():
        announce.say("The settings stay as they are: take them back too, or the next upgrade goes forward again.")
    upgrade.agreed([*upgrade.unserved(_parts()), *_of_another_time()])


def rolled_back() -> None:
    """The Macs that the last upgrade has come to run again what they ran before it, in the order of their turns."""
    upgrade.each(_parts(), lambda batch: turn.back(host.name in _going(), batch, name=f"{host.name} goes back"))


def _parts() -> list[tuple[Mac, ...]]:
    """The Macs that have a turn, as many at once as asked for."""
    macs = [mac for mac in order(the_fleet()) if mac.name in _going() or _draining(mac.name)]
    return batches(macs, upgrade.batch_size())


def _line(name: str) -> str:
    if name in _going():
        said = f"goes back to release {everyone(Turns)[name].release}"
    elif _draining(name):
        said = "started again with what it has, and gets requests: its turn was interrupted"
    else:
        said = "stays as it is: its last turn was not in the last upgrade, or is taken back"
    return f"  {name:<{max(len(mac.name) for mac in the_fleet().macs)}}  {said}"


def _of_another_time() -> list[str]:
    """What Serve would be told as it was before the upgrade, though it has changed since, in words."""
    if the_fleet().head.name not in _going():
        return []
    now, then = (applications(serve_config(the_fleet(), kept)).keys() for kept in (False, True))
    found = {"is served no more": now - then, "is served again": then - now}
    return [
        f"{name} {what}, as before the upgrade, until deploy/cluster.py has run."
        for what, names in found.items()
        for name in sorted(names)
    ]


def _draining(name: str) -> bool:
    return everyone(MacReport)[name].draining


def _same_cluster() -> None:
    """End the run when what the Macs would go back to is in a Ray cluster that is not theirs any more."""
    found = everyone(Clusters)
    others = [name for name in _going() if found[name].cluster and found[name].kept != found[name].cluster]
    if others:
        upgrade.refuse(
            f"what {', '.join(others)} ran before was in another Ray cluster.",
            "Take the locks, or the head, back in the settings and run deploy/upgrade.py: it needs no download, "
            "as the release is still there.",
        )
