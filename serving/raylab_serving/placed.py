"""Where a model's replicas may run, and which of them are asked: options of its Serve deployment."""

from __future__ import annotations

import copy
from typing import Any

import ray
from ray import serve
from ray.llm._internal.common.placement import PlacementGroupConfig

from raylab_serving.draining import PERIOD_S, told

# By its path: whoever sends requests imports it by itself.
ROUTER = {"request_router_class": "raylab_serving.draining:Router", "request_routing_stats_period_s": PERIOD_S}


class Placed:
    """Mixin of every engine's server class, before Ray's own: `class MlxServer(Placed, LLMServerProtocol)`."""

    @classmethod
    def get_deployment_options(cls, llm_config: Any) -> dict[str, Any]:  # noqa: ANN401
        """What `serve.deployment` is given for a model.

        `placement_group_config` says what each Mac gives, and `experimental_configs["macs"]` which Macs, one label
        selector per bundle. Raises ValueError for a config that Serve could not place.
        """
        # Ray's LLMServer makes its own, with vLLM's engine config; its protocol makes none.
        options = super().get_deployment_options(llm_config=llm_config) or _options(llm_config)  # type: ignore[misc]
        selectors = llm_config.experimental_configs.get("macs")
        if selectors:
            options["placement_group_bundle_label_selector"] = [dict(selector) for selector in selectors]
        _set_scaling(options)
        options.setdefault("request_router_config", dict(ROUTER))
        return dict(options)

    async def record_routing_stats(self) -> dict[str, Any]:
        """What Serve asks now and then, and tells those that choose among replicas."""
        of_the_engine = getattr(super(), "record_routing_stats", None)
        return {**(await of_the_engine() if of_the_engine else {}), **told(serve.get_replica_context().app_name)}


def _options(llm_config: Any) -> dict[str, Any]:  # noqa: ANN401
    """As Ray's LLMServer makes them, without an engine's config."""
    options: dict[str, Any] = copy.deepcopy(llm_config.deployment_config)
    if "placement_group_bundles" in options or "placement_group_strategy" in options:
        raise ValueError("bundles and strategy belong in placement_group_config, not in deployment_config")
    actor = options.setdefault("ray_actor_options", {})
    bundles, strategy = _bundles(llm_config.placement_group_config or {})
    options["placement_group_bundles"] = [_sum(bundles[0], _resources(actor)), *bundles[1:]]
    options["placement_group_strategy"] = strategy
    actor["runtime_env"] = {
        **ray.get_runtime_context().runtime_env,
        **actor.get("runtime_env", {}),
        **(llm_config.runtime_env or {}),
    }
    return options


def _bundles(config: dict[str, Any]) -> tuple[list[dict[str, float]], str]:
    """The bundles of one replica, and how they spread over Macs."""
    valid = PlacementGroupConfig(**config)
    bundles = valid.bundles or [valid.bundle_per_worker]
    return [bundle.model_dump(exclude_unset=True) for bundle in bundles], valid.strategy


def _resources(actor: dict[str, Any]) -> dict[str, float]:
    """What the replica's own process takes: Ray puts it in the first bundle."""
    asked = {
        "CPU": actor.get("num_cpus", 1),
        "GPU": actor.get("num_gpus", 0),
        "memory": actor.get("memory", 0),
        **actor.get("resources", {}),
    }
    return {name: amount for name, amount in asked.items() if amount}


def _sum(left: dict[str, float], right: dict[str, float]) -> dict[str, float]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def _set_scaling(options: dict[str, Any]) -> None:
    """Replace Ray's default of one replica that would be joined by others above 1e9 requests.

    Without it a count given elsewhere, in the application's `deployments`, would be ignored.
    """
    scaling = options.setdefault("autoscaling_config", None)
    if isinstance(scaling, dict) and "max_ongoing_requests" in options:
        scaling.setdefault("target_ongoing_requests", options["max_ongoing_requests"])
