"""Two Macs in one machine, each a Ray node of its own, and what raylab serves on them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

# Ray reads these when it is imported. Left alone it makes a token for its user, and then wants it everywhere.
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve.context import _get_global_client, _set_global_client
from ray.serve.schema import ServeDeploySchema

Value = TypeVar("Value")
MACS = ("alpha", "beta")
HERE = Path(__file__).resolve().parent
STORE = 80 * 2**20


def until(probe: Callable[[], Value], seconds: float = 60) -> Value:
    """The probe's first true answer. Raises AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.05)
    return value


@contextmanager
def serving(
    models: list[dict[str, Any]], names: dict[str, Any], deployments: list[dict[str, Any]], *paths: Path
) -> Iterator[str]:
    """Serve these models behind alpha's ingress, whose address is given; `names` is what it is told of them."""
    path = [str(HERE), str(HERE.parents[1] / "serving"), *map(str, paths), os.environ.get("PYTHONPATH", "")]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = ":".join(path)
    cluster = Cluster()
    try:
        for name in MACS:
            resources = {"mlx": 64, "slot-0": 1, "slot-1": 1, f"front-{name}": 1}
            labels = {"raylab.io/mac": name}
            cluster.add_node(
                num_cpus=4, resources=resources, labels=labels, object_store_memory=STORE, include_dashboard=False
            )
        ray.init(address=cluster.address, log_to_driver=False)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        config = ServeDeploySchema(applications=[_application(models, names, deployments)])
        _get_global_client().deploy_apps(config)
        yield f"http://127.0.0.1:{port}"
    finally:
        # The cluster goes as a whole: Serve would first wait for replicas that are still starting.
        _set_global_client(None)
        ray.shutdown()
        cluster.shutdown()
        os.environ["PYTHONPATH"] = before or ""


def _application(
    models: list[dict[str, Any]], names: dict[str, Any], deployments: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": "llm",
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {
            "llm_configs": models,
            "ingress_cls_config": {
                "ingress_cls": "raylab_serving.ingress:FleetIngress",
                "ingress_extra_kwargs": names,
            },
            "ingress_deployment_config": {
                "max_ongoing_requests": 1000,
                "ray_actor_options": {"num_cpus": 0.1, "resources": {"front-alpha": 1}},
            },
        },
        "deployments": deployments,
    }


def replicas() -> dict[str, int]:
    """How many replicas of each deployment run."""
    found = serve.status().applications["llm"].deployments
    return {name: deployment.replica_states.get("RUNNING", 0) for name, deployment in found.items()}
