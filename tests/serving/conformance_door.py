"""Both engines behind the fleet's front, asked over HTTP."""

# ruff: noqa: ANN401
from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance_model import write_known_model
from ingress_cluster import entry, model, serving, until
from raylab_serving.parameters import Api
from tokenizers import Tokenizer

CONTEXT = 512
# What a model's own setting gives an answer, where the request does not say. It leaves little room for a prompt.
DEFAULT = 480
START_S = 300
PATHS: dict[Api, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
# What the lab gives its engines, and for the same reasons.
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}


@dataclass(frozen=True)
class Door:
    """One of the engines' models."""

    engine: str
    client: httpx.Client
    token: Callable[[str], int]

    def post(self, api: Api, start: Any, **parameters: Any) -> httpx.Response:
        """A request for the answer that begins after `start`; the likeliest, unless the parameters say otherwise."""
        said = {"prompt": start} if api == "completions" else {"messages": [{"role": "user", "content": start}]}
        return self.client.post(PATHS[api], json={"model": self.engine, **said, "temperature": 0, **parameters})

    def ask(self, api: Api, start: Any, **parameters: Any) -> dict[str, Any]:
        """The answer."""
        response = self.post(api, start, **parameters)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def refusal(self, api: Api, start: Any, **parameters: Any) -> dict[str, Any]:
        """The error."""
        response = self.post(api, start, **parameters)
        assert response.status_code == 400, response.text
        error: dict[str, Any] = response.json()["error"]
        return error

    def texts(self, api: Api, start: Any, **parameters: Any) -> list[str]:
        """What each choice says."""
        choices = self.ask(api, start, **parameters)["choices"]
        return [choice["text"] if api == "completions" else choice["message"]["content"] for choice in choices]

    def text(self, api: Api, start: Any, **parameters: Any) -> str:
        """What the only choice says."""
        (text,) = self.texts(api, start, **parameters)
        return text

    def events(self, api: Api, start: Any, **parameters: Any) -> list[dict[str, Any]]:
        """The parts of a stream."""
        response = self.post(api, start, stream=True, **parameters)
        assert response.headers["content-type"].startswith("text/event-stream"), response.text
        *events, last = response.text.strip().split("\n\n")
        assert last == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]


def _config(engine: str, slot: int, folder: str, **more: Any) -> dict[str, Any]:
    return {
        "model_loading_config": {"model_id": engine, "model_source": folder},
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [{"CPU": 0.1, "mlx": 1, f"slot-{slot}": 1}]},
        "deployment_config": {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 8},
        "experimental_configs": {"stream_batching_interval_ms": 0},
        **more,
    }


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[dict[str, Door]]:
    """Serve the model that is known with each engine."""
    source = write_known_model(folder / "known")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    vllm = {
        "server_cls": "raylab_serving.vllm:VllmServer",
        "callback_config": {"callback_class": "raylab_serving.vllm:LocalWeights"},
        "engine_kwargs": {
            "max_model_len": CONTEXT,
            "max_num_seqs": 4,
            "enforce_eager": True,
            "enable_auto_tool_choice": True,
            "tool_call_parser": "hermes",
        },
    }
    mlx = {
        "server_cls": "raylab_serving.mlx:MlxServer",
        "engine_kwargs": {"context": CONTEXT, "concurrency": 4, "cache_gb": 0.05},
    }
    models = [model(_config("vllm", 0, str(source), **vllm)), model(_config("mlx", 1, str(source), **mlx))]
    door = entry(*models, vllm={"max_tokens": DEFAULT}, mlx={"max_tokens": DEFAULT})
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        with serving([door, *models]) as url, httpx.Client(base_url=url, timeout=60) as client:
            doors = {engine: Door(engine, client, tokenizer.token_to_id) for engine in ("vllm", "mlx")}
            for door in doors.values():
                until(lambda door=door: _answers(door), START_S)
            yield doors


def _answers(door: Door) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return door.post("completions", "[plain]").status_code == 200
    return False
