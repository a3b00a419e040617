"""A Ray cluster of two Macs in one machine, with Serve: each is a Ray node of its own, with the label of its Mac."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import ray
from free_ports import free_port
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.llm import LLMConfig, build_openai_app

MACS = ("alpha", "beta")
STORE = 80 * 2**20


class Macs:
    """The cluster, and what runs on which of its Macs."""

    def __init__(self) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        self._cluster = Cluster()
        self._nodes = [
            self._cluster.add_node(
                num_cpus=4,
                resources={"mlx": 4},
                labels={"raylab.io/mac": mac},
                object_store_memory=STORE,
                include_dashboard=False,
            )
            for mac in MACS
        ]
        ray.init(address=self._cluster.address, namespace="serve", log_to_driver=False, logging_level="ERROR")
        self.port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": self.port})

    def close(self) -> None:
        with suppress(Exception):
            serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()

    def run(self, *configs: dict[str, Any]) -> None:
        """Deploys these models and does not wait for them."""
        app = build_openai_app({"llm_configs": [LLMConfig(**config) for config in configs]})
        serve._run(app, name="llm", route_prefix="/", _blocking=False)

    def processes(self, title: str) -> list[psutil.Process]:
        """Those of Ray's worker processes that are called so, on both Macs."""
        found = []
        for node in self._nodes:
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            for child in raylet.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if child.status() != psutil.STATUS_ZOMBIE and child.cmdline()[:1] == [title]:
                        found.append(child)
        return found

    def ranks(self) -> list[psutil.Process]:
        """The processes of rank 1."""
        return self.processes("ray::RingRank")

    def leaders(self, model: str) -> list[psutil.Process]:
        """The processes of rank 0."""
        return self.processes(f"ray::ServeReplica:llm:MlxServer:{model}")

    def answer(self, model: str, question: str = "Who stands under a desk?") -> str:
        """The model's own words. Raises OSError when there is no answer."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            # The tiny model would say the same word again and again.
            "frequency_penalty": 1.0,
            "max_tokens": 24,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return str(json.load(response)["choices"][0]["message"]["content"])


@contextmanager
def macs() -> Iterator[Macs]:
    made = Macs()
    try:
        yield made
    finally:
        made.close()


def config(model: str, path: str, ring: list[str] | None = None) -> dict[str, Any]:
    """A model on alpha, or over both Macs that reach each other at these addresses."""
    count = len(ring or [""])
    experimental: dict[str, Any] = {"macs": [{"raylab.io/mac": mac} for mac in MACS[:count]]}
    if ring is not None:
        entries = [{"mac": mac, "address": address} for mac, address in zip(MACS, ring, strict=True)]
        experimental |= {"ring": entries, "ring_port": 23323}
    return {
        "model_loading_config": {"model_id": model, "model_source": path},
        "accelerator_config": {"kind": "cpu"},
        "server_cls": "raylab_serving.mlx:MlxServer",
        "placement_group_config": {
            "bundles": [{"CPU": 0.1, "mlx": 1}] * count,
            "strategy": "STRICT_SPREAD" if ring else "PACK",
        },
        "engine_kwargs": {"context": 512, "concurrency": 4, "cache_gb": 0.01},
        "experimental_configs": experimental,
        "deployment_config": {
            "num_replicas": 1,
            "ray_actor_options": {"num_cpus": 0.1},
            "health_check_period_s": 2,
            "graceful_shutdown_timeout_s": 2,
        },
    }
