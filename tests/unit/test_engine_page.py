"""The engine of docs/engines.md: its row alone makes the settings, the plan and the Serve config know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine_page
import pytest
from fleet_project import Project

from fleet import engines
from fleet.plan import Plan, make_plan
from fleet.serve import deployment_name, serve_config
from fleet.settings import GB

ALL = "inventory/group_data/all.py"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One whose model the engine of the page runs."""
    for name, row in engine_page.row().items():
        monkeypatch.setitem(engines.ENGINES, name, row)  # type: ignore[arg-type]
    made = Project(tmp_path)
    made.change(ALL, '"context": 512,', '"context": 512, "engine": "echo", "engine_kwargs": {"before": "so: "},')
    return made


def planned(project: Project) -> Plan:
    return make_plan(project.load(), dict.fromkeys(("alpha", "beta", "gamma"), 64 * GB))


def llm_configs(node: object) -> Iterator[dict[str, Any]]:
    """Every LLMConfig of a Serve config, wherever it stands."""
    if isinstance(node, dict) and "model_loading_config" in node:
        yield node
        return
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from llm_configs(each)


def test_its_part_of_the_serve_config(project: Project) -> None:
    plan = planned(project)
    (config,) = llm_configs(serve_config(plan.fleet, plan))
    need = plan.placements["tiny"].need
    assert config["server_cls"] == "raylab_serving.echo:EchoServer"
    assert config["accelerator_config"] == {"kind": "cpu"}
    assert config["placement_group_config"]["bundles"][0]["memory"] == need.total
    assert config["engine_kwargs"] == {
        "before": "so: ",
        "context": 512,
        "concurrency": 4,
        "cache_gb": pytest.approx(need.cache_room / 1e9, abs=1e-6),
    }
    assert deployment_name(plan.fleet.models[0]) == "EchoServer:tiny"


def test_its_plan(project: Project) -> None:
    plan = planned(project)
    assert plan.problems == ()
    assert plan.replicas == {"tiny": 3}
    need = plan.placements["tiny"].need
    assert need.overhead == 3 * GB
    assert need.total == need.weights + need.kv_cache + need.overhead
    assert "tiny   echo    3 replicas" in plan.table()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"engine_kwargs": {"befor": "x"}', "echo has no argument `befor`. Did you mean `before`?"),
        ('"engine_kwargs": {"port": 1}', "`port` is decided by raylab. Remove it: raylab's entry takes the requests."),
        ('"shape": 2', 'echo has no groups of Macs. Remove "shape": each Mac holds the model whole.'),
        (
            '"adapters": {"a": "adapters/a"}',
            "echo has no LoRA adapters. Merge the adapter into the model and serve that as a model of its own.",
        ),
    ],
)
def test_what_its_row_does_not_name_is_refused(project: Project, text: str, line: str) -> None:
    project.adapter("adapters/a")
    project.change(ALL, '"engine_kwargs": {"before": "so: "}', text)
    (problem,) = project.problems()
    assert problem.endswith(line)


def test_there_is_no_such_engine_without_its_row(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(engines.ENGINES, "echo")  # type: ignore[arg-type]
    (problem,) = project.problems()
    assert problem.endswith('there is no engine "echo". There are vllm and mlx.')
