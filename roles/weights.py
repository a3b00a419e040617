"""The weights of every model, verified on arrival."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

from pyinfra.api.deploy import deploy

from depot.errors import DepotError
from depot.weights import Manifest, manifest
from fleet.layout import model_dir
from fleet.settings import Model
from macos.facts import Digests
from macos.operations import files
from macos.operations.files import Directory, LocalFile, TextFile
from roles.announce import end, say
from roles.context import everyone, the_fleet

MANIFEST = "manifest.json"


@cache
def manifest_of(source: Path) -> Manifest:
    """Which files of a model's folder an engine needs, with their hashes."""
    try:
        return manifest(source, Path(the_fleet().depot) / "weights.json")
    except (DepotError, OSError) as error:
        say(f"error: models: {error}. No Mac was touched.")
        end(2)


def whole(model: Model) -> dict[str, bool]:
    """By Mac: whether it has every file of this model."""
    files = {file.path: file.sha256 for file in manifest_of(model.source).files}
    found = everyone(Digests, partial(_digest_arguments, model.path, tuple(files)))
    return {name: digests == files for name, digests in found.items()}


def _digest_arguments(directory: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {"directory": directory, "names": names}


@deploy("Weights")
def copied() -> None:
    """Each model's files; only what is missing or differs is sent. The manifest comes last."""
    for model in the_fleet().models:
        _copied(model)


def _copied(model: Model) -> None:
    whole = manifest_of(model.source)
    local = [LocalFile(model.source / file.path, file.sha256, file.path) for file in whole.files]
    size = f"{len(whole.files)} files, {whole.size / 1e6:.1f} MB"
    files.tree([Directory(model_dir(model.id)), Directory(model.path)], name=f"Folder of {model.id}")
    files.upload(model.path, local, name=f"Weights of {model.id}: {size}")
    files.tree(files=[TextFile(f"{model.path}/{MANIFEST}", whole.text())], name=f"Manifest of {model.id}")
