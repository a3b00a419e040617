"""The plan: which model on which Mac, what it takes, and what a person sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_project import Project

from fleet.plan import ENGINE_BYTES, make_plan, need_of, usable_bytes
from fleet.settings import GB, Fleet
from fleet.weights import Weights, read_weights

ALL = "inventory/group_data/all.py"
MEMORY = {"alpha": 64 * GB, "beta": 16 * GB, "gamma": 32 * GB}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def with_models(project: Project, *models: str) -> Fleet:
    """The fleet with these models; each text is the inside of one dict."""
    text = (project.root / ALL).read_text().split("models = [")[0]
    project.write(ALL, text + "models = [" + "".join(f"{{{model}}}," for model in models) + "]\n")
    return project.load()


def big(name: str, gigabytes: float, replicas: str = '"all"') -> str:
    return f'"id": "{name}", "source": "models/tiny", "memory_gb": {gigabytes}, "replicas": {replicas}'


def placed(project: Project, *models: str) -> dict[str, str | None]:
    plan = make_plan(with_models(project, *models), MEMORY)
    return {row.mac.name: row.model.id if row.model else None for row in plan.macs}


def test_what_a_mac_gives_to_models() -> None:
    assert usable_bytes(64 * GB) == 48 * GB
    assert usable_bytes(36 * GB) == 24 * GB


def test_what_a_model_needs(project: Project) -> None:
    project.model("models/tiny", tensor_bytes=6 * GB, num_hidden_layers=32, num_key_value_heads=8, head_dim=128)
    need = need_of(project.load().models[0])
    assert need.weights == 6 * GB
    # 32 layers, keys and values, 8 heads of 128, two bytes; 512 tokens of 4 requests.
    assert need.kv_cache == 32 * 2 * 8 * 128 * 2 * 512 * 4
    assert need.total == need.weights + need.kv_cache + ENGINE_BYTES


def test_memory_gb_overrules_the_estimate(project: Project) -> None:
    fleet = with_models(project, big("m", 10.5))
    assert need_of(fleet.models[0]).total == 10.5 * GB


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}, 2 * 2 * 4 * 16 * 2),
        ({"text_config": {"num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 8}}, 2 * 2 * 8 * 2),
        ({"num_hidden_layers": 3, "kv_lora_rank": 512, "qk_rope_head_dim": 64}, 3 * 576 * 2),
        ({"model_type": "odd"}, None),
        ({"num_hidden_layers": "many"}, None),
    ],
)
def test_the_kv_cache_of_one_token(config: dict[str, object], expected: int | None) -> None:
    assert Weights(config=config).kv_bytes_per_token == expected


def test_a_scaled_context_is_not_taken_for_the_longest() -> None:
    base = {"max_position_embeddings": 4096}
    assert Weights(config=base).longest_context == 4096
    assert Weights(config=base | {"rope_parameters": {"rope_type": "default"}}).longest_context == 4096
    assert Weights(config=base | {"rope_parameters": {"rope_type": "yarn"}}).longest_context is None
    assert Weights(config=base | {"rope_scaling": {"type": "yarn"}}).longest_context is None


def test_the_revision_changes_with_names_sizes_and_contents_only(project: Project) -> None:
    folder = project.root / "models/tiny"
    before = read_weights(folder)
    (folder / ".cache").mkdir()
    (folder / ".cache/x").write_text("not part of the model")
    (folder / "model.safetensors").touch()
    assert read_weights(folder) == before
    assert [name for name, _ in before.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    (folder / "tokenizer.json").write_text("[]")
    assert read_weights(folder).revision != before.revision


def test_weights_that_are_there_twice_count_once() -> None:
    files = (("model-1.safetensors", 5), ("consolidated.safetensors", 5), ("original/x.safetensors", 5))
    assert Weights(files=files).tensor_bytes == 10
    assert Weights(files=(*files, ("model.safetensors.index.json", 1))).tensor_bytes == 5


def test_the_end_of_a_large_file_counts(project: Project) -> None:
    project.model("models/tiny", tensor_bytes=5 * 1024**2)
    before = read_weights(project.root / "models/tiny").revision
    with (project.root / "models/tiny/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert read_weights(project.root / "models/tiny").revision != before


def test_a_model_that_takes_all_gets_every_mac_that_fits_it(project: Project) -> None:
    assert placed(project, big("m", 8)) == {"alpha": "m", "beta": "m", "gamma": "m"}
    assert placed(project, big("m", 11)) == {"alpha": "m", "beta": None, "gamma": "m"}


def test_large_macs_stay_free_for_large_models(project: Project) -> None:
    models = (big("small", 8, "1"), big("large", 40, "1"))
    assert placed(project, *models) == {"alpha": "large", "beta": "small", "gamma": None}


def test_counted_models_choose_before_those_that_take_all(project: Project) -> None:
    assert placed(project, big("rest", 2), big("one", 2, "1")) == {
        "alpha": "rest",
        "beta": "one",
        "gamma": "rest",
    }


def test_two_models_that_take_all_share_the_macs(project: Project) -> None:
    plan = make_plan(with_models(project, big("a", 2), big("b", 2)), MEMORY)
    assert plan.replicas == {"a": 2, "b": 1}


def test_a_model_too_big_for_every_mac_says_by_how_much(project: Project) -> None:
    plan = make_plan(with_models(project, big("huge", 60.5)), MEMORY)
    assert plan.replicas == {"huge": 0}
    assert [problem.line() for problem in plan.problems] == [
        "models[0]: model huge fits no Mac: it needs 60.5 GB, and alpha, the largest, can give 48.0 GB: "
        "12.5 GB short. Lower its context or concurrency, take a smaller quantisation, or add a larger Mac."
    ]


def test_more_replicas_than_macs_that_fit(project: Project) -> None:
    plan = make_plan(with_models(project, big("m", 11, "3")), MEMORY)
    assert [problem.line() for problem in plan.problems] == [
        "models[0].replicas: 3 replicas are asked for, and the model fits 2 of 3 Macs, 2 of them free. "
        "Ask for fewer replicas of m, or add Macs."
    ]


def test_a_mac_that_is_not_asked_is_trusted(project: Project) -> None:
    plan = make_plan(with_models(project, big("m", 40)), {"beta": 16 * GB})
    assert plan.replicas == {"m": 2}
    assert plan.problems == ()
    assert [row.left for row in plan.macs] == [None, usable_bytes(16 * GB), None]
    assert "Not asked for their memory: alpha, gamma." in plan.table()


def test_a_mac_that_is_not_asked_counts_with_its_memory_gb(project: Project) -> None:
    project.change("inventory/lab.py", '"10.77.0.12"', '"10.77.0.12", "memory_gb": 16')
    fleet = with_models(project, big("m", 40))
    assert make_plan(fleet, {}).replicas == {"m": 2}
    assert make_plan(fleet, {"beta": 64 * GB}).replicas == {"m": 3}


def test_mixed_when_a_model_does_not_fit_every_mac(project: Project) -> None:
    assert not make_plan(with_models(project, big("m", 8)), MEMORY).mixed
    assert make_plan(with_models(project, big("m", 11)), MEMORY).mixed


def test_the_plan_as_data(project: Project) -> None:
    plan = make_plan(with_models(project, big("m", 8, "1")), MEMORY)
    assert plan.rows()[1] == {
        "mac": "beta",
        "role": "worker",
        "node_ip": "10.77.0.12",
        "memory": 16 * GB,
        "usable": usable_bytes(16 * GB),
        "model": "m",
        "needs": 8 * GB,
        "left": usable_bytes(16 * GB) - 8 * GB,
    }


def test_the_table_that_a_person_reads_first(project: Project) -> None:
    project.model("models/tiny", tensor_bytes=6 * GB, num_hidden_layers=32, num_key_value_heads=8, head_dim=128)
    plan = make_plan(project.load(), MEMORY)
    release = plan.fleet.release(plan.fleet.head).id
    expected = f"""\
Plan of lab: 3 Macs, 1 model
Release {release} (linux-64): Python 3.11.9, Ray 2.59.0, vLLM 0.27.1, Valkey 9.0.0

Mac    role    node IP     model  weights  KV cache  engine  needs  may use   has  left
alpha  head    10.77.0.11  tiny       6.0       0.2     3.0    9.2     48.0  64.0  38.8
beta   worker  10.77.0.12  tiny       6.0       0.2     3.0    9.2     10.7  16.0   1.4
gamma  worker  10.77.0.13  tiny       6.0       0.2     3.0    9.2     21.3  32.0  12.1

Memory in GB.
tiny: vllm on 3 Macs, up to 4 requests of 512 tokens at once on each."""
    assert plan.table() == expected


def test_the_table_tells_what_a_person_would_ask(project: Project) -> None:
    project.model("models/tiny", num_hidden_layers=None)
    table = make_plan(with_models(project, big("m", 11, "1"), '"id": "t", "source": "models/tiny"'), MEMORY).table()
    assert "m does not fit beta: 0.3 GB short." in table
    assert "t: config.json does not tell the size of its KV cache, which is not counted." in table
    table = make_plan(with_models(project, big("m", 8, "1")), MEMORY).table()
    assert "m: Ray chooses which 1 of the 3 Macs that fit it." in table


def test_a_fleet_without_models_has_a_plan_too(project: Project) -> None:
    table = make_plan(with_models(project), MEMORY).table()
    assert table.startswith("Plan of lab: 3 Macs, no model\n")
