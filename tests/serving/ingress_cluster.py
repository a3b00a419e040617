"""Two Macs in one machine, each a Ray node of its own, and what raylab serves on them."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

# Ray reads these when it is imported. Left alone it makes a token for its user, and then wants it everywhere.
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
# A replica that is too busy to tell the length of its queue at once is none less.
os.environ.update(RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S="2", RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S="4")

import ray
from free_ports import free_port
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


def program(name: str) -> ModuleType:
    """One of the programs that launchd starts; they are in no package, since on a Mac each stands alone."""
    spec = importlib.util.spec_from_file_location(name, HERE.parents[1] / f"templates/libexec/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def drains(name: str) -> Path:
    """The file that is there while a Mac is to get no requests."""
    return Path(tempfile.gettempdir(), f"raylab-drains-{os.getpid()}-{name}")


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
                num_cpus=4,
                resources=resources,
                labels=labels,
                env_vars={"RAYLAB_DRAINING": str(drains(name))},
                object_store_memory=STORE,
                include_dashboard=False,
            )
        ray.init(address=cluster.address, log_to_driver=False)
        port = free_port()
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        apply(applications)
        yield f"http://127.0.0.1:{port}"
    finally:
        for name in MACS:
            drains(name).unlink(missing_ok=True)
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


def echo(
    name: str,
    slot: int,
    macs: Collection[str],
    experimental: dict[str, Any] | None = None,
    **deployment: Any,  # noqa: ANN401 (each its own)
) -> dict[str, Any]:
    """The config of a model that answers what it was asked, on these Macs. `experimental` is for ingress_echo.py."""
    return {
        "model_loading_config": {"model_id": name, "model_source": "/nowhere"},
        "accelerator_config": {"kind": "cpu"},
        "server_cls": "ingress_echo:EchoServer",
        "placement_group_config": {"bundles": [{"CPU": 0.1, "mlx": 1, f"slot-{slot}": 1}]},
        "deployment_config": {
            "ray_actor_options": {"num_cpus": 0.1},
            "max_ongoing_requests": 50,
            "health_check_period_s": 1,
            **deployment,
        },
        "experimental_configs": {"macs": [{"raylab.io/mac": f"in({','.join(macs)})"}], **(experimental or {})},
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
