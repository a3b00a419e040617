"""Archives whose bytes depend on nothing but their content: sorted, no owner, no time."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# Level 1 packs as fast as a disk writes and costs a tenth in size; these archives never leave the machine.
LEVEL = 1


@dataclass(frozen=True)
class Content:
    """One file of a package. `placeholder` is the text that the installer replaces by the final prefix."""

    data: bytes
    executable: bool = False
    link: str | None = None
    placeholder: str | None = None


@dataclass(frozen=True)
class CondaPackage:
    """A conda package as the channel's index describes it, and its files by path below the prefix."""

    name: str
    version: str
    build: str
    files: Mapping[str, Content] = field(repr=False)
    depends: tuple[str, ...] = ()
    license: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.tar.bz2"


def write_archive(path: Path, files: Mapping[str, Content]) -> None:
    """Writes a .tar.bz2 in the mapping's own order; the final name never holds half an archive."""
    partial = path.with_name(path.name + ".partial")
    with tarfile.open(partial, "w:bz2", compresslevel=LEVEL) as tar:
        for name, content in files.items():
            _add(tar, name, content)
    partial.rename(path)


def write_package(path: Path, package: CondaPackage) -> None:
    """Writes a conda package (format 1: one .tar.bz2 with its metadata below `info/`)."""
    files = dict(sorted(package.files.items()))
    index = {
        "arch": "x86_64",
        "build": package.build,
        "build_number": 0,
        "depends": list(package.depends),
        "license": package.license,
        "name": package.name,
        "platform": "linux",
        "subdir": "linux-64",
        "version": package.version,
    }
    paths = {"paths": [_path_entry(name, content) for name, content in files.items()], "paths_version": 1}
    # The metadata comes first, as an index reads it without unpacking the rest.
    info = {"info/index.json": _json(index), "info/paths.json": _json(paths)}
    write_archive(path, {**info, **files})


def _json(value: object) -> Content:
    return Content(json.dumps(value, indent=1, sort_keys=True).encode())


def _path_entry(name: str, content: Content) -> dict[str, object]:
    entry: dict[str, object] = {
        "_path": name,
        "path_type": "softlink" if content.link else "hardlink",
        "sha256": hashlib.sha256(content.data).hexdigest(),
        "size_in_bytes": len(content.data),
    }
    if content.placeholder:
        entry |= {"prefix_placeholder": content.placeholder, "file_mode": "text"}
    return entry


def _add(tar: tarfile.TarFile, name: str, content: Content) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o755 if content.executable else 0o644
    if content.link:
        member.type = tarfile.SYMTYPE
        member.linkname = content.link
        tar.addfile(member)
        return
    member.size = len(content.data)
    data: IO[bytes] = io.BytesIO(content.data)
    tar.addfile(member, data)
