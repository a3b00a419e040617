"""Directories, small files, and large ones."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pyinfra.api.command import FileUploadCommand, QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.diff import show_change
from macos.facts import Digests, Files, FileState
from macos.facts.files import RECORD
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

_MODE = re.compile(r"0?[0-7]{3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[^/\n\\][^\n\\]*")
_BATCH_BYTES = 64 << 20


def _check(path: str, mode: str) -> None:
    if not path.startswith("/") or "\n" in path or path.endswith("/"):
        raise OperationValueError(f"{path!r}: an absolute path without a slash at its end is needed")
    if not _MODE.fullmatch(mode):
        raise OperationValueError(f"{path}: mode {mode!r} is not three octal digits")


@dataclass(frozen=True)
class Directory:
    """A directory. Missing parents are made too, but theirs is the default owner and mode."""

    path: str
    owner: str = "root"
    group: str = "wheel"
    mode: str = "0755"


@dataclass(frozen=True)
class TextFile:
    """A small file. Its content is never printed; a `secret` one does not show in `--diff` either."""

    path: str
    content: str = field(repr=False)
    owner: str = "root"
    group: str = "wheel"
    mode: str = "0644"
    secret: bool = False


def _same_owner(wanted: Directory | TextFile, found: FileState) -> bool:
    return (found.owner, found.group, found.mode) == (wanted.owner, wanted.group, int(wanted.mode, 8))


def _tree_calls(
    directories: Sequence[Directory], files: Sequence[TextFile], found: dict[str, FileState]
) -> Iterable[list[str]]:
    for folder in directories:
        have = found.get(folder.path)
        if not (have and have.kind == "directory" and _same_owner(folder, have)):
            yield ["directory", folder.path, folder.owner, folder.group, folder.mode]
    for file in files:
        have = found.get(file.path)
        if not (have and have.sha256 == hashlib.sha256(file.content.encode()).hexdigest()):
            if not file.secret:
                show_change(file.path, file.content, exists=bool(have and have.kind == "file"))
            yield ["file", file.path, file.owner, file.group, file.mode, file.content]
        elif not _same_owner(file, have):
            yield ["owned", file.path, file.owner, file.group, file.mode]


@mac_operation("files.tree")
def tree(directories: Sequence[Directory] = (), files: Sequence[TextFile] = ()) -> Commands:
    """All of these are there, with this content, owner, group and mode; nothing else is touched or removed.

    One fact and at most one command, however many there are. Directories first, in the order given.
    """
    wanted: list[Directory | TextFile] = [*directories, *files]
    for item in wanted:
        _check(item.path, item.mode)
    if binary := [file.path for file in files if "\0" in file.content]:
        raise OperationValueError(f"not text: {', '.join(binary)}")
    paths = [item.path for item in wanted]
    if len(set(paths)) < len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise OperationValueError(f"given twice: {', '.join(twice)}")
    calls = list(_tree_calls(directories, files, host.get_fact(Files, paths=paths)))
    if not calls:
        host.noop(f"{len(paths)} paths are as they should be")
        return
    yield script_command(["files"], calls, [call[1] for call in calls])


@dataclass(frozen=True)
class LocalFile:
    """A file of the control machine that belongs on a Mac, under `name` (relative to the directory)."""

    source: Path
    sha256: str
    name: str

    @classmethod
    def read(cls, source: Path, name: str | None = None) -> LocalFile:
        """For a file whose sha256 no lock or manifest knows. Reads it once, however many Macs there are."""
        info = source.stat()
        return cls(source, _local_sha256(source, info.st_size, info.st_mtime_ns), name or source.name)


@cache
def _local_sha256(source: Path, _size: int, _mtime_ns: int) -> str:
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_local(files: Sequence[LocalFile]) -> None:
    names = [file.name for file in files]
    for file in files:
        if not _SHA256.fullmatch(file.sha256):
            raise OperationValueError(f"{file.name}: {file.sha256!r} is not a sha256")
        if not _NAME.fullmatch(file.name) or ".." in file.name.split("/"):
            raise OperationValueError(f"{file.name!r} is not a plain relative path")
        if names.count(file.name) > 1:
            raise OperationValueError(f"{file.name} is given twice")


def _batches(files: Sequence[LocalFile]) -> Iterable[list[LocalFile]]:
    """Few commands for many small files, and after an interruption little to send again."""
    batch: list[LocalFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.source.stat().st_size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@mac_operation("files.upload")
def upload(
    directory: str,
    files: Sequence[LocalFile],
    owner: str = "root",
    group: str = "wheel",
    mode: str = "0644",
) -> Commands:
    """Each of `files` is in `directory` (which exists), whole: only what is missing or differs is sent.

    Each is verified on arrival under a temporary name and then renamed; a wrong sha256 fails that Mac. What
    arrived is recorded with its size and time, so a run that changes nothing reads no gigabytes. Nothing is
    removed.
    """
    _check(directory, mode)
    _check_local(files)
    found = host.get_fact(Digests, directory=directory, names=[file.name for file in files])
    missing = [file for file in files if found.get(file.name) != file.sha256]
    if not missing:
        host.noop(f"{len(files)} files are in {directory}")
        return
    for file in missing:
        if not file.source.is_file():
            raise OperationValueError(f"{file.source} is not there")
    variables = {"directory": directory, "owner": owner, "group": group, "mode": mode, "record": RECORD}
    # /tmp is on the same volume as /opt, so moving out of it is a rename. Only the SSH user can enter it.
    staging = f"/tmp/raylab-{hashlib.sha256(directory.encode()).hexdigest()[:12]}"
    yield StringCommand("rm", "-rf", staging, "&&", "mkdir", "-m", "700", staging, _sudo=False)
    for number, batch in enumerate(_batches(missing)):
        staged = {f"{staging}/{number}-{at}": file for at, file in enumerate(batch)}
        for path, file in staged.items():
            yield FileUploadCommand(os.fspath(file.source), path, _sudo=False)
        calls = [["arrived", path, file.name, file.sha256] for path, file in staged.items()]
        subjects = [directory, *(file.name for file in batch)]
        yield script_command(["files", "upload"], calls, subjects, variables)
    yield StringCommand("rmdir", QuoteString(staging), _sudo=False)
