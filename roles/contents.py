"""Every file of the release and of the weights read again on its Mac, for the deep health check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from depot.install import wheels_dir
from fleet.layout import release_dir
from fleet.prune import amount
from fleet.seen import Contents
from macos.facts.contents import Manifests, Sums
from roles import announce, weights
from roles.context import everyone, the_fleet, the_release, this_mac


def reread() -> dict[str, tuple[Contents, ...]]:
    """What each Mac of this run has, against the manifests it was given. Says first how much there is to read."""
    given = {name: _folders(name, found) for name, found in everyone(Manifests, _manifest_arguments).items()}
    announce.say(*(_announcement(name, folders) for name, folders in given.items()))
    sums = everyone(Sums, _sums_arguments)
    return {
        name: tuple(replace(folder, found=_below(folder.path, sums[name])) for folder in folders)
        for name, folders in given.items()
        if name in sums
    }


def _folders(mac: str, manifests: Mapping[str, Mapping[str, Any]]) -> list[Contents]:
    """What should be in the folders of one Mac."""
    release = the_fleet().release(the_fleet().mac(mac)).id
    artifacts = manifests.get(release_dir(release), {}).get("files")
    # Only the wheels are kept as they came: the conda packages have become the env.
    wheels = None if artifacts is None else [file for file in artifacts if file["name"].endswith(".whl")]
    folders = [_folder(f"wheels of release {release}", wheels_dir(release), wheels, "name", "bytes")]
    for stored in weights.stored_on(the_fleet().mac(mac)):
        held = manifests.get(stored.path, {}).get("files")
        folders.append(_folder(f"weights of {stored.id}", stored.path, held, "path", "size"))
    return folders


def _folder(title: str, path: str, files: list[dict[str, Any]] | None, name: str, size: str) -> Contents:
    if files is None:
        return Contents(title, path, None, 0)
    return Contents(title, path, {file[name]: file["sha256"] for file in files}, sum(file[size] for file in files))


def _announcement(mac: str, folders: list[Contents]) -> str:
    count = sum(len(folder.files or ()) for folder in folders)
    return f"{mac}: reads {count} files again, {amount(sum(folder.size for folder in folders))}; this takes a while"


def _below(directory: str, sums: Mapping[str, str]) -> dict[str, str]:
    inside = f"{directory}/"
    return {path.removeprefix(inside): sha256 for path, sha256 in sums.items() if path.startswith(inside)}


def _manifest_arguments() -> dict[str, Any]:
    return {"folders": (release_dir(the_release().id), *_weights())}


def _sums_arguments() -> dict[str, Any]:
    return {"directories": (wheels_dir(the_release().id), *_weights())}


def _weights() -> tuple[str, ...]:
    return tuple(stored.path for stored in weights.stored_on(this_mac()))
