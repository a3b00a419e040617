"""Every model's files on the control machine, wherever its source is.

A folder on this machine is used in place. Everything else becomes objects of the depot, and its manifest (see
fleet/manifest.py) says which; with the manifest and the objects, nobody is asked again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from depot.errors import DepotError
from depot.hub import Commit
from depot.objects import Objects
from depot.weights import manifest as folder_manifest
from fleet.manifest import Manifest, lacking, manifest_path, read_manifest
from fleet.models import completed
from fleet.origin import Folder, MacFolder, Repository
from fleet.settings import Fleet, Stored
from fleet.weights import Weights


@dataclass(frozen=True)
class Gathered:
    """The files of a model or an adapter, all of them here and verified."""

    manifest: Manifest
    files: dict[str, Path] = field(repr=False)
    """By their paths below the model's folder."""
    private: bool
    """Whether nobody on the network may read them."""


def described(fleet: Fleet, tell: Callable[[str], None]) -> Fleet:
    """The fleet with all weights that are on Hugging Face, which is asked for those that the depot lacks.

    Raises DepotError with all that cannot be had, SettingsError for a model that cannot serve as asked.
    """
    found: dict[str, Weights] = {}
    problems = []
    for stored in fleet.stored:
        if isinstance(stored.source, Repository):
            try:
                found[stored.id] = _of_hub(stored, stored.source, fleet.depot, tell).weights
            except DepotError as problem:
                problems.append(str(problem))
    if problems:
        raise DepotError("\n".join(problems))
    return completed(fleet, found)


def gather(stored: Stored, depot: Path) -> Gathered:
    """The files, fetched from Hugging Face if they must be. A second call fetches nothing.

    Raises DepotError; for a folder on a Mac also when its files are no objects yet: see roles/sources.py. OSError
    when a file here cannot be read.
    """
    objects = Objects(depot)
    source = stored.source
    if isinstance(source, Folder) and source.path.is_dir():
        found = folder_manifest(source.path, objects.depot / "hashes.json")
        keep(stored, depot, found)
        return _gathered(stored, found, {file.path: source.path / file.path for file in found.files})
    if isinstance(source, Repository):
        found = _of_hub(stored, source, depot)
        if missing := lacking(depot, found.files):
            Commit(source, stored.revision or "", objects).fetch(missing)
    else:
        found = _known(source, depot)
    return _gathered(stored, found, {file.path: objects.path(file.sha256) for file in found.files})


def _known(source: Folder | MacFolder, depot: Path) -> Manifest:
    """What the depot has whole."""
    fix = f"Let a run reach {source.mac}." if isinstance(source, MacFolder) else "Put the folder back."
    known = read_manifest(depot, source, None)
    if known is None:
        raise DepotError(f"{source}: the depot {depot} does not know it. {fix}")
    if missing := lacking(depot, known.files):
        raise DepotError(f"{source}: the depot {depot} lacks {', '.join(file.path for file in missing)}. {fix}")
    return known


def keep(stored: Stored, depot: Path, manifest: Manifest) -> Path:
    """Writes down in the depot what this source holds; returns the file."""
    path = manifest_path(depot, stored.source, stored.revision)
    if read_manifest(depot, stored.source, stored.revision) == manifest:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as sink:
        sink.write(manifest.record(str(stored.source)))
        sink.flush()
        os.fsync(sink.fileno())
    return Path(name).rename(path)


def _of_hub(stored: Stored, source: Repository, depot: Path, tell: Callable[[str], None] | None = None) -> Manifest:
    """What the commit holds: as the depot knows, or else as the hub says."""
    if known := read_manifest(depot, source, stored.revision):
        return known
    if tell:
        tell(f"depot: asking Hugging Face about {source}")
    found = Commit(source, stored.revision or "", Objects(depot)).describe()
    keep(stored, depot, found)
    return found


def _gathered(stored: Stored, manifest: Manifest, files: dict[str, Path]) -> Gathered:
    return Gathered(manifest, files, manifest.private if stored.private is None else stored.private)
