"""The weights of every model: every file an object that the relay brought, under its name."""

from __future__ import annotations

from functools import partial
from typing import Any

from gevent.lock import RLock
from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from depot.errors import DepotError
from depot.fanout.parcel import Item, Parcel
from fleet.layout import model_dir
from fleet.manifest import Manifest, read_manifest
from fleet.origin import Folder
from fleet.settings import Mac, Stored
from macos.facts.objects import Views
from macos.operations import files, objects
from macos.operations.files import Directory, TextFile
from roles import announce, relay
from roles.announce import end, say
from roles.context import everyone, the_fleet, this_mac
from roles.sources import gathered

MANIFEST = "manifest.json"

_wanted: dict[str, bool] = {}
# All Macs' parts of the deploy ask the same.
_looking = RLock()


@deploy("Weights")
def copied() -> None:
    """The files of each model that this Mac may run; only what differs is sent. The manifest comes last."""
    try:
        # In pyinfra's own loop: the Macs' steps for one model stay together, though not every Mac has every model.
        for stored in host.loop(the_fleet().stored):  # type: ignore[no-untyped-call]
            if stored in stored_on(this_mac()):
                _copied(stored)
    except (DepotError, OSError) as error:
        say(f"error: models: {error} No Mac was touched.")
        end(2)


def stored_on(mac: Mac) -> tuple[Stored, ...]:
    """What a Mac keeps for models."""
    return tuple(stored for model in announce.quiet_plan().models_on(mac) for stored in model.stored)


def _copied(stored: Stored) -> None:
    wanted = _is_wanted(stored)
    manifest = gathered(stored).manifest if wanted else _known(stored)
    assert manifest
    size = f"{len(manifest.files)} files, {manifest.size / 1e6:.1f} MB"
    files.tree([Directory(model_dir(stored.id)), Directory(stored.path)], name=f"Folder of {stored.id}")
    if wanted:
        relay.arrived(parcel(stored), name=f"Weights of {stored.id}: {size}")
    objects.view(stored.path, {file.path: file.sha256 for file in manifest.files}, name=f"Files of {stored.id} by name")
    files.tree(files=[TextFile(f"{stored.path}/{MANIFEST}", manifest.text())], name=f"Manifest of {stored.id}")


def parcel(stored: Stored) -> Parcel:
    """The weights of a model, or of an adapter, for those Macs of this run that may run it."""
    found = gathered(stored)
    items = tuple(Item(file.path, file.sha256, file.size, found.files[file.path]) for file in found.manifest.files)
    return Parcel(f"weights of {stored.id}", _once(items), _keepers(stored), found.private)


def _keepers(stored: Stored) -> tuple[str, ...]:
    """The Macs of this run that keep it."""
    reached = [the_fleet().mac(mac.name) for mac in state.inventory.get_active_hosts()]
    return tuple(mac.name for mac in reached if stored in stored_on(mac))


def _is_wanted(stored: Stored) -> bool:
    """Whether its files are needed here: a folder of this machine may have changed, or a Mac of this run lacks some."""
    with _looking:
        if stored.path not in _wanted:
            here = isinstance(stored.source, Folder) and stored.source.path.is_dir()
            if here or relay.deep() or _known(stored) is None:
                _wanted[stored.path] = True
            else:
                there = whole(stored)
                _wanted[stored.path] = not all(there.get(name) for name in _keepers(stored))
        return _wanted[stored.path]


def _once(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Without files that have the content of another one."""
    return tuple({item.sha256: item for item in items}.values())


def whole(stored: Stored) -> dict[str, bool]:
    """By Mac: whether it has every file. Fetches nothing: a fleet that serves a model knows it."""
    known = _known(stored)
    if known is None:
        return {}
    wanted = {file.path: file.sha256 for file in known.files}
    found = everyone(Views, partial(_view_arguments, stored.path, tuple(wanted.items())))
    return {name: len(right) == len(wanted) for name, right in found.items()}


def _known(stored: Stored) -> Manifest | None:
    """What the depot knows of it; None when it is another revision."""
    known = read_manifest(the_fleet().depot, stored.source, stored.revision)
    return known if known and known.revision == stored.weights.revision else None


def _view_arguments(directory: str, objects: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {"directory": directory, "files": dict(objects)}
