"""What a model's folder on the control machine holds: files, sizes, and what its KV cache costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read at both ends of every file to tell revisions apart; whole files are hashed when they are copied.
_SAMPLE_BYTES = 1024**2


@dataclass(frozen=True)
class Weights:
    """A model's files, as far as a plan needs to know them."""

    files: tuple[tuple[str, int], ...] = ()
    """Each file as (path below the folder, bytes), sorted. Hidden files are left out."""
    revision: str = ""
    """12 hex digits that change when the files do: over names, sizes and the first and last MiB of each."""
    config: Mapping[str, Any] | None = None
    """config.json."""

    @property
    def disk_bytes(self) -> int:
        """What a Mac's disk must hold."""
        return sum(size for _, size in self.files)

    @property
    def tensor_bytes(self) -> int:
        """What a Mac's memory must hold before the first request: every *.safetensors of the top folder."""
        names = {name for name, _ in self.files}
        # Some publishers add the same weights once more, in a format of their own.
        twice = "consolidated" if "model.safetensors.index.json" in names else "\0"
        return sum(
            size
            for name, size in self.files
            if name.endswith(".safetensors") and "/" not in name and not name.startswith(twice)
        )

    @property
    def longest_context(self) -> int | None:
        """The context the model was made for, in tokens; None when config.json does not say, or scales it."""
        text = self._text_config
        if text.get("rope_scaling") or (text.get("rope_parameters") or {}).get("rope_type", "default") != "default":
            return None
        return _whole(text.get("max_position_embeddings"))

    @property
    def kv_bytes_per_token(self) -> int | None:
        """KV cache of one token of one request, at two bytes a value; None when config.json does not tell."""
        text = self._text_config
        layers = _whole(text.get("num_hidden_layers"))
        if layers and (rank := _whole(text.get("kv_lora_rank"))):
            # Multi-head latent attention keeps one compressed vector a layer.
            return layers * (rank + (_whole(text.get("qk_rope_head_dim")) or 0)) * 2
        heads = _whole(text.get("num_attention_heads"))
        hidden = _whole(text.get("hidden_size"))
        kv_heads = _whole(text.get("num_key_value_heads")) or heads
        size = _whole(text.get("head_dim")) or (hidden // heads if hidden and heads else None)
        return layers * 2 * kv_heads * size * 2 if layers and kv_heads and size else None

    @property
    def _text_config(self) -> Mapping[str, Any]:
        """The language model's part: models that also see or hear keep it one level down."""
        config = self.config or {}
        nested = config.get("text_config")
        return nested if isinstance(nested, Mapping) else config


def read_weights(folder: Path) -> Weights:
    """Read a model's folder. Raises OSError, or ValueError when config.json is no JSON object."""
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
    if (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("config.json is not a JSON object")
    return Weights(tuple(files), digest.hexdigest()[:12], config)


def _whole(value: object) -> int | None:
    """A positive whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
