"""LoRA adapters from folders on this Mac: what vLLM must be told when its engine starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = "adapter_config.json"


def engine_settings(adapters: Mapping[str, str], ranks: Sequence[int]) -> dict[str, Any]:
    """vLLM's engine arguments that make room for adapters, given as name → folder.

    `ranks` are the sizes that vLLM makes room for. Raises ValueError for an adapter that is not there or too large.
    """
    needed = max(rank(name, Path(folder)) for name, folder in adapters.items())
    fitting = [size for size in ranks if size >= needed]
    if not fitting:
        raise ValueError(f"a LoRA adapter of rank {needed}: vLLM takes up to {max(ranks)}")
    return {"enable_lora": True, "max_loras": len(adapters), "max_lora_rank": min(fitting)}


def rank(name: str, folder: Path) -> int:
    """The rank of an adapter as PEFT wrote it. Raises ValueError when that cannot be read."""
    try:
        return int(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'adapter "{name}": no rank "r" in {folder / CONFIG}: {error}') from error
