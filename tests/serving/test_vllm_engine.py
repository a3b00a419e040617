"""A real vLLM engine on the CPU, around a tiny random model: adapters from folders, and a chat template."""

# ruff: noqa: ANN401
from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm")
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
import ray
from ray.llm._internal.serve.core.configs.openai_api_models import ChatCompletionRequest, ErrorResponse
from ray.serve.llm import LLMConfig
from raylab_serving import loading
from raylab_serving.vllm import VllmServer
from safetensors.numpy import save_file

from lab.artifacts.model import HEAD, HEADS, HIDDEN, LAYERS, write_model

MODEL = "tests/tiny"
# What the lab gives its engines, and for the same reasons.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
TEMPLATE = "{{ messages[0]['content'] }}"


def write_adapter(folder: Path, seed: int) -> str:
    """A LoRA adapter of random weights, large enough to change every answer, as PEFT writes them."""
    folder.mkdir()
    about = {"peft_type": "LORA", "r": 4, "lora_alpha": 64, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = random.normal(size=(4, HIDDEN)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = random.normal(size=(HEADS * HEAD, 4)).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    return str(folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMConfig]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "tiny")
    template = folder / "template.jinja"
    template.write_text(TEMPLATE)
    adapters = {name: write_adapter(folder / name, seed) for seed, name in enumerate(["sql", "chat"])}
    ray.init(address="local", num_cpus=2, resources={"mlx": 1}, include_dashboard=False, log_to_driver=False)
    yield LLMConfig(
        model_loading_config={"model_id": MODEL, "model_source": str(folder / "tiny")},
        accelerator_config={"kind": "cpu"},
        callback_config={"callback_class": "raylab_serving.vllm:LocalWeights"},
        placement_group_config={"bundles": [{"CPU": 0.1, "mlx": 1}]},
        engine_kwargs={
            "max_model_len": 512,
            "max_num_seqs": 4,
            "enforce_eager": True,
            "chat_template": str(template),
        },
        experimental_configs={"adapters": adapters},
    )
    ray.shutdown()


async def asked(server: VllmServer, model: str, **more: Any) -> Any:
    """The whole answer to one message."""
    message = {"role": "user", "content": "Ask a question"}
    request = ChatCompletionRequest(model=model, messages=[message], temperature=0, max_tokens=12, **more)
    answer = await server.chat(request)
    parts = [part async for part in answer]
    return parts[0]


def test_adapters_and_a_chat_template(config: LLMConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    said: dict[str, Any] = {}

    async def whole() -> None:
        server = VllmServer.sync_init(config)
        await server.start()
        for name in (MODEL, "sql", "chat", "nobody"):
            said[name] = await asked(server, name)

    asyncio.run(whole())
    texts = {said[name].choices[0].message.content for name in (MODEL, "sql", "chat")}
    assert len(texts) == 3
    assert [said[name].model for name in (MODEL, "sql", "chat")] == [MODEL, "sql", "chat"]
    assert isinstance(said["nobody"], ErrorResponse)
    assert said["nobody"].error.code == 404
    # The model's own template would add a role, and where the answer begins.
    assert said[MODEL].usage.prompt_tokens < 10
    # It has started: nothing is loading any more.
    assert loading.progress(MODEL) is None
