"""Fetches every wheel of the locks for Macs into an empty depot: how many, how large, how fast; and none for Linux.

Wheels that no index serves (vLLM, vllm-metal) are not in it until `make lock` has recorded them.
Run by `make bench-closure`; needs the internet and 1 GB of disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zipfile
from pathlib import Path

from depot.download import fetch_all
from depot.known import Known
from depot.objects import Objects
from depot.wheels import Wheels
from fleet.release import read_release
from fleet.targets import TARGETS

LOCKS = Path(__file__).resolve().parents[1] / "locks" / "osx-arm64"


def elf_files(wheel: Path) -> list[str]:
    """The files in a wheel that are Linux programs or libraries."""
    with zipfile.ZipFile(wheel) as packed:
        return [name for name in packed.namelist() if packed.open(name).read(4) == b"\x7fELF"]


def main() -> None:
    """Fetch, count, look inside."""
    release = read_release(LOCKS)
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(Path(folder))
        wheels = Wheels(release.wheels, TARGETS["osx-arm64"], objects, Known(objects.depot))
        began = time.monotonic()
        fetch_all(wheels.downloads(lambda line: print(line, file=sys.stderr)), objects, "wheels for osx-arm64")
        seconds = time.monotonic() - began
        if lacking := [wheel.name for wheel in wheels.missing()]:
            raise SystemExit(f"not to be had: {', '.join(lacking)}")
        paths = [objects.path(held[0]) for wheel in release.wheels if (held := wheels.held(wheel))]
        size = sum(path.stat().st_size for path in paths)
        foreign = [name for path in paths for name in elf_files(path)]
        for_macs = sum(wheel.file.endswith("arm64.whl") or "universal2" in wheel.file for wheel in release.wheels)
        print(f"{len(paths)} wheels, {size} bytes, {seconds:.1f} s, {size / seconds / 1e6:.1f} MB/s")
        print(
            f"{for_macs} for Macs alone, {len(paths) - for_macs} for any machine, {len(foreign)} Linux programs inside"
        )
        if foreign:
            raise SystemExit(f"these would not run on a Mac: {', '.join(foreign)}")


if __name__ == "__main__":
    main()
