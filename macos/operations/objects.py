"""Names for objects, and the end of folders that nothing needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from fleet.layout import DEPOT, RELEASES, SERVING, WEIGHTS
from fleet.prune import OBJECT_NAME, VERIFIED_MTIME
from macos.facts import Files
from macos.facts.objects import QUARANTINE, Views
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

_PART = r"(?!\.{1,2}(?:/|$))[^/\n\\]+"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_ABSOLUTE = re.compile(rf"(?:/{_PART})+")
_REMOVABLE = re.compile(rf"{RELEASES}/{_PART}|{WEIGHTS}/{_PART}(?:/{_PART})?|{SERVING}/(?:\.removed-)?[0-9a-f]{{12}}")


@mac_operation("objects.view")
def view(directory: str, files: Mapping[str, str]) -> Commands:
    """Each of `files` (name below `directory` → sha256) is a hard link to that object of the depot folder.

    Missing folders are made. An object that is not there, or not whole, fails that Mac. Other files of the
    directory stay.
    """
    if not directory.startswith("/") or directory.endswith("/") or "\n" in directory:
        raise OperationValueError(f"{directory!r}: an absolute path without a slash at its end is needed")
    for name, sha256 in files.items():
        if not _NAME.fullmatch(name):
            raise OperationValueError(f"{name!r} is not a plain relative path")
        if not OBJECT_NAME.fullmatch(sha256):
            raise OperationValueError(f"{name}: {sha256!r} is not a sha256")
    right = host.get_fact(Views, directory=directory, files=files)
    wrong = {name: sha256 for name, sha256 in files.items() if name not in right}
    if not wrong:
        host.noop(f"{len(files)} files are in {directory}")
        return
    calls = [["look"], *(["linked", name, sha256] for name, sha256 in wrong.items()), ["unmarked", QUARANTINE]]
    variables: dict[str, str | int] = {"depot": DEPOT, "directory": directory, "verified": VERIFIED_MTIME}
    yield script_command(["files", "objects"], calls, [directory], variables)


@mac_operation("objects.absent")
def absent(paths: Sequence[str]) -> Commands:
    """None of these folders is there: releases, models, revisions of models, or code. Others are refused."""
    if refused := [path for path in paths if not _REMOVABLE.fullmatch(path)]:
        raise OperationValueError(f"neither a release nor weights nor code, so not to be removed: {', '.join(refused)}")
    yield from folders_absent._inner(paths)  # type: ignore[attr-defined]  # pyinfra's way to nest operations


@mac_operation("objects.folders_absent")
def folders_absent(paths: Sequence[str]) -> Commands:
    """None of these is there, with all that is in it; each is gone for whoever looks before it is removed."""
    if wrong := [path for path in paths if not _ABSOLUTE.fullmatch(path)]:
        raise OperationValueError(f"no plain absolute path, so not to be removed: {', '.join(wrong)}")
    found = host.get_fact(Files, paths=paths)
    there = [path for path in paths if path in found]
    if not there:
        host.noop("none of them is there")
        return
    yield script_command(["files", "prune"], [["absent", path] for path in there], there)
