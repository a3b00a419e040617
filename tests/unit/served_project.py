"""A project whose models are changed, and what Serve is given for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from fleet_project import Project

from fleet.plan import Plan, make_plan
from fleet.serve import serve_config
from fleet.settings import GB

ALL = "inventory/group_data/all.py"
LAB = "inventory/lab.py"
MEMORY = {"alpha": 64 * GB, "beta": 64 * GB, "gamma": 64 * GB}


def tiny(project: Project, text: str) -> None:
    """The model has these settings, too."""
    project.change(ALL, '"context": 512,', f'"context": 512, {text}')


def models(project: Project, *texts: str) -> None:
    """These models from the same source instead."""
    entries = "".join(f'    {{"source": "models/tiny", "context": 512, {text}}},\n' for text in texts)
    project.write("inventory/group_data/lab.py", f"models = [\n{entries}]\n")


def planned(project: Project, memory: Mapping[str, int] = MEMORY) -> Plan:
    return make_plan(project.load(), memory)


def rendered(project: Project, memory: Mapping[str, int] = MEMORY) -> dict[str, dict[str, Any]]:
    """Every application, by its name."""
    plan = planned(project, memory)
    config = serve_config(plan.fleet, plan)
    # As the Macs read it.
    assert yaml.safe_load(yaml.safe_dump(config)) == json.loads(json.dumps(config)) == config
    return {application["name"]: application for application in config["applications"]}


def config_of(project: Project, model_id: str = "tiny", memory: Mapping[str, int] = MEMORY) -> dict[str, Any]:
    """One model's LLMConfig."""
    config: dict[str, Any] = rendered(project, memory)[f"model:{model_id}"]["args"]
    return config


def override(project: Project, application: str = "model:tiny") -> dict[str, Any]:
    """What is said of the deployment of an application outside of the arguments."""
    (found,) = rendered(project)[application]["deployments"]
    assert isinstance(found, dict)
    return found


def qwen(project: Project) -> None:
    """The model is one that mlx-lm can share out to two Macs, or three."""
    project.model("models/tiny", model_type="qwen3", num_attention_heads=6, num_key_value_heads=6)
