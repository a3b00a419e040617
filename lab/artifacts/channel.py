"""The lab's conda channel: indexed and solved by py-rattler, written down as an explicit lock.

That runs in a process of its own, because py-rattler's threads sometimes crash the interpreter's end.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

SUBDIR: Literal["linux-64"] = "linux-64"


def lock_channel(channel: Path, lock: Path, specs: Sequence[str]) -> None:
    """Indexes the packages in `channel` and writes the lock of `specs`, in a process of its own."""
    program = "from lab.artifacts.channel import main; main()"
    command = [sys.executable, "-c", program, str(channel), str(lock.absolute()), *specs]
    repository = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=repository)


async def _lock(channel: Path, lock: Path, specs: Sequence[str]) -> None:
    import rattler
    from rattler.index import index_fs

    await index_fs(channel, target_platform=rattler.Subdir(SUBDIR), force=True)
    source = rattler.Channel(channel.as_uri())
    records = await rattler.solve([source], list(specs), platforms=[SUBDIR, "noarch"], virtual_packages=[])
    records = sorted(records, key=lambda record: record.file_name)
    lines = ["# Made by `make lab` from the packages of the machine it runs on.", "@EXPLICIT"]
    lines += [f"{record.url}#sha256:{record.sha256.hex()}" for record in records if record.sha256]
    partial = lock.with_name(lock.name + ".partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.rename(lock)


def main() -> None:
    """The child's program; its arguments are the channel's folder, the lock and the specs."""
    asyncio.run(_lock(Path(sys.argv[1]).absolute(), Path(sys.argv[2]), sys.argv[3:]))
    sys.stdout.flush()
    os._exit(0)
