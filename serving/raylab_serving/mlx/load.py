"""A model from its folder into memory, whole or this rank's part of it. Nothing is ever downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, make_prompt_cache
from mlx_lm.utils import load_config, load_model, load_tokenizer

from raylab_serving.mlx.options import Options

# Bytes of weights between two words about the progress.
STRIDE = 500 * 10**6
# What a model's generation_config.json may set for requests that do not; its max_new_tokens is our max_tokens.
DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_new_tokens")


@dataclass(frozen=True)
class Model:
    """A model that can answer."""

    network: Any
    """mlx-lm's, called with tokens and caches."""
    tokenizer: Any
    """mlx-lm's wrapper of the model's tokenizer."""
    vocabulary: int
    """How many tokens have a probability."""
    defaults: Mapping[str, Any]
    """Of DEFAULTS, those that the model's authors chose."""
    divisible: bool
    """Whether a prompt's cache can be cut to any length; otherwise snapshots are taken while it is read."""
    recurrent: bool
    """Whether some layers keep a state, which every token changes, instead of something for each token."""
    longest: int
    """Characters of its longest token, at least."""


def group() -> mx.distributed.Group | None:
    """The ring that this process has joined; None when it is alone."""
    if "MLX_RANK" not in os.environ:
        return None
    joined = mx.distributed.init()
    return joined if joined.size() > 1 else None


def load(options: Options, ring: mx.distributed.Group | None, report: Callable[[str, float | None], None]) -> Model:
    """The model of these options; `report` is told in words, and which part is done.

    Raises ValueError or OSError, saying what is wrong, for a model that mlx-lm cannot serve.
    """
    folder = Path(options.path)
    report("reading the model's config", None)
    config = load_config(folder)
    if "model_file" in config and not options.trust_remote_code:
        raise ValueError(f"{folder} brings Python code of its own, {config['model_file']}: set trust_remote_code")
    # mlx-lm's sharded_load would look for what to download, and leave weights random that are missing.
    network, config = load_model(folder, lazy=True)
    if ring is not None:
        _split(network, options, ring)
    tokenizer = _tokenizer(options, config)
    caches = make_prompt_cache(network)
    if odd := {type(cache).__name__ for cache in caches if not hasattr(cache, "merge")}:
        raise ValueError(f"mlx-lm cannot answer several requests at once with this model ({', '.join(odd)})")
    _read(network, report)
    if ring is not None:
        # Slow disks differ by more than a collective waits for.
        mx.eval(mx.distributed.all_sum(mx.array(1.0), group=ring, stream=mx.cpu))
    vocabulary = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size") or len(tokenizer.vocab)
    divisible = all(type(cache) is KVCache for cache in caches)
    longest = max(map(len, tokenizer.get_vocab()))
    return Model(network, tokenizer, int(vocabulary), _defaults(folder), divisible, bool(states(caches)), longest)


def states(caches: Sequence[Any]) -> list[ArraysCache]:
    """Those of a model's caches, one for each layer, that are states, or the states among their parts."""
    parts = [part for cache in caches for part in (cache.caches if isinstance(cache, CacheList) else [cache])]
    return [part for part in parts if isinstance(part, ArraysCache)]


def _split(network: Any, options: Options, ring: mx.distributed.Group) -> None:  # noqa: ANN401
    """Leave only this rank's part; its weights are not read yet."""
    if not options.pipeline:
        if not hasattr(network, "shard"):
            raise ValueError(f"mlx-lm cannot split this model ({network.model_type}) over several Macs")
        network.shard(ring)
        return
    if not hasattr(getattr(network, "model", None), "pipeline"):
        raise ValueError(f"mlx-lm has no pipeline for this model ({network.model_type}): leave pipeline out")
    # mlx-lm 0.31.3 loses layers when they do not divide evenly.
    if len(network.layers) % ring.size():
        raise ValueError(f"a pipeline of {ring.size()} Macs does not divide {len(network.layers)} layers evenly")
    network.model.pipeline(ring)


def _tokenizer(options: Options, config: Mapping[str, Any]) -> Any:  # noqa: ANN401
    extra: dict[str, Any] = {"trust_remote_code": True} if options.trust_remote_code else {}
    if options.chat_template is not None:
        extra["chat_template"] = options.chat_template
    return load_tokenizer(Path(options.path), extra, eos_token_ids=config.get("eos_token_id"))


def _read(network: Any, report: Callable[[str, float | None], None]) -> None:  # noqa: ANN401
    """The weights, a stride at a time."""
    arrays = [array for _, array in tree_flatten(network.parameters())]
    total = sum(array.nbytes for array in arrays)
    done, waiting, size = 0, [], 0
    for array in arrays:
        waiting.append(array)
        size += array.nbytes
        if size >= STRIDE:
            mx.eval(waiting)
            done, waiting, size = done + size, [], 0
            report("loading weights", done / total)
    mx.eval(waiting)
    report("loading weights", 1.0)


def _defaults(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    if not path.exists():
        return {}
    config = json.loads(path.read_text(encoding="utf-8"))
    return {name: config[name] for name in DEFAULTS if config.get(name) is not None}
