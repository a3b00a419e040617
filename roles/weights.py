"""The weights of every model: every file an object that the relay brought, under its name."""

from __future__ import annotations

from functools import partial
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.context import state

from depot.errors import DepotError
from depot.fanout.parcel import Item, Parcel
from fleet.layout import model_dir
from fleet.manifest import read_manifest
from fleet.settings import Model
from macos.facts.objects import Views
from macos.operations import files, objects
from macos.operations.files import Directory, TextFile
from roles import relay
from roles.announce import end, say
from roles.context import everyone, the_fleet
from roles.sources import gathered

MANIFEST = "manifest.json"


@deploy("Weights")
def copied() -> None:
    """Each model's files; only what is missing or differs is sent. The manifest comes last."""
    try:
        for model in the_fleet().models:
            _copied(model)
    except (DepotError, OSError) as error:
        say(f"error: models: {error} No Mac was touched.")
        end(2)


def _copied(model: Model) -> None:
    manifest = gathered(model).manifest
    size = f"{len(manifest.files)} files, {manifest.size / 1e6:.1f} MB"
    files.tree([Directory(model_dir(model.id)), Directory(model.path)], name=f"Folder of {model.id}")
    relay.arrived(parcel(model), name=f"Weights of {model.id}: {size}")
    objects.view(model.path, _objects(model), name=f"Files of {model.id} by name")
    files.tree(files=[TextFile(f"{model.path}/{MANIFEST}", manifest.text())], name=f"Manifest of {model.id}")


def parcel(model: Model) -> Parcel:
    """A model's weights, for every Mac of this run."""
    found = gathered(model)
    items = tuple(Item(file.path, file.sha256, file.size, found.files[file.path]) for file in found.manifest.files)
    macs = tuple(mac.name for mac in state.inventory.get_active_hosts())
    return Parcel(f"weights of {model.id}", _once(items), macs, found.private)


def _once(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Without files that have the content of another one."""
    return tuple({item.sha256: item for item in items}.values())


def _objects(model: Model) -> dict[str, str]:
    return {file.path: file.sha256 for file in gathered(model).manifest.files}


def whole(model: Model) -> dict[str, bool]:
    """By Mac: whether it has every file of this model. Fetches nothing: a fleet that serves a model knows it."""
    known = read_manifest(the_fleet().depot, model.source, model.revision)
    if known is None or known.revision != model.weights.revision:
        return {}
    wanted = {file.path: file.sha256 for file in known.files}
    found = everyone(Views, partial(_view_arguments, model.path, tuple(wanted.items())))
    return {name: len(right) == len(wanted) for name, right in found.items()}


def _view_arguments(directory: str, objects: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {"directory": directory, "files": dict(objects)}
