"""Baking: what one Mac has laid on its disk becomes a layer under every Mac, so that gigabytes exist once."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from lab.errors import LabError
from lab.paths import MacPaths, lab_dir

OPAQUE = "trusted.overlay.opaque"


def bake(name: str, path: str) -> Path:
    """Move the folder `path` of the Mac `name`, which must be off, to the shared layer; where it is now.

    Its marks of things deleted go, since they mean something only above the layer they came from; and so does
    every Mac's mark that its own folders there hide what is below. Raises LabError when the Mac's own disk has
    no such folder.
    """
    if not path.startswith("/") or ".." in Path(path).parts:
        raise LabError(f"{path} must be an absolute path on the Mac")
    relative = path.strip("/")
    source, target = MacPaths(name).upper / relative, lab_dir() / "factory" / relative
    if not source.is_dir():
        raise LabError(f"{name} has laid nothing at {path}")
    for parent in reversed(Path(relative).parents[:-1]):
        _like(MacPaths(name).upper / parent, lab_dir() / "factory" / parent)
    _drop_marks(source)
    for disk in (lab_dir() / "macs").glob("*/upper"):
        for folder in (disk / relative, *(disk / parent for parent in Path(relative).parents[:-1])):
            _reveal(folder)
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
    return target


def _like(model: Path, folder: Path) -> None:
    """Make `folder` with the owner and mode of `model`."""
    folder.mkdir(parents=True, exist_ok=True)
    status = model.stat()
    os.chown(folder, status.st_uid, status.st_gid)
    folder.chmod(stat.S_IMODE(status.st_mode))


def _reveal(folder: Path) -> None:
    """Let the layers below `folder` be seen through it; a folder that is absent or hides nothing is fine."""
    with contextlib.suppress(OSError):
        os.removexattr(folder, OPAQUE)


def _drop_marks(folder: Path) -> None:
    for place, folders, files in os.walk(folder):
        for name in ("", *folders):
            path = Path(place, name)
            if not path.is_symlink():
                _reveal(path)
        for name in files:
            path = Path(place, name)
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                path.unlink()
