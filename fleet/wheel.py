"""Wheels of Python code that Ray imports as they are: raylab's own, and those of applications.

A wheel without compiled code is a zip that Python imports from. On a Mac each lies in a folder that is named after
its content, and Ray's PYTHONPATH names it: new code is a new path, so a running service never changes under its feet,
and an env of 3 GB is not made anew for a few kilobytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from fleet.layout import SERVING

# The oldest time that a zip can tell, and nothing compressed: the same code makes the same bytes on every machine.
_WHEN = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class CodeWheel:
    """One wheel, whole."""

    file: str
    """Its file name."""
    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def folder(self) -> str:
        """The folder on a Mac that holds this file alone."""
        return f"{SERVING}/{self.sha256[:12]}"

    @property
    def path(self) -> str:
        """What PYTHONPATH names."""
        return f"{self.folder}/{self.file}"


def built(project: Path) -> CodeWheel:
    """The wheel of a folder with a pyproject.toml, as hatchling would pack it, without running anything.

    Raises OSError, and KeyError or ValueError for a pyproject.toml that does not name project and packages.
    """
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    about = settings["project"]
    stem = f"{about['name'].replace('-', '_')}-{about['version']}"
    files = {
        path.relative_to(project).as_posix(): path.read_bytes()
        for package in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        for path in sorted((project / package).rglob("*.py"))
    }
    info = f"{stem}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: raylab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD").encode()
    return CodeWheel(f"{stem}-py3-none-any.whl", _zipped(files))


def read(path: Path) -> CodeWheel:
    """A wheel that somebody built. Raises OSError, and ValueError that says why it cannot be imported as it is."""
    try:
        _, _, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise ValueError(f"{path.name} is not the name of a wheel") from None
    if {(tag.interpreter, tag.abi, tag.platform) for tag in tags}.isdisjoint({("py3", "none", "any")}):
        raise ValueError(f"{path.name} holds compiled code, which belongs in wheels.in")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} is not a zip file")
    return CodeWheel(path.name, path.read_bytes())


def _record(files: Mapping[str, bytes], name: str) -> str:
    """Every file with its hash, as the wheel format wants it."""
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{name},,\n"])


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, _WHEN), data)
    return buffer.getvalue()
