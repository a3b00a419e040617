"""Models of vLLM over two Macs, each holding some of its layers, from Serve to the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm")
sys.path.append(str(Path(__file__).resolve().parents[2]))

import httpx
import mlx_cpu_platform
import ray._private.state
from ingress_cluster import MACS, entry, model, serving, status, until

from fleet.applications import MODEL
from lab.artifacts.model import write_model

# What the lab gives its engines, and for the same reasons.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_PLUGINS": mlx_cpu_platform.NAME,
}


MODELS = ("tiny", "twin")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("group")
    write_model(folder / "tiny")
    mlx_cpu_platform.install(folder)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        served = [model(_config(name, folder / "tiny")) for name in MODELS]
        with serving([entry(*served), *served], folder) as url:
            yield url


def _config(name: str, weights: Path) -> dict[str, Any]:
    return {
        "model_loading_config": {"model_id": name, "model_source": str(weights)},
        # Not CPUs: only then does RayLLM take vLLM's Ray executor. See fleet/engines.py.
        "accelerator_config": {"kind": "tpu"},
        "server_cls": "raylab_serving.vllm:VllmServer",
        "callback_config": {"callback_class": "raylab_serving.vllm:LocalWeights"},
        "placement_group_config": {"bundles": [{"CPU": 0.1, "mlx": 1}] * len(MACS), "strategy": "STRICT_SPREAD"},
        "engine_kwargs": {
            "max_model_len": 256,
            "max_num_seqs": 2,
            "enforce_eager": True,
            "pipeline_parallel_size": len(MACS),
            "async_scheduling": False,
        },
        "runtime_env": {"worker_process_setup_hook": "mlx_cpu_platform.patch_worker"},
        "deployment_config": {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 4},
        "experimental_configs": {"macs": [{"raylab.io/mac": mac} for mac in MACS]},
    }


@pytest.mark.parametrize("name", MODELS)
def test_each_mac_holds_some_layers_and_both_together_answer(url: str, name: str) -> None:
    asked = {"model": name, "prompt": "Ask a question", "max_tokens": 8, "temperature": 0, "ignore_eos": True}

    def answer() -> dict[str, Any]:
        try:
            response = httpx.post(f"{url}/v1/completions", json=asked, timeout=60)
        except httpx.TransportError:
            # The first one waits for all that the engine does only once.
            return {}
        return response.json() if response.status_code == 200 else {}

    assert until(answer, 900)["usage"]["completion_tokens"] == 8


def test_groups_that_start_at_once_on_the_same_macs_start_the_first_time(url: str) -> None:
    until(lambda: all(status(f"{MODEL}{name}") == "RUNNING" for name in MODELS), 900)
    # Those that failed are among them.
    began = [actor["ActorClassName"] for actor in ray._private.state.actors().values()]
    replicas = sorted(name for name in began if f":{MODEL}" in name)
    assert replicas == [f"ServeReplica:{MODEL}{name}:VllmServer:{name}" for name in MODELS]
