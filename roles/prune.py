"""What a converge leaves on no Mac: releases, code, objects and weights that nothing needs any more."""

from __future__ import annotations

from collections.abc import Collection

from pyinfra import logger
from pyinfra.context import host, state

from fleet.layout import DEPOT
from fleet.prune import amount, folders_to_go, objects_to_go, weights_in, weights_to_go
from macos.facts.folders import CodeFolders, DiskUsage, Folders, ReleaseFolders, WeightFolders
from macos.facts.objects import DepotFiles
from macos.operations.objects import absent
from macos.quiet import Commands, mac_operation
from macos.shell import script_command
from roles.acting import UNREACHED
from roles.context import the_fleet, the_release
from roles.report import serve_config


@mac_operation("prune.releases")
def releases() -> Commands:
    """The release of the settings stays, the one to go back to, and those in use; the others go.

    At the end of a converge: until a job's plist is written anew, it names the release that it ran before.
    """
    yield from _left_over(ReleaseFolders, {the_release().id}, "no release is left over")


@mac_operation("prune.code")
def code() -> Commands:
    """The wheels of the settings stay, of each package the one before, and those in use; the others go.

    At the end of a converge, as for releases.
    """
    wanted = {wheel.folder.rpartition("/")[2] for wheel in the_fleet().code}
    yield from _left_over(CodeFolders, wanted, "no code is left over")


def _left_over(fact: type[Folders], wanted: Collection[str], nothing: str) -> Commands:
    """Take away the folders of one place that nothing needs."""
    found = host.get_fact(fact)
    paths = [f"{fact.place}/{name}" for name in folders_to_go(found, wanted)]
    if not paths:
        host.noop(nothing)
        return
    _tell(paths, "removed, as nothing uses it any more")
    yield from absent._inner(paths)  # type: ignore[attr-defined]  # pyinfra's way to nest operations


@mac_operation("prune.weights")
def weights() -> Commands:
    """Weights that no setting names are told, and go with `--data prune=1`: to have them again may take hours.

    What Serve was told stays, also where the settings name another revision by now: engines start from it.
    """
    found = host.get_fact(WeightFolders)
    named = [stored.path for stored in the_fleet().stored]
    try:
        paths = weights_to_go(found, named) and weights_to_go(found, [*named, *weights_in(serve_config(the_fleet()))])
    except UNREACHED:
        host.noop("no weights go, as the head cannot be asked what Serve has been told of")
        return
    if not paths:
        host.noop("no weights are left over")
    elif host.data.get("prune"):
        _tell(paths, "removed, as no setting names it")
        yield from absent._inner(paths)  # type: ignore[attr-defined]  # pyinfra's way to nest operations
    else:
        host.noop("weights that no setting names stay")
        _tell(paths, "named by no setting; deploy/cluster.py --data prune=1 removes it")


@mac_operation("prune.objects")
def objects(wanted: Collection[str]) -> Commands:
    """Objects that no release and no model links to go, and what arrived of others; not those `wanted` (sha256s).

    After `releases` and `weights`, which take links away.
    """
    found = host.get_fact(DepotFiles)
    going = objects_to_go(found, wanted)
    if not going:
        host.noop("no object is left over")
        return
    what = f"{len(going)} files of {DEPOT}"
    if state.is_executing:
        size = amount(sum(file.size for file in going))
        host.log(f"{what}: {size}, removed, as nothing uses them any more", logger.info)
    yield script_command(["files", "prune"], [["unlinked", DEPOT, *(file.name for file in going)]], [what])


def _tell(paths: Collection[str], what: str) -> None:
    """One line for each with its size, once: not while pyinfra looks ahead, for to add a release up takes seconds."""
    if state.is_executing:
        sizes = host.get_fact(DiskUsage, paths=paths)
        for path in paths:
            host.log(f"{path}: {amount(sizes.get(path, 0))}, {what}", logger.info)
