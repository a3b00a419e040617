"""Wheels that wheels.in names by URL: the first fetch tells their sha256, which they must have ever after."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from depot.download import Download, fetch_all
from depot.errors import DepotError
from depot.lock.folder import Folder
from depot.objects import Objects
from fleet.lockfile import LockedWheel, file_name
from fleet.targets import Target, unfit

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*@\s*(?P<url>\S+)")
# What a requirement's marker may ask about, by platform.
_MARKERS = {
    "osx-arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    "linux-64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
}


def is_url(line: str) -> bool:
    """Whether a line of wheels.in is `name @ URL`."""
    return _NAMED.fullmatch(line) is not None


def locked(folder: Folder, lines: Iterable[str]) -> tuple[list[LockedWheel], list[str]]:
    """The wheels of these lines with their sha256, and what could not be fetched to learn it.

    The lock may lack a wheel that it lacked before. Raises DepotError when a wheel that is to replace a locked one
    cannot be had, and for a URL that names no wheel for the platform.
    """
    old = {wheel.name: wheel for wheel in folder.wheels() if wheel.url}
    wanted = [_wanted(folder.target, line) for line in lines]
    recorded = [old[wheel.name] for wheel in wanted if _same_url(old.get(wheel.name), wheel)]
    new = [wheel for wheel in wanted if not _same_url(old.get(wheel.name), wheel)]
    try:
        return recorded + _fetched(folder, new), []
    except DepotError as problem:
        if any(wheel.name in old for wheel in new):
            raise
        return recorded, str(problem).splitlines()


def check_requirements(folder: Folder, wheels: Sequence[LockedWheel], excluded: frozenset[str]) -> None:
    """Raises DepotError with what the wheels named by URL require and the lock has not.

    The index knows nothing of them, so uv cannot see to it. A wheel that the depot has not is not looked at.
    """
    versions = {wheel.name: wheel.version for wheel in wheels}
    problems = []
    for wheel in (wheel for wheel in wheels if wheel.url):
        objects = Objects(folder.depot)
        if not objects.holds(wheel.sha256s[0]):
            continue
        for needed in requirements(objects.path(wheel.sha256s[0]), folder.target):
            name = canonicalize_name(needed.name)
            if name in excluded or (name in versions and needed.specifier.contains(versions[name], prereleases=True)):
                continue
            has = f"{name} {versions[name]}" if name in versions else "none"
            problems.append(
                f"{wheel.name} {wheel.version} requires {needed}, and the lock has {has}."
                " Write it into wheels.in, or its name into excludes.txt when it is not needed."
            )
    if problems:
        raise DepotError("\n".join(problems))


def requirements(wheel: Path, target: Target) -> list[Requirement]:
    """What a wheel requires on `target`. Raises DepotError when the file is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = HeaderParser().parsestr(archive.read(inside).decode("utf-8"))
        listed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    except (OSError, StopIteration, ValueError, zipfile.BadZipFile) as problem:
        raise DepotError(f"{wheel.name} is no wheel ({type(problem).__name__}: {problem}).") from problem
    environment = {
        **_MARKERS[target.platform],
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "python_version": target.python,
        "python_full_version": f"{target.python}.0",
        "extra": "",
    }
    return [needed for needed in listed if needed.marker is None or needed.marker.evaluate(environment)]


def _wanted(target: Target, line: str) -> LockedWheel:
    """What a line asks for, its sha256 yet to be found."""
    found = _NAMED.fullmatch(line)
    assert found is not None
    file = file_name(found["url"])
    if reason := unfit(target, file):
        raise DepotError(f"wheels.in: {file} must not be installed: {reason}.")
    return LockedWheel(canonicalize_name(found["name"]), str(parse_wheel_filename(file)[1]), (), found["url"], file)


def _same_url(old: LockedWheel | None, wanted: LockedWheel) -> bool:
    return old is not None and old.url == wanted.url


def _fetched(folder: Folder, wheels: list[LockedWheel]) -> list[LockedWheel]:
    """The wheels with the sha256 that they turn out to have."""
    if not wheels:
        return []
    objects = Objects(folder.depot)
    downloads = [Download(wheel.file, wheel.url, ()) for wheel in wheels]
    found = fetch_all(downloads, objects, "wheels known by URL only")
    complete = []
    for wheel, download in zip(wheels, downloads, strict=True):
        try:
            # A page that tells about an error may come in a wheel's place.
            requirements(objects.path(found[download]), folder.target)
        except DepotError as problem:
            raise DepotError(f"{wheel.url}: what it serves is no wheel.") from problem
        complete.append(LockedWheel(wheel.name, wheel.version, (found[download],), wheel.url, wheel.file))
    return complete
