"""The wheels of a release, fetched by pip, so that the owner's pip configuration (mirror, proxy) counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import unquote, urlsplit

from depot.download import check_room, download
from depot.errors import DepotError
from depot.hashes import Hashes
from fleet.release import LockedWheel, Release

# Several pips at once: each spends its time waiting for the index. A batch is what an interruption can cost.
PIPS = 4
BATCH = 16
# What an average wheel takes, twice: pip's temporary file and the depot's.
ROOM_PER_WHEEL = 12 * 10**6
# PyPI's torch for Linux is the GPU build; the lab runs the CPU build, which is served here.
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
# The oldest macOS a fleet may run decides, not the control machine's.
MACOS = "macosx_15_0_arm64"

Progress = Callable[[str], None]


def fetch_wheels(release: Release, folder: Path, hashes: Hashes, progress: Progress) -> list[Path]:
    """One verified file per locked wheel, in the lock's order; what `folder` holds already is not fetched.

    Raises DepotError that names every wheel that could not be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = _held(release.wheels, folder, hashes)
    missing = [wheel for wheel in release.wheels if wheel not in held]
    if missing:
        check_room(folder, len(missing) * ROOM_PER_WHEEL, f"Fetching {len(missing)} wheels")
        _fetch(release, missing, folder, progress)
        held = _held(release.wheels, folder, hashes)
    if lost := [f"{wheel.name}=={wheel.version}" for wheel in release.wheels if wheel not in held]:
        raise DepotError(f"pip reported success but brought nothing that the lock accepts for: {', '.join(lost)}.")
    return [held[wheel] for wheel in release.wheels]


def python_tag(release: Release) -> str:
    """`cp312`: wheels of different Pythons are kept apart, as one lock line accepts any of them."""
    major, minor, *_ = release.python.split(".")
    return f"cp{major}{minor}"


def pip_target(release: Release) -> list[str]:
    """pip's options for a platform that is not this machine's own; none where pip's own choice is right."""
    if release.platform == "osx-arm64":
        platforms = [MACOS]
    elif sys.platform == "linux" and python_tag(release) == f"cp{sys.version_info[0]}{sys.version_info[1]}":
        return []
    else:
        platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 16, -1)] + ["manylinux2014_x86_64"]
    options = [option for platform in platforms for option in ("--platform", platform)]
    version = ".".join(release.python.split(".")[:2])
    return [*options, "--python-version", version, "--implementation", "cp"]


def _held(wheels: Sequence[LockedWheel], folder: Path, hashes: Hashes) -> dict[LockedWheel, Path]:
    by_hash = {hashes.of(path): path for path in sorted(folder.glob("*.whl"))}
    found = {}
    for wheel in wheels:
        paths = [by_hash[sha256] for sha256 in wheel.sha256s if sha256 in by_hash]
        if paths:
            found[wheel] = paths[0]
    return found


def _fetch(release: Release, missing: list[LockedWheel], folder: Path, progress: Progress) -> None:
    for wheel in (wheel for wheel in missing if wheel.url):
        download(wheel.url, folder / Path(unquote(urlsplit(wheel.url).path)).name, wheel.sha256s)
    indexed = [wheel for wheel in missing if not wheel.url]
    # Local versions (2.13.0+cpu) are on no ordinary index: alone, so that only they are asked for elsewhere.
    batches = [[wheel] for wheel in indexed if "+" in wheel.version]
    plain = [wheel for wheel in indexed if "+" not in wheel.version]
    count = -(-len(plain) // BATCH)
    # Dealt out like cards: neighbours in the alphabet are often of one family, and of one size.
    batches += [plain[start::count] for start in range(count)]
    done, problems = 0, []
    with ThreadPoolExecutor(PIPS) as pool:
        running = {pool.submit(_fetch_batch, release, batch, folder): batch for batch in batches}
        for future in as_completed(running):
            if problem := future.exception():
                if not isinstance(problem, DepotError):
                    raise problem
                problems.append(str(problem))
                continue
            done += len(running[future])
            progress(f"depot: {done} of {len(indexed)} missing wheels fetched")
    if problems:
        raise DepotError("\n".join(problems))


def _fetch_batch(release: Release, batch: list[LockedWheel], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as scratch:
        lock = Path(scratch) / "wheels.lock"
        lock.write_text(requirements(batch), encoding="utf-8")
        options = pip_target(release)
        result = _pip(lock, options)
        if result.returncode and any(wheel.version.endswith("+cpu") for wheel in batch):
            result = _pip(lock, [*options, "--extra-index-url", TORCH_CPU])
        if result.returncode:
            names = ", ".join(f"{wheel.name}=={wheel.version}" for wheel in batch)
            words = _last_words(result.stdout + result.stderr)
            raise DepotError(f"pip cannot fetch one of {names}:\n{words}")
        for path in Path(scratch).glob("*.whl"):
            shutil.move(path, folder / path.name)


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
