"""What engines refuse, each with the line it must give."""

from __future__ import annotations

from collections.abc import Callable

from fleet_project import Project
from wrong_inputs import Wrong, model


def kwargs(text: str, beside: str = "") -> Callable[[Project], object]:
    return model(f'"engine_kwargs": {{{text}}}, {beside}')


def mlx(text: str) -> Callable[[Project], object]:
    return model(f'"engine": "mlx", {text}')


def adapters(beside: str) -> Callable[[Project], object]:
    """The model with an adapter."""

    def break_it(project: Project) -> None:
        project.adapter("adapters/a")
        model(f'"adapters": {{"a": "adapters/a"}}, {beside}')(project)

    return break_it


def config(beside: str, **keys: object) -> Callable[[Project], object]:
    """The model with another config.json."""

    def break_it(project: Project) -> None:
        project.model("models/tiny", **keys)
        model(beside)(project)

    return break_it


SPECULATIVE = '"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}'

WRONG = [
    # vllm
    Wrong(
        "an argument that vLLM does not have",
        kwargs('"enforce_eagr": True'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.enforce_eagr: vllm has no argument "
        "`enforce_eagr`. Did you mean `enforce_eager`?",
    ),
    Wrong(
        "an argument that nobody has",
        kwargs('"colour": "red"'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.colour: vllm has no argument `colour`. Remove it.",
    ),
    Wrong(
        "a setting among vLLM's arguments",
        kwargs('"context": 512'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.context: `context` is decided by "
        "raylab. Remove it: `context`, beside `engine_kwargs`, says it.",
    ),
    Wrong(
        "the stages of a pipeline",
        kwargs('"pipeline_parallel_size": 2'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.pipeline_parallel_size: "
        "`pipeline_parallel_size` is decided by raylab. Remove it: `shape` says it.",
    ),
    Wrong(
        "an executor",
        kwargs('"distributed_executor_backend": "ray"'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.distributed_executor_backend: "
        "`distributed_executor_backend` is decided by raylab. Remove it: `shape` says it.",
    ),
    Wrong(
        "the template among vLLM's arguments",
        kwargs('"chat_template": "x"'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.chat_template: `chat_template` is "
        "decided by raylab. Remove it: `chat_template`, beside `engine_kwargs`, says it.",
    ),
    Wrong(
        "tensor parallelism",
        kwargs('"tensor_parallel_size": 2'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.tensor_parallel_size: vllm has no "
        'tensor parallelism on Macs. Give the model a "shape": with "engine": "mlx" its Macs share '
        "each layer, with vllm they share the layers.",
    ),
    Wrong(
        "data parallelism",
        kwargs('"data_parallel_size": 2'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.data_parallel_size: vllm has no data "
        "parallelism under Serve. Remove it: `replicas` says how many Macs hold the model.",
    ),
    Wrong(
        "speculative decoding in a group",
        kwargs(SPECULATIVE, '"shape": 2,'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.speculative_config: vllm has no "
        'speculative decoding in a group. Remove it, or remove "shape".',
    ),
    Wrong(
        "asynchronous scheduling in a group",
        kwargs('"async_scheduling": True', '"shape": "group",'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.async_scheduling: vllm has no "
        "asynchronous scheduling in a group. Remove it.",
    ),
    Wrong(
        "caches of several types",
        kwargs('"kv_cache_dtype_skip_layers": ["0"]'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.kv_cache_dtype_skip_layers: vllm has "
        'no KV caches of several types on Macs. Remove it; "additional_config": {"turboquant": True} '
        "makes all of it smaller.",
    ),
    Wrong(
        "adapters in a group",
        adapters('"shape": 2,'),
        "inventory/group_data/all.py:8: models[0].adapters: vllm has no LoRA adapters in a group. "
        'Merge the adapter into the model and serve that as a model of its own, or remove "shape".',
    ),
    Wrong(
        "adapters with speculative decoding",
        adapters(f'"engine_kwargs": {{{SPECULATIVE}}},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.speculative_config: vllm has no "
        "speculative decoding beside LoRA adapters. Remove one of them, or serve the adapters with a "
        "second model.",
    ),
    Wrong(
        "AWQ weights in a group of vLLM",
        config('"shape": 2,', quantization_config={"quant_method": "awq"}),
        "inventory/group_data/all.py:8: models[0].shape: vllm has no groups for AWQ and GGUF "
        'weights. Take "engine": "mlx" for the group, or let each Mac hold the model whole.',
    ),
    Wrong(
        "latent attention in a group of vLLM",
        config('"shape": 2,', kv_lora_rank=16),
        "inventory/group_data/all.py:8: models[0].shape: vllm has no groups for models with latent "
        'attention. Take "engine": "mlx" for the group, or let each Mac hold the model whole.',
    ),
    Wrong(
        "a model that sees in a group of vLLM",
        config('"shape": 2,', vision_config={}),
        "inventory/group_data/all.py:8: models[0].shape: vllm has no groups for models that see. "
        'Take "engine": "mlx" for the group, or let each Mac hold the model whole.',
    ),
    # mlx
    Wrong(
        "an argument that mlx does not have",
        mlx('"engine_kwargs": {"prefil_step_size": 512},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.prefil_step_size: mlx has no "
        "argument `prefil_step_size`. Did you mean `prefill_step_size`?",
    ),
    Wrong(
        "an argument of vLLM's for mlx",
        mlx('"engine_kwargs": {"gpu_memory_utilization": 0.5},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.gpu_memory_utilization: mlx has no "
        "argument `gpu_memory_utilization`. It has chat_template_kwargs, pipeline, "
        "prefill_step_size, prompt_concurrency, trust_remote_code.",
    ),
    Wrong(
        "what mlx-lm's server calls it",
        mlx('"engine_kwargs": {"decode_concurrency": 8},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.decode_concurrency: "
        "`decode_concurrency` is decided by raylab. Remove it: `concurrency` says it.",
    ),
    Wrong(
        "a setting among mlx's arguments",
        mlx('"engine_kwargs": {"max_tokens": 8},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.max_tokens: `max_tokens` is decided "
        "by raylab. Remove it: `max_tokens`, beside `engine_kwargs`, says it.",
    ),
    Wrong(
        "adapters for mlx",
        adapters('"engine": "mlx",'),
        "inventory/group_data/all.py:8: models[0].adapters: mlx has no LoRA adapters beside a model: "
        "one of its processes holds one. Make each a model of its own, with mlx_lm.fuse --model "
        "MODEL --adapter-path ADAPTER --save-path FOLDER.",
    ),
    Wrong(
        "two groups of mlx",
        mlx('"shape": 2, "replicas": {"min": 1, "max": 1},'),
        "inventory/group_data/all.py:8: models[0].replicas: mlx has no second group for the same "
        "model. Remove it, or serve a second model from the same source on other `macs`.",
    ),
]
