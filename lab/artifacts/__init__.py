"""What a Mac would download, made out of this machine: a conda channel, micromamba's stand-in, a tiny model.

Where Linux differs from macOS the artifacts differ, never a role. Everything lands in `.lab/artifacts`:

    channel/linux-64/   conda packages (python, valkey, util-linux) and their index
    tools/              an archive like micromamba's real one, holding the stand-in
    models/tiny/        a random Qwen3 of 0.5 MB
    locks/              conda.lock, tools.lock, wheels.lock: what the inventory's `locks` points at
"""

from lab.artifacts.make import Artifacts, build

__all__ = ["Artifacts", "build"]
