"""Which files of a model an engine needs, and the manifest of a folder on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from depot.errors import DepotError
from depot.hashes import Hashes
from fleet.manifest import Manifest, WeightsFile, plain
from fleet.weights import CONFIG, CONFIGS, read_weights

# Weights, settings, chat templates, tokenizers. A .bin or .pth holds the same weights again.
NEEDED = {".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken"}
# Exports for other engines, as model publishers name their folders.
OTHER_ENGINES = {"original", "onnx", "openvino", "gguf", "metal"}


def needed(path: PurePosixPath, beside: frozenset[str]) -> bool:
    """Whether an engine reads this file of a model; `beside` names the files of the model's top folder."""
    if path.suffix not in NEEDED or OTHER_ENGINES & set(path.parts[:-1]):
        return False
    if any(part.startswith(".") for part in path.parts):
        return False
    # Mistral ships its weights twice: in its own format, and split as everybody else does.
    return not (path.name.startswith("consolidated") and "model.safetensors.index.json" in beside)


def engine_files(names: Iterable[str], source: str) -> list[str]:
    """Those that an engine needs, sorted. Raises DepotError when they are neither a model nor an adapter."""
    every = sorted(names)
    beside = frozenset(name for name in every if "/" not in name)
    chosen = [name for name in every if needed(PurePosixPath(name), beside)]
    if strange := [name for name in chosen if not plain(name)]:
        raise DepotError(f"{source}: a file is called {strange[0]!r}, which is no name below a folder. Look at it.")
    for what, there in (
        (CONFIG, any(name in chosen for name in CONFIGS)),
        (".safetensors", any(name.endswith(".safetensors") and "/" not in name for name in chosen)),
    ):
        if not there:
            raise DepotError(f"{source}: no {what} in it, so it is no model that an engine can load. Name another.")
    return chosen


def manifest(folder: Path, memory: Path) -> Manifest:
    """Hashes what an engine needs of `folder`. `memory` (a file) keeps the hashes for the next time.

    Raises DepotError when the folder is no model, OSError when it cannot be read.
    """
    try:
        weights = read_weights(folder)
    except ValueError as problem:
        raise DepotError(f"{folder}: {problem}. Copy the whole model folder.") from problem
    names = engine_files((name for name, _ in weights.files), str(folder))
    hashes = Hashes(memory)
    try:
        paths = [(name, folder / name) for name in names]
        files = tuple(WeightsFile(name, path.stat().st_size, hashes.of(path)) for name, path in paths)
    finally:
        hashes.save()
    return Manifest(weights.revision, files, weights.config or {}, tensors=weights.tensors)
