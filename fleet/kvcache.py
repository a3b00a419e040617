"""The KV cache of a model: what its config.json says of each layer, and the bytes of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet import mlx_models

# Layers that keep something of every token. All other kinds but sliding windows keep a state of fixed size.
_WHOLE = frozenset({"full_attention", "attention", "global", "chunked_attention"})
# Every how many layers one sees the whole conversation, where config.json leaves it to the model's code.
_PATTERNS = {"gemma3_text": 6, "cohere2": 4}
# Signs of layers without a cache, in configs that do not list their layers in `layer_types`.
_RECURRENT = frozenset(
    {"hybrid_override_pattern", "attn_layer_period", "block_types", "mamba_d_conv", "ssm_cfg", "linear_attn_config"}
)


@dataclass(frozen=True)
class Layer:
    """What one layer keeps of one request."""

    bytes_per_token: int
    window: int | None = None
    """Tokens after which it stops growing; None when it never does."""


@dataclass(frozen=True)
class Cache:
    """A model's layers that keep a cache."""

    layers: tuple[Layer, ...]
    states: int = 0
    """Layers beside them that keep a state instead."""
    state_bytes: int = 0
    """What all of these keep of one request, whatever its length; 0 when config.json does not tell."""
    latent: bool = False
    """Whether it is of multi-head latent attention, which cannot be split by heads."""

    def size(self, context: int, requests: int) -> int:
        """Bytes of so many requests, each of a full context, in tokens."""
        tokens = (layer.bytes_per_token * min(context, layer.window or context) for layer in self.layers)
        return (sum(tokens) + self.state_bytes) * requests


def read_cache(config: Mapping[str, Any] | None, engine: str, engine_kwargs: Mapping[str, Any]) -> Cache | None:
    """What this engine keeps of this model; None when config.json does not tell."""
    text = text_config(config)
    count = whole_number(text.get("num_hidden_layers"))
    if not count:
        return None
    kind = mlx_models.served_as(text.get("model_type"))
    width = _value_bytes(text, engine, engine_kwargs)
    kinds = _kinds(text, kind, count)
    if kinds is None:
        return None
    if whole_number(text.get("kv_lora_rank")) and not (engine == "mlx" and kind in mlx_models.EXPANDED):
        whole: int | None = _latent(text)
        latent = True
    else:
        whole, latent = _keys_and_values(text, "full"), False
    sliding = whole if latent else _keys_and_values(text, "sliding")
    if whole is None or sliding is None:
        return None
    window = whole_number(text.get("sliding_window"))
    if engine == "mlx" and kind not in mlx_models.WINDOWED:
        window = None
    layers = [
        Layer(sliding * width, window) if each == "sliding_attention" else Layer(whole * width)
        for each in kinds
        if each in _WHOLE or each == "sliding_attention"
    ]
    states = count - len(layers)
    told = [*kinds].count("linear_attention") == states
    return Cache(tuple(layers), states, states * _linear_attention(text, width) if told else 0, latent)


def text_config(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The language model's part: models that also see or hear keep it one level down."""
    nested = (config or {}).get("text_config")
    return nested if isinstance(nested, Mapping) else config or {}


def whole_number(value: object) -> int | None:
    """A positive whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _kinds(text: Mapping[str, Any], kind: str, count: int) -> Sequence[str] | None:
    """The kind of each layer, in the words of `layer_types`; None when nobody says."""
    listed = text.get("layer_types")
    if isinstance(listed, Sequence) and len(listed) == count:
        return [str(each) for each in listed]
    if interval := whole_number(text.get("full_attention_interval")):
        return ["linear_attention" if (at + 1) % interval else "full_attention" for at in range(count)]
    if _RECURRENT & text.keys():
        return None
    pattern = whole_number(text.get("sliding_window_pattern")) or _PATTERNS.get(kind)
    if pattern and text.get("sliding_window"):
        return ["sliding_attention" if (at + 1) % pattern else "full_attention" for at in range(count)]
    # A window that no layer is said to have is one that engines ignore, or that is switched off.
    return ["full_attention"] * count


def _keys_and_values(text: Mapping[str, Any], kind: str) -> int | None:
    """Values that one layer keeps of one token."""
    heads = whole_number(text.get("num_attention_heads"))
    kv_heads = whole_number(text.get("num_key_value_heads")) or heads
    if rank := whole_number(text.get("kv_lora_rank")):
        nope, rope = whole_number(text.get("qk_nope_head_dim")), whole_number(text.get("qk_rope_head_dim")) or 0
        values = whole_number(text.get("v_head_dim"))
        return heads * (nope + rope + values) if rank and heads and nope and values else None
    hidden = whole_number(text.get("hidden_size"))
    size = whole_number(text.get("head_dim")) or (hidden // heads if hidden and heads else None)
    if kind == "full":
        kv_heads = whole_number(text.get("num_global_key_value_heads")) or kv_heads
        size = whole_number(text.get("global_head_dim")) or size
    return 2 * kv_heads * size if kv_heads and size else None


def _latent(text: Mapping[str, Any]) -> int:
    """Multi-head latent attention keeps one compressed vector; DeepSeek 3.2 also an index."""
    parts = ("kv_lora_rank", "qk_rope_head_dim", "index_head_dim")
    return sum(whole_number(text.get(part)) or 0 for part in parts)


def _linear_attention(text: Mapping[str, Any], width: int) -> int:
    """Bytes that one layer of linear attention keeps (Qwen3-Next, Qwen3.5): a state, and a few tokens."""
    heads, value_heads, key, value, kernel = (
        whole_number(text.get(f"linear_{part}"))
        for part in ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim", "conv_kernel_dim")
    )
    if not (heads and value_heads and key and value and kernel):
        return 0
    return value_heads * key * value * 4 + (kernel - 1) * (2 * heads * key + value_heads * value) * width


def _value_bytes(text: Mapping[str, Any], engine: str, engine_kwargs: Mapping[str, Any]) -> int:
    """Bytes of one value."""
    if engine == "mlx":
        # What the model computes in; nothing makes it smaller.
        return 4 if (text.get("dtype") or text.get("torch_dtype")) == "float32" else 2
    if str(engine_kwargs.get("kv_cache_dtype", "auto")) not in ("auto", "float16", "bfloat16"):
        # The kinds of less than eight bits keep scales beside them.
        return 1
    return 4 if engine_kwargs.get("dtype") in ("float", "float32") else 2
