"""What the depot knows of a model: its files by sha256 and its config.json, in one JSON file for each source.

models/<last part of the source>@<16 hex digits>.json; the digits are of the sha256 over the source and the
revision as the settings name them, so the same settings find it on any machine. The files themselves are the
depot's objects.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fleet.origin import Origin
from fleet.weights import Tensors, Weights

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class WeightsFile:
    """One file of a model."""

    path: str
    """Below the model's folder."""
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a Mac must hold of a model, under the revision that its folder is named by."""

    revision: str
    """12 hex digits."""
    files: tuple[WeightsFile, ...]
    config: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """config.json; of an adapter, adapter_config.json."""
    private: bool = False
    """Whether its publisher shows it to a few only."""
    tensors: Tensors | None = field(default=None, repr=False)
    """What the headers of the weights say; None when they were not read. Kept, so that a plan stays what it was."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def weights(self) -> Weights:
        """What a plan needs to know."""
        files = tuple((file.path, file.size) for file in self.files)
        return Weights(files, self.revision, self.config, self.tensors)

    def text(self) -> str:
        """What stands beside the files on a Mac, as sorted JSON: the same model gives the same text."""
        told = {"revision": self.revision, "files": [asdict(file) for file in self.files]}
        return json.dumps(told, indent=1, sort_keys=True) + "\n"

    def record(self, source: str) -> str:
        """All of it, as the depot keeps it."""
        return json.dumps({"source": source, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def manifest_path(depot: Path, source: Origin, revision: str | None) -> Path:
    """The file in the depot that describes this source."""
    digest = hashlib.sha256(f"{source}\n{revision or ''}".encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]", "", PurePosixPath(str(source)).name) or "model"
    return depot / "models" / f"{name}@{digest}.json"


def read_manifest(depot: Path, source: Origin, revision: str | None) -> Manifest | None:
    """What the depot knows of this source; None when that is nothing that can be used."""
    try:
        text = manifest_path(depot, source, revision).read_text(encoding="utf-8")
        return _parsed(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def plain(path: str) -> bool:
    """Whether a file's path stays below the folder that it is joined to, on any machine."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and not re.search(r"[\\\n\0]", path)


def lacking(depot: Path, files: Iterable[WeightsFile]) -> list[WeightsFile]:
    """Those that are no object of the depot."""
    return [file for file in files if not (depot / "objects" / file.sha256[:2] / file.sha256).is_file()]


def _parsed(data: Mapping[str, Any]) -> Manifest:
    files = tuple(WeightsFile(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in data["files"])
    if not _REVISION.fullmatch(data["revision"]) or not isinstance(data["config"], dict):
        raise ValueError("not a manifest")
    if not files or not all(plain(file.path) and _SHA256.fullmatch(file.sha256) for file in files):
        raise ValueError("not a manifest")
    told = data.get("tensors")
    by_dtype = {str(dtype): int(size) for dtype, size in told["by_dtype"].items()} if told else {}
    tensors = Tensors(by_dtype, int(told["embeddings"])) if told else None
    return Manifest(data["revision"], files, data["config"], bool(data["private"]), tensors)
