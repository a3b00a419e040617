"""What the roles conda and wheels share: the depot, and whether a Mac has its release already."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.context import host

from depot.errors import DepotError
from depot.fetch import Artifact, Depot, fetch
from fleet.layout import release_dir
from fleet.release import Release
from macos.operations.files import LocalFile
from macos.quiet import Commands, mac_operation
from roles.announce import end, say, tell
from roles.context import the_fleet, the_release


class Complete(FactBase[bool]):
    """Whether a release is whole on a Mac: its marker file is written last."""

    def command(self, release_id: str) -> str:
        """Prints a word if so."""
        return f"if [ -e {release_dir(release_id)}/complete ]; then echo complete; fi"

    @staticmethod
    def default() -> bool:
        """Not there."""
        return False

    def process(self, output: list[str]) -> bool:
        """Whether the word was printed."""
        return "complete" in output


def is_complete() -> bool:
    """Whether this Mac has its release."""
    complete: bool = host.get_fact(Complete, release_id=the_release().id)
    return complete


@cache
def _fetched(release_id: str, locks: Path) -> Depot:
    release = next(known for known in the_fleet().releases.values() if known.id == release_id)
    try:
        return fetch(release, Path(the_fleet().depot), progress=tell, locks=str(locks))
    except DepotError as error:
        say("error: the depot cannot be filled. No Mac was touched.", str(error))
        end(2)


def the_depot() -> Depot:
    """Every artifact of this Mac's release, fetched once to the control machine."""
    return _fetched(the_release().id, next(k for k, v in the_fleet().releases.items() if v == the_release()))


def local(artifacts: Sequence[Artifact]) -> list[LocalFile]:
    """Artifacts of the depot, as files that belong on a Mac."""
    return [LocalFile(artifact.path, artifact.sha256, artifact.name) for artifact in artifacts]


def megabytes(artifacts: Sequence[Artifact]) -> str:
    """Count and size, for a person who waits: `151 files, 640 MB`."""
    return f"{len(artifacts)} files, {sum(artifact.size for artifact in artifacts) / 1e6:.0f} MB"


def manifest(depot: Depot) -> str:
    """The release's manifest.json: every artifact by sha256 and size."""
    release: Release = depot.release
    artifacts = [*depot.conda, *depot.wheels]
    files = [{"name": file.name, "sha256": file.sha256, "bytes": file.size} for file in artifacts]
    return json.dumps({"id": release.id, "versions": release.versions, "files": files}, indent=1) + "\n"


@mac_operation("release.steps")
def steps(release_id: str, commands: Sequence[str]) -> Commands:
    """Run shell commands in order, unless the release is complete already."""
    if host.get_fact(Complete, release_id=release_id):
        host.noop(f"release {release_id} is complete")
        return
    yield StringCommand("sh", "-c", shlex.quote("set -e; " + "; ".join(commands)))
