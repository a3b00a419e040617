"""Models whose files are not on the control machine: what they hold, and how they get there, once."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gevent.lock import RLock
from paramiko import SSHException
from pyinfra.api.exceptions import PyinfraError

from depot.download import check_room
from depot.errors import DepotError
from depot.models import Gathered, described, gather, keep
from depot.objects import Objects
from depot.partial import Partial
from depot.progress import Tally, shown, volume
from depot.weights import engine_files
from fleet.errors import SettingsError
from fleet.manifest import Manifest, WeightsFile, lacking, read_manifest
from fleet.models import completed
from fleet.origin import MacFolder
from fleet.weights import Weights
from macos.facts.model import ModelFolder, Seen, Sums
from roles.context import on, reached, remember, the_fleet

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fleet.settings import Fleet, Stored

_settled: list[Exception | None] = []
_settling = RLock()
_gathering = RLock()


def described_or_exit(fleet: Fleet) -> Fleet:
    """The fleet with what Hugging Face holds of its models; ends the run when that cannot be known."""
    try:
        return described(fleet, _tell)
    except (DepotError, SettingsError, OSError) as problem:
        _tell(f"raylab: the models cannot be had. No Mac was touched.\n\n{problem}\n")
        sys.exit(2)


def settle() -> None:
    """The fleet gets the weights of models whose folder is on a Mac. Looks once a run, and changes nothing.

    Raises DepotError, and SettingsError for a model that cannot serve as asked.
    """
    with _settling:
        if not _settled:
            try:
                if found := _on_macs(the_fleet()):
                    remember(completed(the_fleet(), found))
                _settled.append(None)
            except (DepotError, SettingsError) as problem:
                _settled.append(problem)
        if _settled[0]:
            raise _settled[0]


def gathered(stored: Stored) -> Gathered:
    """The files on the control machine, which fetches what it lacks. A second call fetches nothing.

    Raises DepotError and OSError. Whoever calls it for another Mac meanwhile waits.
    """
    depot = the_fleet().depot
    with _gathering:
        if isinstance(stored.source, MacFolder):
            _bring(stored, stored.source, depot)
        return gather(stored, depot)


def _on_macs(fleet: Fleet) -> dict[str, Weights]:
    found, problems = {}, []
    for stored in fleet.stored:
        if isinstance(stored.source, MacFolder):
            try:
                found[stored.id] = _weights(stored.source, fleet.depot)
            except DepotError as problem:
                problems.append(str(problem))
    if problems:
        raise DepotError("\n".join(problems))
    return found


def _weights(source: MacFolder, depot: Path) -> Weights:
    """What the folder holds now; when nobody can look, or it is gone, what the depot holds of it."""
    known = read_manifest(depot, source, None)
    mac = reached(source.mac)
    seen = _look(mac, source) if mac else Seen()
    gone = not seen.files and not seen.closed
    if known and (seen.revision == known.revision or (gone and not lacking(depot, known.files))):
        return known.weights
    if not mac:
        fix = "Run it once with that Mac on, and without --limit."
        raise DepotError(f"{source}: this run does not reach {source.mac}, and the depot lacks it. {fix}")
    if gone:
        fix = (
            "Name another; for another disk, Documents, Desktop or Downloads, macOS asks for Remote Login > Allow full "
            "disk access for remote users."
        )
        raise DepotError(f"{source}: {source.mac} has no such folder that its SSH user may enter. {fix}")
    names = engine_files([name for name, _ in seen.files] + list(seen.closed), str(source))
    if closed := [name for name in names if name in seen.closed]:
        raise DepotError(f"{source}: the SSH user may not read {', '.join(closed)}. Run chmod a+r on {source.mac}.")
    try:
        config = json.loads(seen.config or "{}")
    except ValueError as problem:
        raise DepotError(f"{source}: config.json is no JSON: {problem}. Copy the whole model there.") from problem
    if not isinstance(config, dict):
        raise DepotError(f"{source}: config.json is not a JSON object. Copy the whole model there.")
    return Weights(tuple((name, size) for name, size in seen.files if name in names), seen.revision, config)


def _look(mac: Host, source: MacFolder) -> Seen:
    with on(mac):
        try:
            # Not as root: the files themselves come by SFTP, as the SSH user.
            seen: Seen = mac.get_fact(ModelFolder, folder=source.path, _sudo=False)
        except PyinfraError as problem:
            raise DepotError(f"{source}: {source.mac} does not answer: {problem}.") from problem
    return seen


def _bring(stored: Stored, source: MacFolder, depot: Path) -> None:
    """Makes objects of a folder's files, in the revision that `settle` has seen."""
    known = read_manifest(depot, source, None)
    if known is None or known.revision != stored.weights.revision:
        known = _hashed(stored, source)
        keep(stored, depot, known)
    if missing := lacking(depot, known.files):
        _copy(source, missing, Objects(depot))


def _mac(source: MacFolder) -> Host:
    if mac := reached(source.mac):
        return mac
    raise DepotError(f"{source}: this run does not reach {source.mac}, and the depot lacks it. Run it with that Mac.")


def _hashed(stored: Stored, source: MacFolder) -> Manifest:
    mac = _mac(source)
    sizes = dict(stored.weights.files)
    _tell(f"depot: {source.mac} reads {volume(sum(sizes.values()))} in {source.path} for their sha256")
    with on(mac):
        sums = mac.get_fact(Sums, folder=source.path, names=tuple(sizes), _sudo=False, _ignore_errors=True)
    if unread := [name for name in sizes if name not in sums]:
        raise DepotError(f"{source}: {source.mac} cannot read {', '.join(unread)}. Look at them, and run it again.")
    files = tuple(WeightsFile(name, size, sums[name]) for name, size in sizes.items())
    return Manifest(stored.weights.revision, files, stored.weights.config or {})


def _copy(source: MacFolder, files: Sequence[WeightsFile], objects: Objects) -> None:
    mac, size = _mac(source), sum(file.size for file in files)
    check_room(objects.depot, size, f"Fetching {source}")
    tally = Tally(str(source), len(files), size)
    with objects.alone(), shown(tally):
        for file in files:
            partial = Partial(objects.partial(file.sha256), tally)
            partial.restart()
            try:
                mac.get_file(f"{source.path}/{file.path}", _Sink(partial))
            except (OSError, EOFError, SSHException, PyinfraError) as problem:
                reason = str(problem).rstrip(".") or type(problem).__name__
                raise DepotError(f"{source}: {file.path} did not arrive: {reason}. Run it again.") from problem
            finally:
                partial.close()
            if partial.sha256 != file.sha256:
                partial.path.unlink()
                raise DepotError(f"{source}: {file.path} is not what {source.mac} has read before. Run it again.")
            objects.adopt(partial.path, file.sha256)
            tally.finish()


class _Sink(io.RawIOBase):
    """What pyinfra writes a remote file to: its bytes are hashed and counted as they come."""

    def __init__(self, partial: Partial) -> None:
        self._partial = partial

    def seek(self, offset: int, whence: int = 0) -> int:
        """pyinfra goes to the start, where this is."""
        return offset

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        """The next bytes."""
        self._partial.write(chunk)
        return len(chunk)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
