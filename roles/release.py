"""What the roles conda and wheels share: the depot, and whether a Mac has its release already."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from gevent.lock import RLock
from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.context import host, state

from depot.errors import DepotError
from depot.fetch import Artifact, Depot, fetch
from depot.install import env_mark
from fleet.layout import release_dir
from fleet.release import Release
from macos.operations.files import LocalFile
from macos.quiet import Commands, mac_operation
from roles.announce import end, say, tell
from roles.context import the_fleet, the_release


class Stage(FactBase[str]):
    """How far a release is on a Mac: `complete`, `env` (made, without its wheels), or empty."""

    def command(self, release_id: str) -> str:
        """The marker that is written last decides."""
        complete, env = f"{release_dir(release_id)}/complete", env_mark(release_id)
        return f"if [ -e {complete} ]; then echo complete; elif [ -e {env} ]; then echo env; fi"

    @staticmethod
    def default() -> str:
        """Nothing is there."""
        return ""

    def process(self, output: list[str]) -> str:
        """The word that was printed."""
        return output[-1]


def stage() -> str:
    """How far this Mac's release is."""
    found: str = host.get_fact(Stage, release_id=the_release().id)
    return found


def is_complete() -> bool:
    """Whether this Mac has its release."""
    return stage() == "complete"


def macs_of_release() -> tuple[str, ...]:
    """The Macs of this run with this Mac's release."""
    fleet, release_id = the_fleet(), the_release().id
    return tuple(
        mac.name for mac in state.inventory.get_active_hosts() if fleet.release(fleet.mac(mac.name)).id == release_id
    )


_fetched: dict[str, Depot] = {}
_fetching = RLock()


def _fetch(release: Release, locks: Path) -> Depot:
    try:
        return fetch(release, Path(the_fleet().depot), progress=tell, locks=str(locks))
    except DepotError as error:
        say("error: the depot cannot be filled. No Mac was touched.", str(error))
        end(2)


def the_depot() -> Depot:
    """Every artifact of this Mac's release, fetched once to the control machine."""
    release = the_release()
    # The parts of all Macs come here at once; the first one fetches.
    with _fetching:
        if release.id not in _fetched:
            locks = next(folder for folder, known in the_fleet().releases.items() if known == release)
            _fetched[release.id] = _fetch(release, locks)
        return _fetched[release.id]


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
def steps(release_id: str, until: str, commands: Sequence[str]) -> Commands:
    """Run shell commands in order, unless the release is at the stage `until` (`env`, `complete`) or beyond it."""
    if host.get_fact(Stage, release_id=release_id) in (until, "complete"):
        host.noop(f"release {release_id} has its {until}")
        return
    yield StringCommand("sh", "-c", shlex.quote("set -e; " + "; ".join(commands)))
