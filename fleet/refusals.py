"""What engines do not do, each with the way out, said before anything is touched.

What vllm refuses is what vllm-metal's platform.py raises in check_and_update_config, or v1/lora/runtime.py (at commit
211a1e4), each at the start of an engine, on a Mac.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet.kvcache import text_config
from fleet.settings import Model


@dataclass(frozen=True)
class Refusal:
    """One thing that an engine does not do."""

    field: tuple[str, ...]
    """The setting that asks for it: ("engine_kwargs", "tensor_parallel_size")."""
    asked: Callable[[Model], bool]
    what: str
    fix: str
    """The way out."""


def in_group(model: Model) -> bool:
    """Whether several Macs may come to hold it together."""
    return model.shape != "replica"


def _argument(name: str) -> tuple[str, str]:
    return ("engine_kwargs", name)


def _asks(name: str) -> Callable[[Model], bool]:
    """Whether engine_kwargs has it, and it is not switched off."""
    return lambda model: bool(model.engine_kwargs.get(name))


def _more_than_one(name: str) -> Callable[[Model], bool]:
    return lambda model: model.engine_kwargs.get(name, 1) != 1


def _together(*conditions: Callable[[Model], bool]) -> Callable[[Model], bool]:
    return lambda model: all(holds(model) for holds in conditions)


def _has_adapters(model: Model) -> bool:
    return bool(model.adapters)


def _is_packed(model: Model) -> bool:
    """Whether the weights are in a format that vllm-metal reads as a whole."""
    quantised = (model.weights.config or {}).get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, Mapping) else None
    return {method, model.engine_kwargs.get("quantization")} & {"awq", "auto_awq", "gguf"} != set()


def _is_latent(model: Model) -> bool:
    return "kv_lora_rank" in text_config(model.weights.config)


def _sees(model: Model) -> bool:
    return "vision_config" in (model.weights.config or {}) and not model.engine_kwargs.get("language_model_only")


def _has_several(model: Model) -> bool:
    return model.replicas not in ("all", 1)


_MERGE = 'Merge the adapter into the model and serve that as a model of its own, or remove "shape".'
_GROUP_OF_MLX = 'Take "engine": "mlx" for the group, or let each Mac hold the model whole.'
_REPLICAS = "Remove it: `replicas` says how many Macs hold the model."

VLLM_REFUSALS = (
    Refusal(
        _argument("tensor_parallel_size"),
        _more_than_one("tensor_parallel_size"),
        "tensor parallelism on Macs",
        'Give the model a "shape": with "engine": "mlx" its Macs share each layer, with vllm they share the layers.',
    ),
    *(
        # Under Serve it needs vLLM's external load balancer, which vllm-metal does not have.
        Refusal(_argument(name), _more_than_one(name), "data parallelism under Serve", _REPLICAS)
        for name in ("data_parallel_size", "data_parallel_size_local")
    ),
    Refusal(("adapters",), _together(in_group, _has_adapters), "LoRA adapters in a group", _MERGE),
    Refusal(
        _argument("speculative_config"),
        _together(in_group, _asks("speculative_config")),
        "speculative decoding in a group",
        'Remove it, or remove "shape".',
    ),
    Refusal(
        _argument("speculative_config"),
        _together(_has_adapters, _asks("speculative_config")),
        "speculative decoding beside LoRA adapters",
        "Remove one of them, or serve the adapters with a second model.",
    ),
    Refusal(
        _argument("async_scheduling"),
        _together(in_group, _asks("async_scheduling")),
        "asynchronous scheduling in a group",
        "Remove it.",
    ),
    Refusal(
        _argument("kv_cache_dtype_skip_layers"),
        _asks("kv_cache_dtype_skip_layers"),
        "KV caches of several types on Macs",
        'Remove it; "additional_config": {"turboquant": True} makes all of it smaller.',
    ),
    Refusal(("shape",), _together(in_group, _is_packed), "groups for AWQ and GGUF weights", _GROUP_OF_MLX),
    Refusal(("shape",), _together(in_group, _is_latent), "groups for models with latent attention", _GROUP_OF_MLX),
    Refusal(("shape",), _together(in_group, _sees), "groups for models that see", _GROUP_OF_MLX),
)
PLAIN_REFUSALS = (
    Refusal(("shape",), in_group, "groups of Macs", 'Remove "shape": each Mac holds the model whole.'),
    Refusal(
        ("adapters",),
        _has_adapters,
        "LoRA adapters",
        "Merge the adapter into the model and serve that as a model of its own.",
    ),
)
MLX_REFUSALS = (
    Refusal(
        ("adapters",),
        _has_adapters,
        "LoRA adapters beside a model: one of its processes holds one",
        "Make each a model of its own, with mlx_lm.fuse --model MODEL --adapter-path ADAPTER --save-path FOLDER.",
    ),
    Refusal(
        ("replicas",),
        # See is_ring.
        _together(lambda model: isinstance(model.shape, int), _has_several),
        "second group for the same model",
        "Remove it, or serve a second model from the same source on other `macs`.",
    ),
)
