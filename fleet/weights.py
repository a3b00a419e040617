"""What a model's folder on the control machine holds: files, their sizes, and what the tensors in them take."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.kvcache import text_config, whole_number

# Read at both ends of every file to tell revisions apart; whole files are hashed when they are copied.
_SAMPLE_BYTES = 1024**2
# The safetensors format allows no longer header.
_HEADER_BYTES = 100_000_000
# What says of a model how it is made, and of an adapter.
CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
CONFIGS = (CONFIG, ADAPTER_CONFIG)
_OUTPUT = re.compile(r"(^|\.)lm_head\.")
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|lm_head)\.")


@dataclass(frozen=True)
class Tensors:
    """What the headers of a model's *.safetensors say."""

    by_dtype: Mapping[str, int] = field(hash=False)
    """Bytes of all tensors that an engine keeps, by the format's names: `{"BF16": 16060522496}`."""
    embeddings: int
    """Bytes of the embeddings and the output layer among them: a group's Macs do not share those out."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(self.by_dtype.values())


@dataclass(frozen=True)
class Weights:
    """A model's files, as far as a plan needs to know them."""

    files: tuple[tuple[str, int], ...] = ()
    """Each file as (path below the folder, bytes), sorted. Hidden files are left out."""
    revision: str = ""
    """12 hex digits that change when the files do: over names, sizes and the first and last MiB of each."""
    config: Mapping[str, Any] | None = None
    """config.json; of an adapter, adapter_config.json."""
    tensors: Tensors | None = None
    """None when the headers were not read, or cannot be."""

    @property
    def disk_bytes(self) -> int:
        """What a Mac's disk must hold."""
        return sum(size for _, size in self.files)

    @property
    def tensor_bytes(self) -> int:
        """What a Mac's memory must hold before the first request. By the files' sizes, unless their headers say."""
        if self.tensors:
            return self.tensors.size
        sizes = dict(self.files)
        return sum(sizes[name] for name in tensor_files(sizes))

    @property
    def longest_context(self) -> int | None:
        """The context the model was made for, in tokens; None when config.json does not say, or scales it."""
        text = text_config(self.config)
        if text.get("rope_scaling") or (text.get("rope_parameters") or {}).get("rope_type", "default") != "default":
            return None
        return whole_number(text.get("max_position_embeddings"))


def tensor_files(names: Iterable[str]) -> list[str]:
    """Those files of a model that engines load: every *.safetensors of the top folder, each tensor once."""
    every = set(names)
    # Some publishers add the same weights once more, in a format of their own.
    twice = "consolidated" if "model.safetensors.index.json" in every else "\0"
    return sorted(
        name for name in every if name.endswith(".safetensors") and "/" not in name and not name.startswith(twice)
    )


def read_weights(folder: Path) -> Weights:
    """Read a model's folder. Raises OSError, or ValueError when config.json, or an adapter's, is no JSON object."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    digest = hashlib.sha256()
    files = []
    for path in found:
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        files.append((name, size))
        digest.update(f"{name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            if size > 2 * _SAMPLE_BYTES:
                file.seek(-_SAMPLE_BYTES, 2)
            digest.update(file.read(_SAMPLE_BYTES))
    config = None
    if told := next((folder / name for name in CONFIGS if (folder / name).is_file()), None):
        config = json.loads(told.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"{told.name} is not a JSON object")
    headers = [read_header(folder / name) for name in tensor_files(name for name, _ in files)]
    return Weights(tuple(files), digest.hexdigest()[:12], config, tensors_of(headers, config))


def read_header(path: Path) -> Mapping[str, Any] | None:
    """The header of a safetensors file: each tensor's dtype, shape and offsets; None when it is no such file.

    Raises OSError.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _HEADER_BYTES:
            return None
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return None
    return header if isinstance(header, dict) else None


def tensors_of(headers: Iterable[Mapping[str, Any] | None], config: Mapping[str, Any] | None) -> Tensors | None:
    """What the headers of all files of a model add up to; None when one of them cannot be read."""
    found: dict[str, tuple[str, int]] = {}
    # An output layer that is the embeddings again is not loaded, even where a file holds it.
    tied = bool(text_config(config).get("tie_word_embeddings", (config or {}).get("tie_word_embeddings")))
    try:
        for header in headers:
            for name, tensor in (header or {"": {}}).items():
                if name != "__metadata__" and not (tied and _OUTPUT.search(name)):
                    start, end = tensor["data_offsets"]
                    found[name] = (str(tensor["dtype"]), int(end) - int(start))
    except (KeyError, TypeError, ValueError):
        return None
    by_dtype: dict[str, int] = {}
    for dtype, size in found.values():
        by_dtype[dtype] = by_dtype.get(dtype, 0) + size
    embeddings = sum(size for name, (_, size) in found.items() if _EMBEDDING.search(name))
    return Tensors(dict(sorted(by_dtype.items())), embeddings) if found else None
