"""Two Macs in one machine, each a Ray node of its own, and what raylab serves on them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
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

from fleet.applications import ENTRY, MODEL
from fleet.serve import ENTRY_BUILDER, INGRESS, INGRESS_REQUESTS, MODEL_BUILDER

Value = TypeVar("Value")
Application = dict[str, Any]
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
def serving(applications: Sequence[Application], *paths: Path) -> Iterator[str]:
    """Serve these applications; the value is where alpha's entry answers."""
    path = [str(HERE), str(HERE.parents[1] / "serving"), *map(str, paths), os.environ.get("PYTHONPATH", "")]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = ":".join(path)
    cluster = Cluster()
    try:
        for name in MACS:
            resources = {"mlx": 64, "slot-0": 1, "slot-1": 1, "slot-2": 1, f"front-{name}": 1}
            labels = {"raylab.io/mac": name}
            cluster.add_node(
                num_cpus=4, resources=resources, labels=labels, object_store_memory=STORE, include_dashboard=False
            )
        ray.init(address=cluster.address, log_to_driver=False)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        apply(applications)
        yield f"http://127.0.0.1:{port}"
    finally:
        # The cluster goes as a whole: Serve would first wait for replicas that are still starting.
        _set_global_client(None)
        ray.shutdown()
        cluster.shutdown()
        os.environ["PYTHONPATH"] = before or ""


def apply(applications: Sequence[Application]) -> None:
    """Give Serve these applications instead, as its REST API does with a config."""
    _get_global_client().deploy_apps(ServeDeploySchema(applications=applications))


def entry(*models: Application, origins: Collection[str] = (), **about: dict[str, Any]) -> Application:
    """What takes requests in, on alpha alone, for these models; `about` says more of each, by its id."""
    deployment = {
        "name": INGRESS,
        "num_replicas": 1,
        "max_replicas_per_node": 1,
        "max_ongoing_requests": INGRESS_REQUESTS,
        "ray_actor_options": {"num_cpus": 0.1, "resources": {"front-alpha": 1}},
        "user_config": {
            "models": [_known(each) | about.get(model_id(each), {}) for each in models],
            "allowed_origins": list(origins),
        },
    }
    return {
        "name": ENTRY,
        "route_prefix": "/",
        "import_path": ENTRY_BUILDER,
        "args": {},
        "deployments": [deployment],
    }


def model(config: dict[str, Any], **override: Any) -> Application:  # noqa: ANN401
    """A model, and what is said of its deployment beside its config."""
    name = config["model_loading_config"]["model_id"].replace("/", "--")
    return {
        "name": f"{MODEL}{name}",
        "route_prefix": None,
        "import_path": MODEL_BUILDER,
        "args": config,
        "deployments": [{"name": f"{config['server_cls'].rpartition(':')[2]}:{name}", **override}],
    }


def model_id(application: Application) -> str:
    """As clients ask for it."""
    return str(application["args"]["model_loading_config"]["model_id"])


def _known(application: Application) -> dict[str, Any]:
    deployment = application["deployments"][0]["name"]
    return {"id": model_id(application), "application": application["name"], "deployment": deployment}


def details() -> dict[str, Any]:
    """What Serve answers to GET /api/serve/applications/."""
    found: dict[str, Any] = _get_global_client().get_serve_details()
    return found


def status(application: str) -> str:
    """Serve's word for the state of an application; empty when it has none of this name."""
    found = serve.status().applications.get(application)
    return found.status if found else ""


def replicas(application: str) -> frozenset[int]:
    """The processes of an application's replicas that run."""
    found = details()["applications"].get(application, {})
    return frozenset(
        replica["pid"]
        for deployment in found.get("deployments", {}).values()
        for replica in deployment["replicas"]
        if replica["state"] == "RUNNING"
    )
