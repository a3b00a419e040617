"""What the current run is about: the fleet and its release, read once, before any connection."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.lock import RLock
from pyinfra import logger
from pyinfra.context import ctx_config, ctx_host, ctx_state, host, state

from fleet import sides
from macos.facts.running import Clusters, Joined
from roles.acting import UNREACHED

if TYPE_CHECKING:
    from pyinfra.api.facts import FactBase
    from pyinfra.api.host import Host

    from fleet.release import Release
    from fleet.settings import Fleet, Mac

T = TypeVar("T")

_fleets: list[Fleet] = []
_sided: list[bool] = []
_commands: list[str] = []
_answers: dict[object, dict[str, Any]] = {}
_asking = RLock()


def remember(fleet: Fleet, params: Mapping[str, Any] | None = None) -> None:
    """Keep the fleet that config.py has read and checked, for the deploys and roles of this run.

    `params` are pyinfra's arguments and options, which only config.py can ask for.
    """
    _fleets[:] = [fleet]
    _sided.clear()
    if params:
        limits = [word for limit in params["limit"] for word in ("--limit", limit)]
        # Without --data and the like, where a person may have written a secret.
        _commands[:] = [shlex.join(["pyinfra", params["inventory"], *params["operations"], *limits])]


def command() -> str:
    """What this run was started as, for other people."""
    return _commands[0] if _commands else "pyinfra"


def the_fleet() -> Fleet:
    """The whole fleet of the inventory, with the Macs that --limit leaves out, on the side that its Macs are on."""
    if not _fleets:
        raise RuntimeError("these deploys take an inventory file such as inventory/example.py")
    if not _sided and _connected():
        with _asking:
            if not _sided:
                clusters = {name: found.cluster for name, found in everyone(Clusters).items()}
                goes(_fleets[0].on_side(sides.now(_fleets[0], clusters)))
    return _fleets[0]


def _connected() -> bool:
    """Whether there are Macs to ask; config.py reads the settings before that."""
    return bool(ctx_state.isset() and state.inventory.get_active_hosts())  # type: ignore[no-untyped-call]


def goes(fleet: Fleet) -> None:
    """From here on this run is about the fleet on another side."""
    _fleets[:] = [fleet]
    _sided[:] = [True]


def the_release() -> Release:
    """What this Mac runs: the content of its locks."""
    return the_fleet().release(this_mac())


def this_mac() -> Mac:
    """The Mac that the current part of the deploy is for."""
    return the_fleet().mac(host.name)


def everyone(fact: type[FactBase[T]], arguments: Callable[[], dict[str, Any]] = dict) -> dict[str, T]:
    """One fact of every Mac of this run, by name, asked of all at once; `arguments` is called for each Mac.

    A deploy file runs once per Mac, and the first to come asks for all. A Mac that cannot answer fails alone.
    """
    with _asking:
        if (fact, arguments) not in _answers:
            # Made here, where the lock is ours: to know what to ask, another fact may have to be asked for first.
            given = {mac: _made(mac, arguments) for mac in state.inventory.get_active_hosts()}
            asked = {mac: gevent.spawn(_ask, mac, fact, given[mac]) for mac in state.inventory.get_active_hosts()}
            gevent.joinall(list(asked.values()))
            found = {mac.name: task.value[0] for mac, task in asked.items() if task.value}
            # In the inventory's order, for those who print it. Not `the_fleet`, which may be asking.
            _answers[(fact, arguments)] = {mac.name: found[mac.name] for mac in _fleets[0].macs if mac.name in found}
        return dict(_answers[(fact, arguments)])


def _made(mac: Host, arguments: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with on(mac):
        return arguments()


def _ask(mac: Host, fact: type[FactBase[T]], arguments: dict[str, Any]) -> tuple[T] | None:
    """One Mac's answer, or None when there is none."""
    with on(mac):
        try:
            return (mac.get_fact(fact, **arguments),)
        except UNREACHED as error:
            mac.log_styled(str(error), fg="red", log_func=logger.error)
            state.fail_hosts({mac})  # type: ignore[no-untyped-call]
            return None


def joined(mac: Host) -> Joined:
    """Which clusters a Mac belongs to at this moment."""
    with on(mac):
        found: Joined = mac.get_fact(Clusters)
    return found


def reached(name: str) -> Host | None:
    """The Mac of that name, if this run reaches it."""
    return next((mac for mac in state.inventory.get_active_hosts() if mac.name == name), None)


@contextmanager
def on(mac: Host) -> Iterator[None]:
    """Inside, pyinfra's `host` is this Mac, whatever Mac the current part of the deploy is for."""
    with ctx_config.use(state.config.copy()), ctx_host.use(mac):
        yield
