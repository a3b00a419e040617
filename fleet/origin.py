"""Where a model's files come from: a folder here, a repository on Hugging Face, a folder on a Mac of the fleet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"hf:([A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)")
_ON_MAC = re.compile(r"@mac/([^:/]+):(/[^\n]*)")
_PAGE = "https://huggingface.co"


@dataclass(frozen=True)
class Folder:
    """A folder on the control machine."""

    written: str
    """As a person wrote it: the same words mean the same model on another control machine."""
    path: Path

    def __str__(self) -> str:
        return self.written


@dataclass(frozen=True)
class Repository:
    """A repository on Hugging Face."""

    name: str
    """`Qwen/Qwen3-8B`."""

    def __str__(self) -> str:
        return f"hf:{self.name}"

    @property
    def page(self) -> str:
        """Where a person can look at it."""
        return f"{_PAGE}/{self.name}"


@dataclass(frozen=True)
class MacFolder:
    """A folder on a Mac of the fleet."""

    mac: str
    """The Mac's name."""
    path: str
    """Absolute, without a slash at its end."""

    def __str__(self) -> str:
        return f"@mac/{self.mac}:{self.path}"


Origin = Folder | Repository | MacFolder


def origin(written: str, root: Path) -> Origin | None:
    """What a source says; relative folders count from `root`. None when it begins like a repository or a Mac's
    folder and is none.
    """
    if found := _REPOSITORY.fullmatch(written):
        return Repository(found[1])
    if found := _ON_MAC.fullmatch(written):
        return MacFolder(found[1], found[2].rstrip("/") or "/")
    if written.startswith(("hf:", "@", "http:", "https:")):
        return None
    return Folder(written, root / Path(written).expanduser())
