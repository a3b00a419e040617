"""The lines of the locks: what each names, and what is said about a line that names nothing to install."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from fleet.errors import Code, Problem
from fleet.targets import Target, unfit

CONDA_LOCK = "conda.lock"
WHEELS_LOCK = "wheels.lock"
TOOLS_LOCK = "tools.lock"
LOCKS = (CONDA_LOCK, WHEELS_LOCK, TOOLS_LOCK)

CONDA_NAME = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCHIVE = re.compile(r"\S+\.(whl|tar\.gz|tar\.bz2|tgz|zip)")
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
    """One Python distribution. `sha256s` names every file that may serve as it; `make lock` writes only one."""

    name: str
    version: str
    sha256s: tuple[str, ...]
    url: str = ""
    """Where it is, when the lock names a wheel directly; else empty: a package index has it."""
    file: str = ""
    """The wheel's file name, when the lock tells it."""


@dataclass(frozen=True)
class Line:
    """One line that says something; continued lines are joined."""

    number: int
    text: str
    remark: str
    """The comment at its end."""


@dataclass
class Reader:
    """Collects what is wrong with the locks while they are read."""

    shown: str
    """The folder's name in messages."""
    problems: list[Problem] = field(default_factory=list)

    def bad(self, code: Code, lock: str, line: int, given: str, other: str, fix: str) -> None:
        """Notes a problem of one line, of a whole lock (line 0), or of the folder (no lock)."""
        where = (f"{self.shown}/{lock}" if lock else "") + (f":{line}" if line else "")
        self.problems.append(Problem(code, where, "", "locks", given, fix, other))


def remedy(path: Path) -> str:
    """Who makes a lock that is not there."""
    return "Run `make lab`, which makes it." if ".lab" in path.parts else "Correct the setting `locks`."


def read_lines(reader: Reader, lock: Path) -> list[Line]:
    """The lines of a lock that say something; a problem when it cannot be read."""
    try:
        return list(lines_of(lock.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        reader.bad(Code.LOCK_MISSING, lock.name, 0, lock.name, "", remedy(lock))
        return []


def lines_of(text: str) -> Iterator[Line]:
    """The lines that say something, in requirements' syntax: `#` after a space begins a comment."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.search(r"(^|\s)#", line)
        bare = (line[: comment.start()] if comment else line).strip()
        remark = line[comment.end() :].strip() if comment else ""
        start = start if joined else number
        if bare.endswith("\\"):
            joined += bare[:-1].strip() + " "
            continue
        if joined := (joined + bare).strip():
            yield Line(start, joined, remark)
        joined = ""


def conda_packages(reader: Reader, lines: Iterable[Line]) -> Iterator[LockedFile]:
    """The packages of an explicit conda lock."""
    for line in lines:
        if line.text == "@EXPLICIT":
            continue
        locked = _locked_url(line.text)
        if locked is None or not CONDA_NAME.fullmatch(locked.name):
            fix = "Write URL#sha256:HEX, as an explicit conda lock does."
            reader.bad(Code.LOCK_INVALID, CONDA_LOCK, line.number, line.text[:80], "no package with a sha256", fix)
        else:
            yield locked


def tools(reader: Reader, lines: Iterable[Line]) -> Iterator[LockedFile]:
    """The archives of the tools, each with the member that is wanted out of it."""
    for line in lines:
        url, _, member = line.text.partition(" ")
        locked = _locked_url(url)
        if locked is None or not member.strip():
            fix = "Write URL#sha256:HEX MEMBER, where MEMBER is the wanted file inside the archive."
            what = "no archive with a sha256 and a member"
            reader.bad(Code.LOCK_INVALID, TOOLS_LOCK, line.number, line.text[:80], what, fix)
        else:
            yield LockedFile(locked.name, locked.url, locked.sha256, member.strip())


def wheels(reader: Reader, lines: Iterable[Line], target: Target | None) -> Iterator[LockedWheel]:
    """The wheels of a requirements file. Where the lock tells a file name, it must run on `target` if that is known."""
    for line in lines:
        if line.text.startswith("-"):  # where wheels come from is not part of what they are
            continue
        wheel = _wheel(line)
        if wheel is None:
            fix = "Write name==version --hash=sha256:HEX, or name @ URL --hash=sha256:HEX."
            what = "no exact version with a sha256"
            reader.bad(Code.LOCK_INVALID, WHEELS_LOCK, line.number, line.text[:80], what, fix)
        elif (wheel.name, wheel.version) == ("vllm-metal", "0.1.0"):
            what = "it serves on the CPU without a word (vllm-metal#493)"
            fix = "Name a wheel of vllm-metal's releases on GitHub by its URL in wheels.in, and run `make lock`."
            reader.bad(Code.LOCK_UNFIT, WHEELS_LOCK, line.number, "vllm-metal 0.1.0", what, fix)
        elif reason := _unfit(wheel, target):
            fix = "Correct wheels.in if it names this file, and run `make lock`, which takes wheels that fit."
            reader.bad(Code.LOCK_UNFIT, WHEELS_LOCK, line.number, wheel.file, reason, fix)
        else:
            yield wheel


def _wheel(line: Line) -> LockedWheel | None:
    wanted, *hashes = (part.strip() for part in line.text.split("--hash=sha256:"))
    if not hashes or not all(_SHA256.fullmatch(value) for value in hashes):
        return None
    sha256s = tuple(sorted(hashes))
    if pinned := _PINNED.fullmatch(wanted):
        file = line.remark if _ARCHIVE.fullmatch(line.remark) else ""
        return LockedWheel(canonicalize_name(pinned["name"]), pinned["version"], sha256s, file=file)
    if direct := _DIRECT.fullmatch(wanted):
        file = file_name(direct["url"])
        url = direct["url"].partition("#")[0]
        return LockedWheel(canonicalize_name(direct["name"]), _version(file), sha256s, url, file)
    return None


def _unfit(wheel: LockedWheel, target: Target | None) -> str:
    """Why the file that a line names is not to be installed; empty when nothing speaks against it."""
    if not wheel.file:
        return ""
    if reason := unfit(target, wheel.file):
        return reason
    name, version, *_ = parse_wheel_filename(wheel.file)
    try:
        same = (name, version) == (wheel.name, Version(wheel.version))
    except InvalidVersion:
        same = False
    return "" if same else f"it is not {wheel.name} {wheel.version}, which the line names"


def _version(file: str) -> str:
    """The version in a wheel's name; empty for any other file, which `_unfit` refuses."""
    try:
        return str(parse_wheel_filename(file)[1])
    except InvalidWheelFilename:
        return ""


def _locked_url(text: str) -> LockedFile | None:
    url, _, sha256 = text.strip().partition("#sha256:")
    name = file_name(url)
    return LockedFile(name, url, sha256) if name and _SHA256.fullmatch(sha256) else None


def file_name(url: str) -> str:
    """The last part of the URL's path, as the file would be called."""
    return unquote(PurePosixPath(urlsplit(url).path).name)
