"""The manifest of a model's folder: which files an engine needs, and the sha256 of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from depot.errors import DepotError
from depot.hashes import Hashes
from fleet.weights import read_weights

# Weights, settings, chat templates, tokenizers. A .bin or .pth holds the same weights again.
NEEDED = {".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken"}
# Exports for other engines, as model publishers name their folders.
OTHER_ENGINES = {"original", "onnx", "openvino", "gguf", "metal"}


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
    files: tuple[WeightsFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def text(self) -> str:
        """As JSON, sorted: the same model gives the same text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def needed(path: PurePosixPath, beside: frozenset[str]) -> bool:
    """Whether an engine reads this file of a model; `beside` names the files of the model's top folder."""
    if path.suffix not in NEEDED or OTHER_ENGINES & set(path.parts[:-1]):
        return False
    # Mistral ships its weights twice: in its own format, and split as everybody else does.
    return not (path.name.startswith("consolidated") and "model.safetensors.index.json" in beside)


def manifest(folder: Path, memory: Path) -> Manifest:
    """Hashes what an engine needs of `folder`. `memory` (a file) keeps the hashes for the next time.

    Raises DepotError when the folder is no model, OSError when it cannot be read.
    """
    weights = read_weights(folder)
    beside = frozenset(name for name, _ in weights.files if "/" not in name)
    names = [name for name, _ in weights.files if needed(PurePosixPath(name), beside)]
    for suffix in ("config.json", ".safetensors"):
        if not any(name.endswith(suffix) for name in names):
            raise DepotError(f"{folder}: no {suffix} in it, so it is no model that an engine can load.")
    hashes = Hashes(memory)
    try:
        paths = [(name, folder / name) for name in names]
        files = tuple(WeightsFile(name, path.stat().st_size, hashes.of(path)) for name, path in paths)
    finally:
        hashes.save()
    return Manifest(weights.revision, files)
