"""conda.lock and tools.lock, from conda.in and tools.in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from depot.errors import DepotError
from depot.lock.folder import Folder, conda_name
from depot.lock.solver import Package, solve
from fleet.lockfile import LockedFile, lines_of

# What the depot can take a program out of.
ARCHIVE = ".tar.bz2"


def conda_lock(folder: Folder) -> str:
    """The text of conda.lock: an explicit lock of what conda.in asks for. Raises DepotError."""
    specs = [line.text for line in lines_of(folder.read("conda.in"))]
    packages = solve(folder.platform, specs, _kept(folder, folder.conda()))
    return explicit("# Made from conda.in by `make lock`.", packages)


def tools_lock(folder: Folder) -> str:
    """The text of tools.lock: for each `SPEC MEMBER` of tools.in the archive, and the file wanted out of it.

    Raises DepotError.
    """
    kept = _kept(folder, folder.tools())
    lines = ["# Made from tools.in by `make lock`: URL#sha256:HEX, then the one file wanted out of the archive."]
    for spec, _, member in (line.text.rpartition(" ") for line in lines_of(folder.read("tools.in"))):
        if not spec:
            raise DepotError(f"tools.in: {member} is no tool. Write a spec, a space and the file wanted out of it.")
        # A tool is one program: what it depends on would be none of the package's files.
        name = re.split(r"[\s=<>!~]", spec.strip().rpartition("::")[2])[0]
        package = next(each for each in solve(folder.platform, [spec.strip()], kept) if each.name == name)
        if not package.url.endswith(ARCHIVE):
            raise DepotError(f"{package.url} cannot be opened: a tool has to be a {ARCHIVE}.")
        lines.append(f"{package.line} {member}")
    return "\n".join(lines) + "\n"


def explicit(header: str, packages: Sequence[Package]) -> str:
    """An explicit lock, as conda and micromamba read it."""
    return "\n".join([header, "@EXPLICIT", *(package.line for package in packages)]) + "\n"


def _kept(folder: Folder, locked: Sequence[LockedFile]) -> list[str]:
    return [sha256 for name, _, sha256 in map(conda_name, locked) if folder.upgrade.keeps(name)]
