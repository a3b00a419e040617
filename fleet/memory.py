"""The memory that a model takes of a Mac, and that a Mac has to give, in bytes.

An estimate that errs on the safe side: every tensor of the weights, the KV cache of every concurrent request at
full length, and what the engine itself needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet import mlx_models
from fleet.engines import engine_of
from fleet.kvcache import Cache, read_cache, text_config, whole_number
from fleet.settings import GB, Model

# A model whose KV cache nobody can tell in advance gets this much on each of its Macs, in bytes.
UNKNOWN_CACHE = GB
# Never given to models, however the limit of the GPU is set: macOS, Ray and its object store.
RESERVED_BYTES = 6 * GB
# Bits of one weight by the format's names, for tensors that are not packed. U8 holds two of four bits, and scales.
_BITS = {"F64": 64.0, "F32": 32.0, "BF16": 16.0, "F16": 16.0, "F8_E4M3": 8.0, "F8_E5M2": 8.0, "I8": 8.0, "U8": 4.25}


@dataclass(frozen=True)
class Need:
    """The memory that one copy of a model takes on each of its Macs, in bytes."""

    weights: int
    kv_cache: int
    overhead: int
    total: int
    """The sum, or what the model's memory_gb says."""

    @property
    def cache_room(self) -> int:
        """What the KV cache may take: all that weights and the engine itself leave of the model's memory."""
        left = self.total - self.weights - self.overhead
        return left if left > 0 else self.kv_cache


def need_of(model: Model, macs: int = 1) -> Need:
    """What one copy takes on each Mac, when so many hold it together. memory_gb is what each of them gives."""
    overhead = engine_of(model).overhead
    weights = _weights_of(model, macs)
    cache = cache_of(model)
    # Also where every layer keeps a state of a size that nobody tells.
    kv_cache = (_cache_share(model, cache, macs) if cache else 0) or UNKNOWN_CACHE
    total = weights + kv_cache + overhead
    if model.memory_gb is not None:
        total = int(model.memory_gb * GB)
    return Need(weights, kv_cache, overhead, total)


def cache_of(model: Model) -> Cache | None:
    """The layers of its KV cache; None when config.json does not tell."""
    return read_cache(model.weights.config, model.engine, model.engine_kwargs)


def pipelined(model: Model) -> bool:
    """Whether a group's Macs each hold some of the layers, and not a part of every layer."""
    return model.engine != "mlx" or bool(model.engine_kwargs.get("pipeline"))


def indivisible(model: Model, macs: int) -> str:
    """Why so many Macs cannot hold the model together; empty when they can, or nobody knows."""
    text = text_config(model.weights.config)
    layers = whole_number(text.get("num_hidden_layers"))
    if macs == 1 or not text:
        return ""
    kind = mlx_models.served_as((model.weights.config or {}).get("model_type"))
    if pipelined(model):
        if model.engine == "mlx" and kind not in mlx_models.PIPELINE:
            return f"mlx-lm {mlx_models.VERSION} has no pipeline for models of type {kind}"
        if model.engine == "mlx" and layers and layers % macs:
            return f"{layers} layers cannot be shared out evenly to {macs} Macs"
        return f"{layers} layers cannot be shared out to {macs} Macs" if layers and layers < macs else ""
    if kind not in mlx_models.TENSOR:
        return f"mlx-lm {mlx_models.VERSION} cannot share out models of type {kind}"
    for name, title in (("num_key_value_heads", "KV heads"), ("num_attention_heads", "attention heads")):
        heads = whole_number(text.get(name))
        if heads and heads % macs:
            return f"{heads} {title} cannot be shared out evenly to {macs} Macs"
    return ""


def weight_bits(model: Model) -> float:
    """Bits that one weight takes now, the scales of a quantised one included."""
    config = model.weights.config or {}
    quantised = config.get("quantization") or config.get("quantization_config") or {}
    bits = whole_number(quantised.get("bits")) if isinstance(quantised, dict) else None
    if bits:
        # Each group of weights has a scale and a bias of two bytes each.
        return bits + 32 / (whole_number(quantised.get("group_size")) or 64)
    if tensors := model.weights.tensors:
        most = max(tensors.by_dtype, key=lambda dtype: tensors.by_dtype[dtype])
        return _BITS.get(most, 16.0)
    text = text_config(config)
    return 32.0 if (text.get("dtype") or text.get("torch_dtype")) == "float32" else 16.0


def default_limit(memory: int) -> int:
    """What macOS lets the GPU wire by itself: two thirds of the memory, three quarters above 36 GB."""
    return memory * 3 // 4 if memory > 36 * GB else memory * 2 // 3


def usable_bytes(memory: int) -> int:
    """What a Mac with this memory can give to models: macOS's limit, or as much as raylab would raise it to."""
    return max(default_limit(memory), memory - max(RESERVED_BYTES, memory // 10))


def wired_limit_mb(memory: int, held: int) -> int | None:
    """What to set the GPU's limit to for models of `held` bytes, in MB; None when macOS's own suffices.

    It depends on the Mac alone, so that a model's new context does not change it.
    """
    return usable_bytes(memory) // 1024**2 if held > default_limit(memory) else None


def gb(size: int | None) -> str:
    """Bytes as GB with one decimal; `?` when nobody knows."""
    if size is None:
        return "?"
    return "<0.1" if 0 < size < GB / 20 else f"{size / GB:.1f}"


def _weights_of(model: Model, macs: int) -> int:
    """Each Mac of a group holds its share of the layers, and the embeddings whole."""
    size = model.weights.tensor_bytes
    adapters = sum(adapter.weights.tensor_bytes for adapter in model.adapters)
    whole = min(_embedding_bytes(model), size) if macs > 1 else 0
    return whole + _share(model, size - whole + adapters, macs)


def _embedding_bytes(model: Model) -> int:
    if tensors := model.weights.tensors:
        return tensors.embeddings
    text = text_config(model.weights.config)
    words, width = whole_number(text.get("vocab_size")) or 0, whole_number(text.get("hidden_size")) or 0
    matrices = 1 if text.get("tie_word_embeddings") else 2
    return int(words * width * matrices * weight_bits(model) / 8)


def _cache_share(model: Model, cache: Cache, macs: int) -> int:
    size = cache.size(model.context, model.concurrency)
    # A part of every layer is some of its heads, and a latent cache has none: each Mac keeps all of it.
    return size if cache.latent and not pipelined(model) else _share(model, size, macs)


def _share(model: Model, size: int, macs: int) -> int:
    """One Mac's part of what a group holds, rounded up: the largest, where layers do not divide."""
    layers = whole_number(text_config(model.weights.config).get("num_hidden_layers"))
    if pipelined(model) and layers:
        return -(-size * -(-layers // macs) // layers)
    return -(-size // macs)
