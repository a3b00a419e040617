"""The engines that run models: what each is called inside Ray, what it is given, and what it refuses.

A further engine is one more entry of ENGINES, and a server class in serving/. What vllm refuses is what vllm-metal's
platform.py raises in check_and_update_config, or v1/lora/runtime.py (at commit 211a1e4), each at the start of an
engine, on a Mac: here it is said before anything is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet import vllm_arguments
from fleet.errors import Code
from fleet.kvcache import text_config
from fleet.memory import Need
from fleet.settings import MODEL_SETTINGS, Model
from fleet.values import Report, nearest, shown

# mlx's options count in these, not in 2^30 bytes.
DECIMAL_GB = 10**9
# A model whose KV cache nobody can tell in advance gets this much, in bytes.
UNKNOWN_CACHE = DECIMAL_GB


@dataclass(frozen=True)
class Refusal:
    """One thing that an engine does not do."""

    field: tuple[str, ...]
    """The setting that asks for it: ("engine_kwargs", "tensor_parallel_size")."""
    asked: Callable[[Model], bool]
    what: str
    fix: str
    """The way out."""


@dataclass(frozen=True)
class Engine:
    """What runs a model."""

    server_cls: str
    """The class in serving/ that Ray Serve makes replicas of."""
    arguments: frozenset[str]
    """What engine_kwargs may name."""
    decided: Mapping[str, str]
    """Arguments that raylab gives the engine itself, or none of its business, with what to do instead."""
    config: Callable[[Model, Need, int, int], dict[str, Any]]
    """The engine's part of an LLMConfig: of a model, what it needs of each Mac, on so many Macs, with ring ports from
    there on."""
    refusals: tuple[Refusal, ...]
    ring: bool = False
    """Whether the Macs of a group are told each other's addresses. Otherwise Ray finds them."""


def engine_of(model: Model) -> Engine:
    """The engine of a model whose settings were checked."""
    return ENGINES[model.engine]


def is_ring(model: Model, macs: int) -> bool:
    """Whether so many Macs would find each other by name and address: there is only one such copy of a model.

    Serve makes all replicas of a model alike, and cannot say which Macs belong together.
    """
    return macs > 1 and model.config is None and engine_of(model).ring


def check_engine(model: Model, report: Callable[..., Report]) -> None:
    """Whether there is that engine, and it does what the model asks; `report` gives a Report for a key."""
    engine = ENGINES.get(model.engine)
    if engine is None:
        fix = nearest(model.engine, ENGINES, f"There are {' and '.join(ENGINES)}.")
        report("engine")(Code.ENGINE_UNKNOWN, shown(model.engine), fix)
        return
    refused = [refusal for refusal in engine.refusals if refusal.asked(model)]
    for refusal in refused:
        report(*refusal.field)(Code.ENGINE_REFUSES, model.engine, refusal.fix, refusal.what)
    for name in model.engine_kwargs:
        if ("engine_kwargs", name) not in {refusal.field for refusal in refused}:
            _check_argument(name, model.engine, engine, report("engine_kwargs", name))
    further = model.serve.get("engine_kwargs")
    for name in further if isinstance(further, Mapping) else ():
        if name not in engine.arguments | engine.decided.keys():
            _check_argument(name, model.engine, engine, report("serve", "engine_kwargs", name))


def _check_argument(name: str, title: str, engine: Engine, report: Report) -> None:
    says = f"`{name}`, beside `engine_kwargs`, says it" if name in MODEL_SETTINGS else engine.decided.get(name)
    if says:
        report(Code.ENGINE_ARGUMENT, f"`{name}`", f"Remove it: {says}.")
    elif name not in engine.arguments:
        known = f"It has {', '.join(sorted(engine.arguments))}." if len(engine.arguments) < 10 else "Remove it."
        report(Code.ENGINE_ARGUMENT_UNKNOWN, f"`{name}`", nearest(name, engine.arguments, known), title)


def cache_bytes(need: Need) -> int:
    """What the KV cache may take on each Mac: all that weights and the engine itself leave of the model's memory."""
    left = need.total - need.weights - need.overhead
    return left if left > 0 else need.kv_cache or UNKNOWN_CACHE


def _vllm(model: Model, need: Need, macs: int, ring_port: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {"max_model_len": model.context, "max_num_seqs": model.concurrency}
    if model.template:
        arguments["chat_template"] = model.template
    config: dict[str, Any] = {
        # Not the chip: it makes Ray leave accelerators alone; else it would wait for a GPU for ever.
        "accelerator_config": {"kind": "cpu"},
        "callback_config": {"callback_class": "raylab_serving.vllm:LocalWeights"},
    }
    if macs > 1:
        # vLLM's Ray executor, which RayLLM takes for anything but CPUs, finds a worker's bundle by its `mlx`. The hook
        # is vllm-metal's own: Ray's would be in its place. Without it a worker does not know its chip.
        config["accelerator_config"] = {"kind": "tpu"}
        config["runtime_env"] = {
            "worker_process_setup_hook": "vllm_metal.compat._patch_ray_distributed",
            "env_vars": {"VLLM_METAL_RING_BASE_PORT": str(ring_port)},
        }
        arguments |= {"pipeline_parallel_size": macs, "async_scheduling": False}
    return {**config, "engine_kwargs": arguments | model.engine_kwargs}


def _mlx(model: Model, need: Need, macs: int, ring_port: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "context": model.context,
        "concurrency": model.concurrency,
        # Rounded up to kilobytes: a cache that lacks one byte lacks a request.
        "cache_gb": -(-cache_bytes(need) // 1000) * 1000 / DECIMAL_GB,
    }
    if model.template:
        arguments["chat_template"] = model.template
    return {"accelerator_config": {"kind": "cpu"}, "engine_kwargs": arguments | model.engine_kwargs}


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

_BOTH_DECIDE = {
    "model": "`source` says it",
    "host": "raylab's entry takes the requests",
    "port": "raylab's entry takes the requests",
    "allowed_origins": "the fleet's `allowed_origins` says it",
}
ENGINES: Mapping[str, Engine] = {
    "vllm": Engine(
        server_cls="raylab_serving.vllm:VllmServer",
        arguments=vllm_arguments.ENGINE | vllm_arguments.FRONTEND,
        decided={
            **_BOTH_DECIDE,
            "served_model_name": "`id` says it",
            "max_model_len": "`context` says it",
            "max_num_seqs": "`concurrency` says it",
            "pipeline_parallel_size": "`shape` says it",
            "distributed_executor_backend": "`shape` says it",
            "lora_modules": "`adapters` says it",
            "api_key": "the door asks for keys",
        },
        config=_vllm,
        refusals=VLLM_REFUSALS,
    ),
    "mlx": Engine(
        server_cls="raylab_serving.mlx:MlxServer",
        # Those of serving/raylab_serving/mlx/options.py that no setting gives.
        arguments=frozenset(
            {"chat_template_kwargs", "pipeline", "prefill_step_size", "prompt_concurrency", "trust_remote_code"}
        ),
        decided={
            **_BOTH_DECIDE,
            "cache_gb": "`context`, `concurrency` and `memory_gb` say it",
            # What mlx-lm's own server calls them.
            "max_kv_size": "`context` says it",
            "decode_concurrency": "`concurrency` says it",
            "prompt_cache_size": "`memory_gb` says it",
            "prompt_cache_bytes": "`memory_gb` says it",
            "adapter_path": "an adapter is fused with its model first",
        },
        config=_mlx,
        refusals=MLX_REFUSALS,
        ring=True,
    ),
}
