"""Wheels by hash: where the owner's package indexes have them, and what only pip can fetch from there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from depot.download import Download, check_room
from depot.errors import DepotError
from depot.index import TORCH_CPU, locate, pip_sources
from depot.known import Known
from depot.objects import Objects
from fleet.lockfile import LockedWheel
from fleet.targets import GLIBC, MACOS, Target, best

# Several pips at once: each spends its time waiting for the index. A batch is what an interruption can cost.
PIPS = 4
BATCH = 16
# What an average wheel takes, twice: pip's temporary file and the depot's.
ROOM_PER_WHEEL = 12 * 10**6

Progress = Callable[[str], None]


@dataclass
class Wheels:
    """The wheels of one lock, on their way into the depot."""

    wheels: Sequence[LockedWheel]
    target: Target | None
    """What they run on; decides where a lock accepts several files for one wheel."""
    objects: Objects
    known: Known

    def held(self, wheel: LockedWheel) -> tuple[str, str] | None:
        """sha256 and file name of the object that is this wheel; None when there is none yet."""
        names = {sha256: wheel.file or self.known.wheels.get(sha256, "") for sha256 in wheel.sha256s}
        files = {name: sha256 for sha256, name in names.items() if name and self.objects.holds(sha256)}
        name = best(self.target, files) if self.target and len(wheel.sha256s) > 1 else next(iter(files), None)
        return (files[name], name) if name else None

    def missing(self) -> list[LockedWheel]:
        """Those that are no objects yet."""
        return [wheel for wheel in self.wheels if not self.held(wheel)]

    def downloads(self, progress: Progress) -> list[Download]:
        """How to fetch those that are missing, as far as their address can be found out."""
        named = {wheel: Download(wheel.file, wheel.url, wheel.sha256s) for wheel in self.missing() if wheel.url}
        if indexed := [wheel for wheel in self.missing() if not wheel.url]:
            progress(f"depot: looking for {len(indexed)} wheels")
            named |= locate(indexed, self.target, pip_sources())
        for download in named.values():
            self.known.wheels |= dict.fromkeys(download.sha256s, download.name)
        return list(named.values())

    def fetch_by_pip(self, progress: Progress) -> None:
        """Fetches what is still missing. Raises DepotError that names every wheel that could not be had."""
        missing = self.missing()
        if missing:
            check_room(self.objects.depot, len(missing) * ROOM_PER_WHEEL, f"Fetching {len(missing)} wheels")
            with self.objects.alone():
                self._fetch(missing, progress)
        if lost := [f"{wheel.name}=={wheel.version}" for wheel in self.missing()]:
            raise DepotError(f"pip reported success but brought nothing that the lock accepts for: {', '.join(lost)}.")

    def _fetch(self, missing: list[LockedWheel], progress: Progress) -> None:
        # Local versions (2.13.0+cpu) are on no ordinary index: alone, so that only they are asked for elsewhere.
        batches = [[wheel] for wheel in missing if "+" in wheel.version]
        plain = [wheel for wheel in missing if "+" not in wheel.version]
        count = -(-len(plain) // BATCH)
        # Dealt out like cards: neighbours in the alphabet are often of one family, and of one size.
        batches += [plain[start::count] for start in range(count)]
        done, problems = 0, []
        with ThreadPoolExecutor(PIPS) as pool:
            running = {pool.submit(self._fetch_batch, batch): batch for batch in batches}
            for future in as_completed(running):
                if problem := future.exception():
                    if not isinstance(problem, DepotError):
                        raise problem
                    problems.append(str(problem))
                    continue
                done += len(running[future])
                progress(f"depot: pip fetched {done} of {len(missing)} missing wheels")
        if problems:
            raise DepotError("\n".join(problems))

    def _fetch_batch(self, batch: list[LockedWheel]) -> None:
        folder = self.objects.partial("").parent
        with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as scratch:
            lock = Path(scratch) / "wheels.lock"
            lock.write_text(requirements(batch), encoding="utf-8")
            result = _pip(lock, pip_target(self.target))
            if result.returncode and any(wheel.version.endswith("+cpu") for wheel in batch):
                result = _pip(lock, [*pip_target(self.target), "--extra-index-url", TORCH_CPU])
            if result.returncode:
                names = ", ".join(f"{wheel.name}=={wheel.version}" for wheel in batch)
                words = _last_words(result.stdout + result.stderr)
                raise DepotError(f"pip cannot fetch one of {names}:\n{words}")
            for path in Path(scratch).glob("*.whl"):
                with path.open("rb") as stream:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                self.known.wheels[sha256] = path.name
                self.objects.adopt(path, sha256)


def pip_target(target: Target | None) -> list[str]:
    """pip's options for the wheels of a platform, whatever machine this is; none for one that is not known."""
    if target is None:
        return []
    if target.platform == "osx-arm64":
        platforms = [f"macosx_{MACOS[0]}_{MACOS[1]}_arm64"]
    else:
        platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC[1], 16, -1)]
        platforms += ["manylinux2014_x86_64", "linux_x86_64"]
    options = [option for platform in platforms for option in ("--platform", platform)]
    return [*options, "--python-version", target.python, "--implementation", "cp"]


def requirements(wheels: Sequence[LockedWheel]) -> str:
    """Lock lines of these wheels, as pip and uv read them."""
    lines = []
    for wheel in wheels:
        hashes = "".join(f" \\\n    --hash=sha256:{sha256}" for sha256 in wheel.sha256s)
        lines.append(f"{wheel.name}=={wheel.version}{hashes}\n")
    return "".join(lines)


def _pip(lock: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "download", "--dest", str(lock.parent)]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    return subprocess.run([*command, *options, "-r", str(lock)], capture_output=True, text=True, check=False)


def _last_words(output: str) -> str:
    """The lines of pip's output that say what is wrong: the errors, and the hashes that differ."""
    lines = [line.strip() for line in output.splitlines()]
    starts = ("ERROR", "Expected", "Got", "No module")
    telling = [line for line in lines if line.startswith(starts) or "sha256" in line]
    return "\n".join(f"    {line}" for line in (telling or lines)[-6:])
