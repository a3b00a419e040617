"""The Serve config: every model behind one OpenAI-compatible endpoint on every Mac, and the user's applications.

Serve takes other arguments of an application for new code, and starts all of its replicas anew. So each model is an
application of its own, and what may change while replicas run stands outside of the arguments, in `deployments`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleet.applications import ENTRY, MODEL
from fleet.engines import engine_of, is_ring
from fleet.links import Links
from fleet.model_config import merged
from fleet.model_names import serve_name
from fleet.placement import Placement
from fleet.plan import Plan
from fleet.ports import RING_PORT, RING_PORTS
from fleet.ray import MAC_LABEL, MLX, label, slot
from fleet.settings import Application, Fleet, Model

# Builders of applications, in serving/, and the class of the entry, by which Serve calls its deployment.
MODEL_BUILDER = "raylab_serving.application:model"
ENTRY_BUILDER = "raylab_serving.application:entry"
INGRESS = "FleetIngress"
# A long answer may take minutes; Serve's default of 20 s would cut it off when a replica goes.
GRACEFUL_SHUTDOWN_S = 300
HEALTH_CHECK_TIMEOUT_S = 30
# A replica whose engine died answers every request with an error until three checks have failed.
HEALTH_CHECK_PERIOD_S = 2
# The entry only passes requests on: it takes many, and hardly any of the slots that replicas need.
INGRESS_REQUESTS = 1000
# The engine works in processes that ask for nothing: what limits a Mac is its memory.
REPLICA_CPUS = 0.1
# A further replica is there minutes after it is asked for, and so it is asked for before the others are full, and kept
# for longer than a pause between two questions.
SCALE_AT = 0.75
UPSCALE_DELAY_S = 30
DOWNSCALE_DELAY_S = 600


def serve_config(fleet: Fleet, plan: Plan) -> dict[str, Any]:
    """What the Serve REST API is given, as data. A fleet without models has no application of ours."""
    placements = [placement for placement in plan.placements.values() if placement.copies]
    served = [(placement, _llm_config(fleet, plan, placement)) for placement in placements]
    entry = [_entry(fleet, served)] if served else []
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": _listen_address(fleet), "port": fleet.ports.serve_http},
        "applications": [
            *entry,
            *(_model(placement, config) for placement, config in served),
            *(_of_the_user(fleet, each) for each in fleet.applications),
        ],
    }


def application_name(model: Model) -> str:
    """What Serve calls the application that a model is: `model:Qwen--Qwen3-8B`."""
    return f"{MODEL}{serve_name(model.id)}"


def deployment_name(model: Model) -> str:
    """What Serve calls its one deployment: `VllmServer:Qwen--Qwen3-8B`."""
    server_cls = str((model.config or {}).get("server_cls") or engine_of(model).server_cls)
    return f"{server_cls.replace(':', '.').rsplit('.', 1)[-1]}:{serve_name(model.id)}"


def _entry(fleet: Fleet, served: Sequence[tuple[Placement, Mapping[str, Any]]]) -> dict[str, Any]:
    """What takes requests in. Whatever changes in here, Serve tells the entries that run."""
    deployment = {
        "name": INGRESS,
        # One per Mac, so that every Mac answers and goes on answering while any other is away.
        "num_replicas": len(fleet.macs),
        "max_replicas_per_node": 1,
        "max_ongoing_requests": INGRESS_REQUESTS,
        "ray_actor_options": {"num_cpus": REPLICA_CPUS},
        "user_config": {
            "models": [_known(placement.model, config) for placement, config in served],
            "allowed_origins": list(fleet.allowed_origins),
        },
    }
    return {
        "name": ENTRY,
        "route_prefix": "/",
        "import_path": ENTRY_BUILDER,
        "args": {},
        "deployments": [deployment],
    }


def _known(model: Model, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the entry knows of a model: `raylab_serving.catalog.Model`."""
    arguments = config.get("engine_kwargs") or {}
    return {
        "id": model.id,
        "application": application_name(model),
        "deployment": deployment_name(model),
        "aliases": list(model.aliases),
        "adapters": [adapter.id for adapter in model.adapters],
        "max_tokens": model.max_tokens,
        "context": arguments.get("max_model_len", arguments.get("context")),
    }


def _model(placement: Placement, config: dict[str, Any]) -> dict[str, Any]:
    """One model. Only the entry asks it: it has no path of its own."""
    return {
        "name": application_name(placement.model),
        "route_prefix": None,
        "import_path": MODEL_BUILDER,
        "args": config,
        "deployments": [] if placement.model.config is not None else [_light(placement, config["deployment_config"])],
    }


def _light(placement: Placement, options: dict[str, Any]) -> dict[str, Any]:
    """What may change while replicas run, taken out of a deployment's options."""
    scaling = options.pop("autoscaling_config", {})
    queue = options.pop("max_queued_requests")
    name = deployment_name(placement.model)
    return {"name": name, **_replicas(placement, scaling), "max_queued_requests": queue}


def _replicas(placement: Placement, scaling: Mapping[str, Any]) -> dict[str, Any]:
    """How many."""
    model, most = placement.model, 1 if is_ring(placement.model, placement.size) else len(placement.copies)
    if not isinstance(model.replicas, dict):
        return {"num_replicas": most}
    return {
        "autoscaling_config": {
            "min_replicas": min(placement.minimum, most),
            "max_replicas": most,
            "target_ongoing_requests": max(1.0, model.concurrency * SCALE_AT),
            "upscale_delay_s": UPSCALE_DELAY_S,
            "downscale_delay_s": DOWNSCALE_DELAY_S,
            **scaling,
        },
    }


def _llm_config(fleet: Fleet, plan: Plan, placement: Placement) -> dict[str, Any]:
    """One model as Ray's LLMConfig."""
    model = placement.model
    engine = engine_of(model)
    links = plan.links[model.id][0] if is_ring(model, placement.size) else None
    ring_port = RING_PORT + RING_PORTS * placement.slot
    if model.config is not None:
        return _as_written(fleet, model.config, placement)
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": model.id, "model_source": model.path},
        "server_cls": engine.server_cls,
        "placement_group_config": _bundles(placement),
        "deployment_config": {
            "ray_actor_options": {"num_cpus": REPLICA_CPUS},
            "max_ongoing_requests": model.concurrency,
            "max_queued_requests": model.queue,
            "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_S,
            "health_check_period_s": HEALTH_CHECK_PERIOD_S,
            "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        },
        "experimental_configs": {**_where(fleet, placement, links), **_ring(links, ring_port)},
    }
    if model.adapters:
        config["experimental_configs"]["adapters"] = {adapter.id: adapter.path for adapter in model.adapters}
    config = merged(config, engine.config(model, placement.need, placement.size, ring_port))
    if model.env:
        config = merged(config, {"runtime_env": {"env_vars": model.env}})
    return merged(config, model.serve)


def _as_written(fleet: Fleet, config: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """A whole LLMConfig as it is. What it does not say keeps the model on its Macs, and off those of others."""
    engine = engine_of(placement.model)
    unsaid = {
        "accelerator_config": {"kind": "cpu"},
        "server_cls": engine.server_cls,
        "placement_group_config": _bundles(placement),
    }
    kept = {key: value for key, value in unsaid.items() if key not in config}
    if "accelerator_type" in config:
        kept.pop("accelerator_config", None)
    return merged({**kept, "experimental_configs": _where(fleet, placement, None)}, config)


def _bundles(placement: Placement) -> dict[str, Any]:
    """What a copy takes of each of its Macs. The slot keeps a second copy from the same Mac."""
    bundle = {"CPU": REPLICA_CPUS, MLX: 1, slot(placement.slot): 1, "memory": placement.need.total}
    return {
        "bundles": [dict(bundle) for _ in range(placement.size)],
        "strategy": "PACK" if placement.size == 1 else "STRICT_SPREAD",
    }


def _where(fleet: Fleet, placement: Placement, links: Links | None) -> dict[str, Any]:
    """The Macs of each bundle, as label selectors, where Ray must be told."""
    if not placement.pinned:
        return {}
    if links:
        return {"macs": [{MAC_LABEL: label(rank.mac)} for rank in links.ranks]}
    # In the inventory's order: the same Macs are the same config.
    ranks = [[label(mac) for mac in fleet.macs if mac in macs] for macs in zip(*placement.copies, strict=True)]
    return {"macs": [{MAC_LABEL: names[0] if len(names) == 1 else f"in({','.join(names)})"} for names in ranks]}


def _ring(links: Links | None, port: int) -> dict[str, Any]:
    """By which addresses the Macs of a group talk to each other, in rank order."""
    if links is None:
        return {}
    ring = [
        {"mac": label(rank.mac), "address": rank.address, **({"rdma": list(rank.devices)} if rank.devices else {})}
        for rank in links.ranks
    ]
    return {"ring": ring, "ring_port": port}


def _of_the_user(fleet: Fleet, application: Application) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": application.name,
        "route_prefix": application.route_prefix,
        "import_path": application.import_path,
        "args": dict(application.args),
    }
    if application.wheel:
        # For its own processes alone: a new wheel restarts this application, and nothing else.
        paths = (application.wheel.path, fleet.serving.path)
        config["runtime_env"] = {"env_vars": {"PYTHONPATH": ":".join(paths)}}
    return config


def _listen_address(fleet: Fleet) -> str:
    """All addresses of a Mac; loopback alone for the Mac that serves only itself."""
    return fleet.head.node_ip if fleet.head.is_loopback else "0.0.0.0"
