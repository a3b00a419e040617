"""The lab's conda channel: indexed by py-rattler, and written down as `make lock` writes any channel.

Indexing runs in a process of its own, because py-rattler's threads sometimes crash the interpreter's end.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from depot.lock.conda import explicit
from depot.lock.folder import replace
from depot.lock.solver import solve

SUBDIR: Literal["linux-64"] = "linux-64"


def lock_channel(channel: Path, lock: Path, specs: Sequence[str]) -> None:
    """Indexes the packages in `channel` and writes the lock of `specs`."""
    program = "from lab.artifacts.channel import main; main()"
    repository = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(channel.absolute())], check=True, cwd=repository)
    packages = solve(SUBDIR, [f"{channel.absolute().as_uri()}::{spec}" for spec in specs])
    replace(lock, explicit("# Made by `make lab` from the packages of the machine it runs on.", packages))


async def _index(channel: Path) -> None:
    import rattler
    from rattler.index import index_fs

    await index_fs(channel, target_platform=rattler.Subdir(SUBDIR), force=True)


def main() -> None:
    """The child's program; its argument is the channel's folder."""
    asyncio.run(_index(Path(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)
