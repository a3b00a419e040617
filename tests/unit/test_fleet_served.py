"""What Serve is given: models by engine and shape, where they run, and what runs beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet_project import Project
from served_project import ALL, LAB, MEMORY, config_of, models, override, planned, qwen, rendered, tiny

from fleet.memory import need_of
from fleet.serve import deployment_name, serve_config
from fleet.settings import GB


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_one_model_on_every_mac(project: Project) -> None:
    tiny(project, '"env": {"A": "1"}, "engine_kwargs": {"enforce_eager": True},')
    plan = planned(project)
    assert serve_config(plan.fleet, plan) == {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [
            {
                "name": "llm",
                "route_prefix": "/",
                "import_path": "raylab_serving.application:entry",
                "args": {},
                "deployments": [
                    {
                        "name": "FleetIngress",
                        "num_replicas": 3,
                        "max_replicas_per_node": 1,
                        "max_ongoing_requests": 1000,
                        "ray_actor_options": {"num_cpus": 0.1},
                        "user_config": {
                            "models": [
                                {
                                    "id": "tiny",
                                    "application": "model:tiny",
                                    "deployment": "VllmServer:tiny",
                                    "aliases": [],
                                    "adapters": [],
                                    "max_tokens": None,
                                    "context": 512,
                                }
                            ],
                            "allowed_origins": [],
                        },
                    }
                ],
            },
            {
                "name": "model:tiny",
                "route_prefix": None,
                "import_path": "raylab_serving.application:model",
                "args": {
                    "model_loading_config": {"model_id": "tiny", "model_source": plan.fleet.models[0].path},
                    "server_cls": "raylab_serving.vllm:VllmServer",
                    "accelerator_config": {"kind": "cpu"},
                    "callback_config": {"callback_class": "raylab_serving.vllm:LocalWeights"},
                    "placement_group_config": {
                        "bundles": [
                            {
                                "CPU": 0.1,
                                "mlx": 1,
                                f"slot-{plan.placements['tiny'].slot}": 1,
                                "memory": need_of(plan.fleet.models[0]).total,
                            }
                        ],
                        "strategy": "PACK",
                    },
                    "engine_kwargs": {"max_model_len": 512, "max_num_seqs": 4, "enforce_eager": True},
                    "deployment_config": {
                        "ray_actor_options": {"num_cpus": 0.1},
                        "max_ongoing_requests": 4,
                        "graceful_shutdown_timeout_s": 300,
                        "health_check_period_s": 2,
                        "health_check_timeout_s": 30,
                    },
                    "experimental_configs": {},
                    "runtime_env": {"env_vars": {"A": "1"}},
                },
                "deployments": [{"name": "VllmServer:tiny", "num_replicas": 3, "max_queued_requests": 100}],
            },
        ],
    }


def arguments(applications: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What Serve takes for new code when it changes, by application."""
    return {name: (application["import_path"], application["args"]) for name, application in applications.items()}


def test_a_further_mac_changes_no_argument(project: Project) -> None:
    """New arguments would start every replica anew."""
    before = rendered(project)
    project.change(LAB, "workers = [", 'workers = [\n    ("@mac/delta", {"node_ip": "10.77.0.14"}),')
    after = rendered(project, MEMORY | {"delta": 64 * GB})
    assert arguments(after) == arguments(before)
    assert [application["deployments"][0]["num_replicas"] for application in after.values()] == [4, 4]


def test_another_model_changes_nothing_but_what_the_entry_knows(project: Project) -> None:
    qwen(project)
    group = '"engine": "mlx", "shape": 3'
    models(project, f'"id": "a", {group}', '"id": "b"', f'"id": "c", {group}')
    before = rendered(project)
    models(project, '"id": "b"', f'"id": "c", {group}', '"id": "d"')
    after = rendered(project)
    assert list(after) == ["llm", "model:b", "model:c", "model:d"]
    assert (after["model:b"], after["model:c"]) == (before["model:b"], before["model:c"])
    entries = [each["llm"]["deployments"][0].pop("user_config") for each in (before, after)]
    assert before["llm"] == after["llm"]
    assert [[model["id"] for model in known["models"]] for known in entries] == [["a", "b", "c"], ["b", "c", "d"]]


def test_other_macs_are_other_arguments(project: Project) -> None:
    """Serve would not look at a changed selector alone."""
    tiny(project, '"macs": "beta",')
    before = arguments(rendered(project))
    project.change(ALL, '"macs": "beta",', '"macs": "gamma",')
    after = arguments(rendered(project))
    assert before["llm"] == after["llm"]
    assert before["model:tiny"] != after["model:tiny"]


def test_a_counted_model_runs_on_the_macs_of_the_plan(project: Project) -> None:
    tiny(project, '"replicas": 2, "macs": ["gamma", "alpha"],')
    assert config_of(project)["experimental_configs"] == {"macs": [{"raylab.io/mac": "in(alpha,gamma)"}]}
    assert override(project)["num_replicas"] == 2


def test_a_model_on_one_mac(project: Project) -> None:
    tiny(project, '"macs": "beta",')
    assert config_of(project)["experimental_configs"] == {"macs": [{"raylab.io/mac": "beta"}]}


def test_models_that_share_a_mac_have_slots_of_their_own(project: Project) -> None:
    models(project, '"id": "a"', '"id": "b"', '"id": "c", "engine": "mlx"')
    bundles = [config_of(project, model)["placement_group_config"]["bundles"][0] for model in ("a", "b", "c")]
    assert len({name for bundle in bundles for name in bundle if name.startswith("slot-")}) == 3


def test_a_model_that_scales(project: Project) -> None:
    tiny(project, '"replicas": {"min": 1, "max": 2}, "concurrency": 8, "queue": 7,')
    assert override(project) == {
        "name": "VllmServer:tiny",
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 6.0,
            "upscale_delay_s": 30,
            "downscale_delay_s": 600,
        },
        "max_queued_requests": 7,
    }


def test_what_the_entry_knows_of_a_model(project: Project) -> None:
    project.adapter("adapters/a")
    tiny(project, '"aliases": ["gpt-4o"], "adapters": {"support": "adapters/a"}, "max_tokens": 64,')
    project.change(ALL, "platform =", 'allowed_origins = ["https://chat.example.org"]\nplatform =')
    known = override(project, "llm")["user_config"]
    assert known["models"][0].items() >= {"aliases": ["gpt-4o"], "adapters": ["support"], "max_tokens": 64}.items()
    assert known["allowed_origins"] == ["https://chat.example.org"]
    (adapter,) = project.load().models[0].adapters
    assert config_of(project)["experimental_configs"]["adapters"] == {"support": adapter.path}


def test_mlx_on_one_mac(project: Project) -> None:
    project.write("chat.jinja", "{{ messages }}")
    tiny(project, '"engine": "mlx", "engine_kwargs": {"prefill_step_size": 512}, "chat_template": "chat.jinja",')
    config = config_of(project)
    need = need_of(project.load().models[0])
    assert config["server_cls"] == "raylab_serving.mlx:MlxServer"
    assert "callback_config" not in config
    assert config["engine_kwargs"] == {
        "context": 512,
        "concurrency": 4,
        "cache_gb": pytest.approx(need.kv_cache / 1e9, abs=1e-6),
        "chat_template": "{{ messages }}",
        "prefill_step_size": 512,
    }
    assert 0 < need.kv_cache <= round(config["engine_kwargs"]["cache_gb"] * 1e9)
    assert deployment_name(project.load().models[0]) == "MlxServer:tiny"


def test_memory_that_a_person_gives_is_for_the_cache_of_mlx(project: Project) -> None:
    tiny(project, '"engine": "mlx", "memory_gb": 8,')
    need = need_of(project.load().models[0])
    left = 8 * GB - need.weights - need.overhead
    assert config_of(project)["engine_kwargs"]["cache_gb"] == pytest.approx(left / 1e9, abs=1e-6)


def test_the_template_of_vllm(project: Project) -> None:
    project.write("chat.jinja", "{{ messages }}")
    tiny(project, '"chat_template": "chat.jinja",')
    assert config_of(project)["engine_kwargs"]["chat_template"] == "{{ messages }}"


def test_a_model_in_ids_with_slash_and_dot(project: Project) -> None:
    models(project, '"id": "Qwen/Qwen3-0.6B"')
    assert override(project, "model:Qwen--Qwen3-0_6B")["name"] == "VllmServer:Qwen--Qwen3-0_6B"


def test_what_raylab_has_no_setting_for(project: Project) -> None:
    tiny(
        project,
        '"replicas": {"min": 1, "max": 2}, "serve": {"log_engine_metrics": False, "deployment_config": '
        '{"health_check_period_s": 5, "max_ongoing_requests": 9, "autoscaling_config": {"downscale_delay_s": 60}}},',
    )
    config = config_of(project)
    assert config["log_engine_metrics"] is False
    assert config["deployment_config"] == {
        "ray_actor_options": {"num_cpus": 0.1},
        "max_ongoing_requests": 9,
        "graceful_shutdown_timeout_s": 300,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
    }
    scaling = override(project)["autoscaling_config"]
    assert (scaling["downscale_delay_s"], scaling["upscale_delay_s"], scaling["max_replicas"]) == (60, 30, 2)


def whole(project: Project, text: str) -> dict[str, Any]:
    """The LLMConfig that becomes of one in a file."""
    project.write("serve/whole.yaml", text)
    project.write(
        "inventory/group_data/lab.py",
        'models = [{"llm_config": "serve/whole.yaml", "memory_gb": 8, "macs": ["beta"]}]\n',
    )
    return config_of(project, "whole")


WHOLE = "model_loading_config: {model_id: whole, model_source: /models/whole}\n"


def test_a_whole_llm_config_is_taken_as_it_is(project: Project) -> None:
    text = (
        f"{WHOLE}accelerator_config: {{kind: cpu}}\nserver_cls: house:Server\nplacement_group_config: "
        "{bundles: [{CPU: 2}]}\ndeployment_config: {num_replicas: 1}\n"
    )
    assert whole(project, text) == yaml.safe_load(text) | {
        "experimental_configs": {"macs": [{"raylab.io/mac": "beta"}]}
    }
    (known,) = override(project, "llm")["user_config"]["models"]
    assert (known["id"], known["application"], known["deployment"]) == ("whole", "model:whole", "Server:whole")
    assert rendered(project)["model:whole"]["deployments"] == []


def test_what_a_whole_llm_config_does_not_say_keeps_it_on_its_macs(project: Project) -> None:
    config = whole(project, WHOLE)
    (bundle,) = config["placement_group_config"]["bundles"]
    assert bundle["memory"] == 8 * GB
    assert config["server_cls"] == "raylab_serving.vllm:VllmServer"
    assert config["accelerator_config"] == {"kind": "cpu"}


def test_a_model_that_fits_nowhere_is_left_out(project: Project) -> None:
    models(project, '"id": "a"', '"id": "b", "memory_gb": 500')
    assert list(rendered(project)) == ["llm", "model:a"]


def test_the_users_applications_stand_beside_ours(project: Project) -> None:
    project.wheel("dist/rerank-1.0-py3-none-any.whl")
    project.change(
        ALL,
        "platform =",
        "applications = [\n"
        '    {"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app",\n'
        '     "wheel": "dist/rerank-1.0-py3-none-any.whl", "args": {"size": 2}},\n'
        '    {"name": "other", "route_prefix": "/other", "import_path": "a.b:c"},\n'
        "]\nplatform =",
    )
    plan = planned(project)
    _, tiny, rerank, other = serve_config(plan.fleet, plan)["applications"]
    assert tiny["name"] == "model:tiny"
    wheel = plan.fleet.applications[0].wheel
    assert wheel is not None
    assert rerank == {
        "name": "rerank",
        "route_prefix": "/rerank",
        "import_path": "rerank:app",
        "args": {"size": 2},
        "runtime_env": {"env_vars": {"PYTHONPATH": f"{wheel.path}:{plan.fleet.serving.path}"}},
    }
    assert other == {"name": "other", "route_prefix": "/other", "import_path": "a.b:c", "args": {}}


def test_without_models_there_is_no_application(project: Project) -> None:
    project.write("inventory/group_data/lab.py", "models = []\n")
    plan = planned(project)
    assert serve_config(plan.fleet, plan)["applications"] == []
