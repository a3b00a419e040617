"""A clock of its own for a simulated Mac, which otherwise has this machine's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab import namespaces as ns
from lab.errors import LabError
from lab.paths import CLOCK, CLOCK_LIBRARY, MacPaths, lab_dir

_SOURCE = Path(__file__).with_suffix(".c")
_BYTES = 8


def put(name: str, seconds: int) -> None:
    """The Mac's clock is so many seconds ahead of this machine's, or behind when negative.

    At once for all that runs on it, if it has started with a clock of its own; else from its next start on. Raises
    LabError when there is no C compiler.
    """
    _build()
    path = MacPaths(name).clock
    with open(path, "r+b" if path.exists() else "xb") as file:
        # In place: whoever runs has the file mapped. Eight bytes are read whole.
        os.pwrite(file.fileno(), seconds.to_bytes(_BYTES, "little", signed=True), 0)


def show(paths: MacPaths, root: Path) -> None:
    """In the mounts of a Mac that is booting: its clock, if it has one, and what makes its programs go by it."""
    if not paths.clock.exists():
        return
    for source, inside in ((paths.clock, CLOCK), (_library(), CLOCK_LIBRARY), (_preloaded(), "/etc/ld.so.preload")):
        target = root / inside.lstrip("/")
        if not target.exists():
            target.touch()
        ns.bind_read_only(str(source), target)


def _library() -> Path:
    return lab_dir() / "clock.so"


def _preloaded() -> Path:
    return lab_dir() / "ld.so.preload"


def _build() -> None:
    library = _library()
    if library.exists() and library.stat().st_mtime > _SOURCE.stat().st_mtime:
        return
    compiler = shutil.which("cc")
    if not compiler:
        raise LabError("a clock of its own needs a C compiler: apt-get install -y gcc libc6-dev")
    new = library.with_suffix(".partial")
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f'-DCLOCK_FILE="{CLOCK}"']
    subprocess.run([compiler, *flags, "-o", str(new), str(_SOURCE)], check=True)
    new.replace(library)
    _preloaded().write_text(f"{CLOCK_LIBRARY}\n")
