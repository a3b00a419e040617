"""LoRA adapters that vLLM would not serve, or serve wrongly, and what must not be said of them twice."""

from __future__ import annotations

import json
from collections.abc import Callable

from fleet_project import Project
from wrong_inputs import Wrong, common, model
from wrong_inputs_models import CONFIG, whole

AT = "inventory/group_data/all.py:8: models[0].adapters.a: adapters/a has "
MERGE = "Merge it into its model (merge_and_unload of PEFT), and serve that as a model of its own."


def adapter(**config: object) -> Callable[[Project], object]:
    """The model has an adapter, of which adapter_config.json says this, too."""

    def break_it(project: Project) -> None:
        project.adapter("adapters/a", **config)
        model('"adapters": {"a": "adapters/a"},')(project)

    return break_it


def tensors(dtype: str, platform: str) -> Callable[[Project], object]:
    """An adapter with tensors of this kind, for Macs of this platform."""

    def made(project: Project) -> None:
        adapter()(project)
        header = json.dumps({"q.lora_A.weight": {"dtype": dtype, "shape": [1, 16], "data_offsets": [0, 32]}}).encode()
        content = len(header).to_bytes(8, "little") + header + b"\0" * 32
        (project.root / "adapters/a/adapter_model.safetensors").write_bytes(content)
        project.locks(f"locks/{platform}")
        common('"linux-64"', f'"{platform}"')(project)

    return made


def lacking(name: str) -> Callable[[Project], object]:
    def break_it(project: Project) -> None:
        adapter()(project)
        path = project.root / "adapters/a/adapter_config.json"
        told = json.loads(path.read_text())
        del told[name]
        path.write_text(json.dumps(told))

    return break_it


WRONG = [
    Wrong("an adapter of DoRA", adapter(use_dora=True), f'{AT}"use_dora": true, which vllm does not serve. {MERGE}'),
    Wrong(
        "an adapter with whole modules",
        adapter(modules_to_save=["lm_head"]),
        f'{AT}"modules_to_save": ["lm_head"], which vllm does not serve. {MERGE}',
    ),
    Wrong("an adapter with biases", adapter(bias="all"), f'{AT}"bias": "all", which vllm does not serve. {MERGE}'),
    Wrong(
        "an adapter with several ranks",
        adapter(rank_pattern={"q_proj": 64}),
        f'{AT}"rank_pattern": {{"q_proj": 64}}, which vllm does not serve. {MERGE}',
    ),
    Wrong(
        "an adapter with several scales",
        adapter(alpha_pattern={"q_proj": 64}),
        f'{AT}"alpha_pattern": {{"q_proj": 64}}, which vllm does not serve. {MERGE}',
    ),
    Wrong(
        "an adapter of a large rank",
        adapter(r=1024),
        f'{AT}"r": 1024, which vllm does not serve. Train it with a rank of 512 or less, or merge it into its model '
        "and serve that as one of its own.",
    ),
    Wrong(
        "an adapter of no rank",
        adapter(r=0),
        f'{AT}"r": 0, which vllm does not serve. It is the adapter\'s rank, a whole number above 0.',
    ),
    Wrong(
        "an adapter that does not say its scale",
        lacking("lora_alpha"),
        f"{AT}no `lora_alpha`, which vllm does not serve. Name the folder that PEFT saved: its adapter_config.json "
        "says it.",
    ),
    Wrong(
        "an adapter in BF16 for vllm-metal",
        tensors("BF16", "osx-arm64"),
        f"{AT}tensors in BF16, which vllm does not serve. Save its adapter_model.safetensors in F16 or F32: "
        "vllm-metal cannot read BF16.",
    ),
    *(
        Wrong(
            f"{name} among the engine's arguments",
            model(f'"engine_kwargs": {{"{name}": {value}}},'),
            f"inventory/group_data/all.py:8: models[0].engine_kwargs.{name}: `{name}` is decided by raylab. Remove "
            "it: `adapters` says it.",
        )
        for name, value in (("max_lora_rank", 8), ("max_loras", 1), ("max_cpu_loras", 9), ("enable_lora", True))
    ),
    *(
        Wrong(
            f"{path} among Ray's words",
            model(f'"serve": {text},'),
            f"inventory/group_data/all.py:8: models[0].serve.{path}: `{path.rpartition('.')[2]}` is decided by "
            f"raylab. {fix}",
        )
        for path, text, fix in (
            (
                "engine_kwargs.max_lora_rank",
                '{"engine_kwargs": {"max_lora_rank": 8}}',
                "Remove it: `adapters` says it.",
            ),
            (
                "experimental_configs.adapters",
                '{"experimental_configs": {"adapters": {"a": "/x"}}}',
                "Remove it: `adapters` says it.",
            ),
            ("experimental_configs.macs", '{"experimental_configs": {"macs": []}}', "Remove it: `macs` says it."),
            ("server_cls", '{"server_cls": "my.own:Server"}', "Remove it: `engine` says it."),
            (
                "lora_config",
                '{"lora_config": {"dynamic_lora_loading_path": "s3://bucket"}}',
                "Remove it: it loads adapters from cloud storage alone. Name folders or repositories in `adapters` of "
                "a model.",
            ),
        )
    ),
    Wrong(
        "adapters of cloud storage in a file of Ray's",
        whole(CONFIG + "lora_config: {dynamic_lora_loading_path: 's3://bucket'}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config.lora_config: `lora_config` is decided by raylab. Remove "
        "it: it loads adapters from cloud storage alone. Name folders or repositories in `adapters` of a model.",
    ),
    Wrong(
        "adapters in a file of Ray's",
        whole(CONFIG + "experimental_configs: {adapters: {a: /x}}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config.experimental_configs.adapters: `adapters` is decided by "
        "raylab. Remove it: only a model with a `source` has `adapters`.",
    ),
    Wrong(
        "Macs in a file of Ray's",
        whole(CONFIG + "experimental_configs: {macs: []}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config.experimental_configs.macs: `macs` is decided by raylab. "
        "Remove it: `macs`, beside `llm_config`, says it.",
    ),
]
