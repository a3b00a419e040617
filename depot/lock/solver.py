"""Conda's solver (py-rattler), in a process of its own: its threads sometimes crash the interpreter's end.

`python -m depot.lock.solver` reads a question from standard input and writes the answer to standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depot.errors import DepotError
from depot.lock.words import one_line
from fleet.targets import GLIBC, MACOS

if TYPE_CHECKING:
    from rattler import RepoDataRecord

# What the solver takes for given, by platform: name, version, build.
VIRTUAL = {
    "osx-arm64": (
        ("__unix", "0", "0"),
        ("__osx", f"{MACOS[0]}.{MACOS[1]}", "0"),
        ("__archspec", "1", "m1"),
    ),
    "linux-64": (
        ("__unix", "0", "0"),
        ("__linux", "6.1", "0"),
        ("__glibc", f"{GLIBC[0]}.{GLIBC[1]}", "0"),
        ("__archspec", "1", "x86_64"),
    ),
}


@dataclass(frozen=True)
class Package:
    """One package of a solution."""

    name: str
    url: str
    sha256: str

    @property
    def line(self) -> str:
        """As an explicit lock names it."""
        return f"{self.url}#sha256:{self.sha256}"


def solve(platform: str, specs: Sequence[str], keep: Sequence[str] = ()) -> list[Package]:
    """The packages that satisfy `specs` on `platform`, dependencies first.

    A spec names its channel: `conda-forge::python=3.12`. `keep` are sha256 of packages that are preferred to
    newer ones. Raises DepotError, in one line.
    """
    question = json.dumps({"platform": platform, "specs": list(specs), "keep": list(keep)})
    command = [sys.executable, "-m", "depot.lock.solver"]
    repository = Path(__file__).parents[2]
    child = subprocess.run(command, input=question, capture_output=True, text=True, cwd=repository, check=False)
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        words = " ".join((child.stderr.strip().splitlines() or [f"it ended with {child.returncode}"])[-1:])
        raise DepotError(f"the conda solver gave no answer: {words}.") from None
    if "error" in answer:
        raise DepotError(answer["error"])
    return [Package(**package) for package in answer["packages"]]


async def solution(platform: str, specs: Sequence[str], keep: Sequence[str]) -> list[Package]:
    """What `solve` returns, in this process."""
    import rattler

    wanted = [rattler.MatchSpec(spec) for spec in specs]
    if bare := [str(spec) for spec in wanted if spec.channel is None]:
        raise DepotError(f"{bare[0]} names no channel. Write conda-forge::{bare[0]}.")
    channels = list({spec.channel.base_url: spec.channel for spec in wanted if spec.channel}.values())
    gateway, platforms = rattler.Gateway(), [rattler.Subdir(platform), rattler.Subdir("noarch")]
    known = await gateway.query(channels, platforms, specs=wanted) if keep else []
    locked = [record for records in known for record in records if _sha256(record) in keep]
    given = [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build))
        for name, version, build in VIRTUAL[platform]
    ]
    found = await rattler.solve(
        channels, wanted, gateway=gateway, platforms=platforms, locked_packages=locked, virtual_packages=given
    )
    if lacking := [record.file_name for record in found if not record.sha256]:
        raise DepotError(f"the channel tells no sha256 of {', '.join(lacking)}.")
    # Sorting drops the URLs.
    order = [record.name for record in rattler.PackageRecord.sort_topologically(list(found))]
    found.sort(key=lambda record: order.index(record.name))
    return [Package(record.name.normalized, record.url, _sha256(record)) for record in found]


def _sha256(record: RepoDataRecord) -> str:
    return record.sha256.hex() if record.sha256 else ""


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"packages": [asdict(package) for package in asyncio.run(solution(**question))]}
    except DepotError as problem:
        return {"error": str(problem)}
    except Exception as problem:  # py-rattler has a dozen kinds, and each says what is wrong
        return {"error": _reason(problem)}


def _reason(problem: Exception) -> str:
    text = str(problem).strip()
    if type(problem).__name__ != "GatewayError":
        return one_line(re.sub("[├└│─]", " ", text)).rstrip(".") + "."
    # The first line says what failed, the last one why.
    lines = text.splitlines()
    reason = ": ".join(dict.fromkeys([lines[0], lines[-1].removeprefix("Caused by: ")]))
    fix = "Run it again where it can be reached, or write a mirror's URL in its place."
    return f"the channel cannot be read: {reason}. {fix}"


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))), flush=True)
    os._exit(0)
