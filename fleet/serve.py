"""The Serve config: every model behind one OpenAI-compatible endpoint, on every Mac that holds one."""

from __future__ import annotations

from typing import Any

from fleet.plan import Plan, need_of
from fleet.settings import Fleet, Model

APPLICATION = "llm"
# Ours, in libexec: Ray's own sends a request to any Mac, and fails it when that one has just gone away.
INGRESS_CLASS = "raylab_ingress:FleetIngress"
# A long answer may take minutes; Serve's default of 20 s would cut it off when a replica goes.
GRACEFUL_SHUTDOWN_S = 300
HEALTH_CHECK_TIMEOUT_S = 30
# A replica whose engine died answers every request with an error until three checks have failed.
HEALTH_CHECK_PERIOD_S = 2
# The entry only passes requests on: it takes many, and hardly any of the slots that replicas need.
INGRESS_REQUESTS = 1000
INGRESS_CPUS = 0.1


def serve_config(fleet: Fleet, plan: Plan) -> dict[str, Any]:
    """What the Serve REST API is given, as data. A fleet without models has no application."""
    models = [model for model in fleet.models if plan.replicas[model.id]]
    application = {
        "name": APPLICATION,
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {
            "llm_configs": [_llm_config(model, plan) for model in models],
            "ingress_cls_config": {"ingress_cls": INGRESS_CLASS},
            "ingress_deployment_config": _ingress(fleet),
        },
    }
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": _listen_address(fleet), "port": fleet.ports.serve_http},
        "applications": [application] if models else [],
    }


def _ingress(fleet: Fleet) -> dict[str, Any]:
    """One entry per Mac, so that every Mac answers and goes on answering while any other is away."""
    return {
        "num_replicas": len(fleet.macs),
        "max_replicas_per_node": 1,
        "max_ongoing_requests": INGRESS_REQUESTS,
        "ray_actor_options": {"num_cpus": INGRESS_CPUS},
    }


def _listen_address(fleet: Fleet) -> str:
    """All addresses of a Mac; loopback alone for the Mac that serves only itself."""
    return fleet.head.node_ip if fleet.head.is_loopback else "0.0.0.0"


def _llm_config(model: Model, plan: Plan) -> dict[str, Any]:
    bundle: dict[str, float] = {"CPU": 1, "mlx": 1}
    if plan.mixed:
        # Ray then places this model only on Macs that have this much to give.
        bundle["memory"] = need_of(model).total
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": model.id, "model_source": model.path},
        # Not the chip: it makes Ray leave accelerators alone; else it would wait for a GPU for ever.
        "accelerator_config": {"kind": "cpu"},
        "callback_config": {"callback_class": "raylab_serving.LocalWeights"},
        "placement_group_config": {"bundle_per_worker": bundle},
        "engine_kwargs": {
            "max_model_len": model.context,
            "max_num_seqs": model.concurrency,
            **model.engine_kwargs,
        },
        "deployment_config": {
            "num_replicas": plan.replicas[model.id],
            "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_S,
            "health_check_period_s": HEALTH_CHECK_PERIOD_S,
            "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        },
    }
    if model.env:
        config["runtime_env"] = {"env_vars": dict(model.env)}
    return config
