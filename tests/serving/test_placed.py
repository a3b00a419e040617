"""Where a model's replicas may run: what Serve is told, and that Serve accepts it."""

# ruff: noqa: ANN401
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ray.serve.llm")
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

import ray
from ray.llm._internal.serve.core.protocol import LLMServerProtocol
from ray.llm._internal.serve.core.server.builder import build_llm_deployment
from ray.serve.llm import LLMConfig
from raylab_serving.placed import Placed

BUNDLE = {"CPU": 0.1, "mlx": 1, "slot-3": 1, "memory": 5_000_000_000}
MACS = [{"raylab.io/mac": "in(alpha,beta)"}]


class Server(Placed, LLMServerProtocol):
    """An engine of its own, as mlx-lm's is."""


def vllm_server() -> type:
    """Imports vLLM."""
    from raylab_serving.vllm import VllmServer

    return VllmServer


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """Ray asks the process that builds an application for its runtime environment."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def config(**changes: Any) -> LLMConfig:
    given: dict[str, Any] = {
        "model_loading_config": {"model_id": "org/tiny.1", "model_source": "/nowhere"},
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundles": [BUNDLE], "strategy": "PACK"},
        "deployment_config": {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 4},
        "experimental_configs": {"macs": MACS},
    }
    return LLMConfig(**{**given, **changes})


def deployment(server: type, given: LLMConfig) -> Any:
    """As Ray's builder of applications makes it, with all that Serve checks."""
    return build_llm_deployment(given, deployment_cls=server)._bound_deployment


@pytest.mark.parametrize("server", [lambda: Server, vllm_server], ids=["own", "vllm"])
def test_a_replica_is_pinned_to_its_macs(server: Any) -> None:
    made = deployment(server(), config())
    replica = made._replica_config
    assert replica.placement_group_bundle_label_selector == MACS
    assert replica.placement_group_strategy == "PACK"
    (bundle,) = replica.placement_group_bundles
    assert {name: bundle[name] for name in BUNDLE} == {**BUNDLE, "CPU": 0.2}
    assert made._deployment_config.max_ongoing_requests == 4
    assert made._deployment_config.autoscaling_config is None


@pytest.mark.parametrize("server", [lambda: Server, vllm_server], ids=["own", "vllm"])
def test_a_group_has_a_bundle_and_a_mac_for_each_rank(server: Any) -> None:
    ranks = [{"raylab.io/mac": "alpha"}, {"raylab.io/mac": "beta"}]
    placement = {"bundles": [BUNDLE, BUNDLE], "strategy": "STRICT_SPREAD"}
    given = config(placement_group_config=placement, experimental_configs={"macs": ranks})
    replica = deployment(server(), given)._replica_config
    assert replica.placement_group_bundle_label_selector == ranks
    assert replica.placement_group_strategy == "STRICT_SPREAD"
    assert [bundle["slot-3"] for bundle in replica.placement_group_bundles] == [1, 1]


@pytest.mark.parametrize("server", [lambda: Server, vllm_server], ids=["own", "vllm"])
def test_a_model_that_may_run_everywhere_is_not_pinned(server: Any) -> None:
    assert (
        deployment(server(), config(experimental_configs={}))._replica_config.placement_group_bundle_label_selector
        is None
    )


@pytest.mark.parametrize("server", [lambda: Server, vllm_server], ids=["own", "vllm"])
def test_scaling_by_load_has_a_target_that_can_be_reached(server: Any) -> None:
    options = {"max_ongoing_requests": 4, "autoscaling_config": {"min_replicas": 1, "max_replicas": 3}}
    scaling = deployment(server(), config(deployment_config=options))._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (1, 3, 4)


def test_settings_reach_the_replicas_process() -> None:
    actor = {"num_cpus": 0.1, "runtime_env": {"env_vars": {"A": "1"}}}
    given = config(deployment_config={"ray_actor_options": actor}, runtime_env={"env_vars": {"B": "2"}})
    replica = deployment(Server, given)._replica_config
    assert replica.ray_actor_options["runtime_env"]["env_vars"] == {"B": "2"}
    assert deployment(Server, config(deployment_config={"ray_actor_options": actor}))._replica_config.ray_actor_options[
        "runtime_env"
    ] == {"env_vars": {"A": "1"}}


def test_bundles_in_the_wrong_place_are_refused() -> None:
    with pytest.raises(ValueError, match="placement_group_config"):
        deployment(Server, config(deployment_config={"placement_group_bundles": [BUNDLE]}))
    with pytest.raises(ValueError, match="bundle_per_worker' or 'bundles"):
        deployment(Server, config(placement_group_config=None))
