"""Bad input: one line for everything that is wrong, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import wrong_inputs
import wrong_inputs_adapters
import wrong_inputs_door
import wrong_inputs_engines
import wrong_inputs_fleet
import wrong_inputs_models
import wrong_inputs_served
import wrong_inputs_sources
from fleet_project import Project
from wrong_inputs import ALL, LAB, Wrong, secret, setting

from fleet.errors import Code

WRONG = [
    *wrong_inputs.WRONG,
    *wrong_inputs_adapters.WRONG,
    *wrong_inputs_door.WRONG,
    *wrong_inputs_engines.WRONG,
    *wrong_inputs_fleet.WRONG,
    *wrong_inputs_models.WRONG,
    *wrong_inputs_served.WRONG,
    *wrong_inputs_sources.WRONG,
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_one_mistake_is_one_line(project: Project, wrong: Wrong) -> None:
    wrong.break_it(project)
    lines = project.problems()
    assert wrong.line in lines
    # A head that is missing or a group that gives no role leaves others without one: those are told as well.
    assert len(lines) == (2 if wrong.name == "a group that gives no role" else 1), lines
    assert all("\n" not in line for line in lines)


def test_all_mistakes_are_told_at_once(project: Project) -> None:
    mistakes = ("the same node IP twice", "a typo in a fleet setting", "a token that others can read")
    for wrong in WRONG:
        if wrong.name in mistakes:
            wrong.break_it(project)
    expected = [
        "there is no setting `ray_cpu`",
        "10.77.0.11 is also",
        "secrets/ray-token can be read by others",
    ]
    lines = project.problems()
    assert len(lines) == 3
    assert all(text in line for text, line in zip(expected, lines, strict=True))


def test_all_mistakes_of_a_model_are_told_at_once(project: Project) -> None:
    project.change(
        ALL,
        '"context": 512,',
        """"context": 4096, "shape": 5, "aliases": ["tiny"], "macs": ["delta"], "chat_template": "nowhere",
        "adapters": {"a": "adapters/a"}, "engine_kwargs": {"tensor_parallel_size": 2, "colour": 1},
        "serve": {"name": "x"},""",
    )
    project.change(ALL, "platform =", 'applications = [{"name": "llm"}]\nplatform =')
    fields = [line.split(": ")[1] for line in project.problems()]
    assert sorted(fields) == [
        "applications[0]",
        "applications[0]",
        "applications[0].name",
        "models[0].adapters",
        "models[0].adapters.a",
        "models[0].aliases",
        "models[0].chat_template",
        "models[0].context",
        "models[0].engine_kwargs.colour",
        "models[0].engine_kwargs.tensor_parallel_size",
        "models[0].macs",
        "models[0].serve.name",
        "models[0].shape",
    ]


def test_a_token_of_our_own_is_no_problem(project: Project) -> None:
    secret("t0ken", 0o600)(project)
    assert project.problems() == []


def test_a_context_that_is_not_given_is_no_longer_than_the_model_allows(project: Project) -> None:
    project.change(ALL, '"context": 512,', "")
    assert project.load().models[0].context == 1024


def test_loopback_is_fine_for_one_mac_alone(project: Project) -> None:
    project.write(LAB, 'head = [("@mac/alpha", {"node_ip": "127.0.0.1"})]\n')
    assert project.problems() == []


def test_a_value_that_all_macs_share_is_told_once(project: Project) -> None:
    setting("ray_cpus = None")(project)
    assert len(project.problems()) == 1


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (LAB, "head = [\n\n", "inventory/lab.py:1: Python cannot read this file: '[' was never closed. "),
        (LAB, "head = []\nworkers = heads\n", "inventory/lab.py:2: running this file fails: NameError: "),
        (
            ALL,
            "models = []\nray_cpus = = 4\n",
            "inventory/group_data/all.py:2: Python cannot read this file: ",
        ),
        (ALL, "import json\n\njson.loads('{')", "inventory/group_data/all.py:3: running this file fails: "),
    ],
)
def test_a_file_that_python_cannot_run_is_one_line(project: Project, file: str, text: str, line: str) -> None:
    project.write(file, text)
    told = [problem for problem in project.problems() if problem.startswith(line)]
    assert len(told) == 1


def test_an_inventory_that_is_not_there(project: Project) -> None:
    assert project.problems("inventory/nowhere.py") == [
        "there is no file inventory/nowhere.py. Give an inventory file, such as inventory/lab.py."
    ]


def test_every_kind_of_problem_has_a_sentence_that_can_be_filled_in() -> None:
    for code in Code:
        assert code.value.format(given="x", other="y").endswith("."), code
