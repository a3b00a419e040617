"""Where a release goes, and whether a wheel runs there: its file name says so in its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

# The oldest macOS that a Mac of a fleet may run. A wheel for a newer one would not start on an older Mac.
MACOS = (15, 0)
# Debian 12's C library, which the simulated Macs run on.
GLIBC = (2, 36)
# Names that manylinux had before it was named after the C library's version.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MACOS_TAG = re.compile(r"macosx_(\d+)_(\d+)_(arm64|universal2)")


@dataclass(frozen=True)
class Target:
    """One kind of machine, with one minor release of Python."""

    platform: str
    """`osx-arm64` or `linux-64`."""
    python: str
    """`3.12`."""

    def __str__(self) -> str:
        machine = f"macOS {_dotted(MACOS)} on Apple silicon" if self.platform == "osx-arm64" else "Linux x86-64"
        return f"{machine} with Python {self.python}"


TARGETS = {target.platform: target for target in (Target("osx-arm64", "3.12"), Target("linux-64", "3.11"))}
"""Each platform with the Python that its locks are made for when no conda.lock beside them says it."""


def target_for(platform: str, python: str) -> Target | None:
    """The target of a release with this exact Python; None for a platform that raylab does not know, or no Python."""
    return Target(platform, ".".join(python.split(".")[:2])) if platform in TARGETS and python else None


def best(target: Target, files: Iterable[str]) -> str | None:
    """The wheel that pip and uv would take of these file names; None when none of them runs on `target`."""
    ranked = [(rank, file) for file in files if (rank := _rank(target, file)) is not None]
    return min(ranked)[1] if ranked else None


def unfit(target: Target | None, file: str) -> str:
    """Why the file with this name cannot be installed on `target`, as a clause; empty when it can.

    With no target, only what can be installed nowhere is told.
    """
    if not file.endswith(".whl"):
        return "it is source code, not a wheel: each Mac would have to build it"
    try:
        *_, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return "that is no wheel's name"
    if target is None or _rank(target, file) is not None:
        return ""
    platforms = sorted({tag.platform for tag in tags})
    if not set(platforms) & {"any", *_platforms(target)}:
        needs = [(int(found[1]), int(found[2])) for name in platforms if (found := _MACOS_TAG.fullmatch(name))]
        if target.platform == "osx-arm64" and needs:
            return f"it needs macOS {_dotted(min(needs))}, and a Mac may run {_dotted(MACOS)}"
        return f"it is for {', '.join(platforms)}, not for {target}"
    pythons = sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags})
    return f"it is for {', '.join(pythons)}, not for Python {target.python}"


def _rank(target: Target, file: str) -> tuple[int, tuple[int, str]] | None:
    """The smaller, the better; the second part turns a higher build number into a smaller rank."""
    try:
        _, _, build, tags = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return None
    ranks = _ranks(target)
    found = [ranks[tag] for tag in tags if tag in ranks]
    return (min(found), (-build[0], build[1]) if build else (0, "")) if found else None


@cache
def _ranks(target: Target) -> dict[Tag, int]:
    major, minor = (int(part) for part in target.python.split("."))
    name, platforms = f"cp{major}{minor}", _platforms(target)
    # The ABI is named: left to itself, packaging takes that of the Python which runs this.
    tags = [
        *cpython_tags((major, minor), [name], platforms),
        *compatible_tags((major, minor), name, platforms),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


@cache
def _platforms(target: Target) -> tuple[str, ...]:
    """Platform tags, the preferred ones first."""
    return tuple(mac_platforms(MACOS, "arm64") if target.platform == "osx-arm64" else _manylinux())


def _manylinux() -> Iterator[str]:
    for minor in range(GLIBC[1], 4, -1):
        yield f"manylinux_2_{minor}_x86_64"
        if minor in _OLD_NAMES:
            yield f"{_OLD_NAMES[minor]}_x86_64"
    yield "linux_x86_64"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
