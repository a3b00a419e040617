"""The engines that run models: what each is called inside Ray, what it is given, and what it refuses.

A further engine is one more row of ENGINES, and a server class in serving/: docs/engines.md shows a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleet import vllm_arguments
from fleet.errors import Code
from fleet.refusals import MLX_REFUSALS, PLAIN_REFUSALS, VLLM_REFUSALS, Refusal
from fleet.settings import GB, MODEL_SETTINGS, Model
from fleet.values import Report, nearest, shown

# What vLLM's engine is told of adapters: raylab_serving.adapters makes it of their own files, the largest rank too.
LORA_ARGUMENTS = ("enable_lora", "lora_modules", "max_loras", "max_lora_rank", "max_cpu_loras")

if TYPE_CHECKING:
    from fleet.memory import Need  # which reads this table

# cache_gb counts in these, not in 2^30 bytes.
_DECIMAL_GB = 10**9


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


def _plain(model: Model, need: Need, macs: int, ring_port: int) -> dict[str, Any]:
    """What an engine of our own is given; those of a group also find the others' addresses in their config."""
    arguments: dict[str, Any] = {
        "context": model.context,
        "concurrency": model.concurrency,
        # Rounded up to kilobytes: a cache that lacks one byte lacks a request.
        "cache_gb": -(-need.cache_room // 1000) * 1000 / _DECIMAL_GB,
    }
    if model.template:
        arguments["chat_template"] = model.template
    return {"accelerator_config": {"kind": "cpu"}, "engine_kwargs": arguments | model.engine_kwargs}


_ALL_DECIDE = {
    "model": "`source` says it",
    "host": "raylab's entry takes the requests",
    "port": "raylab's entry takes the requests",
    "allowed_origins": "the fleet's `allowed_origins` says it",
}


@dataclass(frozen=True)
class Engine:
    """What runs a model. Only `server_cls` has to be said."""

    server_cls: str
    """The class in serving/ that Ray Serve makes replicas of, as package.module:Class."""
    arguments: frozenset[str] = frozenset()
    """What engine_kwargs may name."""
    decided: Mapping[str, str] = field(default_factory=lambda: _ALL_DECIDE)
    """Arguments that raylab gives the engine itself, or none of its business, with what to do instead."""
    config: Callable[[Model, Need, int, int], dict[str, Any]] = _plain
    """The engine's part of an LLMConfig: of a model, what it needs of each Mac, on so many Macs, with ring ports from
    there on."""
    refusals: tuple[Refusal, ...] = PLAIN_REFUSALS
    """What it does not do; by default groups of Macs, and LoRA adapters."""
    overhead: int = 3 * GB
    """Bytes that the processes of one copy take on a Mac beside weights and KV cache, Serve's own included."""
    ring: bool = False
    """Whether the Macs of a group are told each other's addresses. Otherwise Ray finds them."""


ENGINES: Mapping[str, Engine] = {
    "vllm": Engine(
        server_cls="raylab_serving.vllm:VllmServer",
        arguments=vllm_arguments.ENGINE | vllm_arguments.FRONTEND,
        decided={
            **_ALL_DECIDE,
            "served_model_name": "`id` says it",
            "max_model_len": "`context` says it",
            "max_num_seqs": "`concurrency` says it",
            "pipeline_parallel_size": "`shape` says it",
            "distributed_executor_backend": "`shape` says it",
            **dict.fromkeys(LORA_ARGUMENTS, "`adapters` says it"),
            "api_key": "the door asks for keys",
        },
        config=_vllm,
        refusals=VLLM_REFUSALS,
        # Measured 3.2 GB on Linux, pages that its processes share counted twice.
        overhead=3 * GB,
    ),
    "mlx": Engine(
        server_cls="raylab_serving.mlx:MlxServer",
        # Those of serving/raylab_serving/mlx/options.py that no setting gives.
        arguments=frozenset(
            {"chat_template_kwargs", "pipeline", "prefill_step_size", "prompt_concurrency", "trust_remote_code"}
        ),
        decided={
            **_ALL_DECIDE,
            "cache_gb": "`context`, `concurrency` and `memory_gb` say it",
            # What mlx-lm's own server calls them.
            "max_kv_size": "`context` says it",
            "decode_concurrency": "`concurrency` says it",
            "prompt_cache_size": "`memory_gb` says it",
            "prompt_cache_bytes": "`memory_gb` says it",
            "adapter_path": "an adapter is fused with its model first",
        },
        refusals=MLX_REFUSALS,
        # Its one process measured 0.7 GB on Linux with a tiny model; the rest is Serve's own and what a long prompt
        # needs.
        overhead=2 * GB,
        ring=True,
    ),
}


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
