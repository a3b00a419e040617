"""The plan: what a person sees of it, what does not fit, and by how much."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_memory_models import GEMMA_3_27B, LLAMA_8B, LLAMA_70B, QWEN3_235B

from fleet.memory import usable_bytes
from fleet.plan import Plan, make_plan
from fleet.release import Release
from fleet.settings import GB, Fleet, Mac, Model
from fleet.weights import Tensors, Weights

MEMORY = {"alpha": 64 * GB, "beta": 16 * GB, "gamma": 32 * GB}


def fleet_of(*models: Model, macs: tuple[str, ...] = ("alpha", "beta", "gamma")) -> Fleet:
    made = [Mac(name, "worker" if at else "head", f"10.77.0.{11 + at}") for at, name in enumerate(macs)]
    return Fleet(macs=tuple(made), name="lab", models=models)


def big(name: str, gigabytes: float, **settings: object) -> Model:
    return Model(id=name, source=None, memory_gb=gigabytes, **settings)


def published(name: str, gigabytes: float, config: dict[str, object], **settings: object) -> Model:
    """A model with so much weight."""
    size = int(gigabytes * GB)
    weights = Weights((("model.safetensors", size),), "0" * 12, config, Tensors({"BF16": size}, 0))
    return Model(id=name, source=None, weights=weights, **settings)


def wrong(plan: Plan) -> list[str]:
    return [problem.line() for problem in plan.problems]


def test_the_table_that_a_person_reads_first() -> None:
    release = Release("0123456789ab", "linux-64", "3.11.9", {"python": "3.11.9", "ray": "2.59.0"}, (), (), ())
    models = (published("llama", 6, LLAMA_8B, context=512, concurrency=4), big("own", 11))
    fleet = replace(fleet_of(*models), releases={Path("locks/osx-arm64"): release})
    assert (
        make_plan(fleet, MEMORY).table()
        == """\
Plan of lab: 3 Macs, 2 models
Release 0123456789ab (linux-64): Python 3.11.9, Ray 2.59.0

Mac    role    node IP     model  weights  KV cache  engine  needs  may use   has  left
alpha  head    10.77.0.11  llama      6.0       0.2     3.0    9.2     57.6  64.0  37.4
                           own          -         -       -   11.0
beta   worker  10.77.0.12  llama      6.0       0.2     3.0    9.2     10.7  16.0   1.4
gamma  worker  10.77.0.13  llama      6.0       0.2     3.0    9.2     26.0  32.0   5.8
                           own          -         -       -   11.0

Memory in GB.

model  engine  runs as     on                  at once
llama  vllm    3 replicas  alpha, beta, gamma  12 requests of 512 tokens
own    vllm    2 replicas  alpha, gamma        8 requests of 4096 tokens

own does not fit beta (9.6 GB short)."""
    )


def test_a_group_in_the_table() -> None:
    macs = ("alpha", "beta", "gamma", "delta")
    model = published("big", 80, LLAMA_70B, engine="mlx", shape="group", replicas=1, context=1024, concurrency=2)
    plan = make_plan(
        fleet_of(model, big("own", 6, replicas={"min": 1, "max": 3}), macs=macs), dict.fromkeys(macs, 64 * GB)
    )
    table = plan.table()
    assert "alpha  head    10.77.0.11  big 1/2     40.0       0.3     2.0   42.3     57.6  64.0   9.3\n" in table
    assert "beta   worker  10.77.0.12  big 2/2     40.0" in table
    assert "\nbig    mlx     1 group of 2 Macs  alpha+beta           2 requests of 1024 tokens\n" in table
    assert "\nown    vllm    1 to 3 replicas    alpha, gamma, delta  12 requests of 4096 tokens\n" in table
    assert "\n\nbig: alpha – beta over the LAN." in table


def test_what_a_person_would_ask() -> None:
    models = (
        published("odd", 1, {"model_type": "odd"}, replicas=1),
        published("next", 1, LLAMA_8B | {"full_attention_interval": 4}, replicas=1),
        Model(id="ray", source=None, config={"engine_kwargs": {}}, replicas=1),
        big("large", 50, replicas=1),
    )
    table = make_plan(fleet_of(*models), {"alpha": 64 * GB, "beta": 64 * GB}).table()
    assert "odd: config.json does not tell the size of its KV cache, which is counted as 1.0 GB.\n" in table
    assert "next: 24 layers keep a state instead of a KV cache; it is not counted.\n" in table
    assert "ray: nobody knows what it takes; memory_gb would tell the plan.\n" in table
    assert "alpha: its GPU's limit becomes 57.6 GB, instead of macOS's 48.0 GB.\n" in table
    assert table.endswith("Not asked for their memory: gamma.")
    assert "Ray's own" in table


def test_a_fleet_without_models_has_a_plan_too() -> None:
    table = make_plan(fleet_of(), MEMORY).table()
    assert table.startswith("Plan of lab: 3 Macs, no model\n")
    assert table.endswith("\n\nMemory in GB.")


def test_the_plan_as_data() -> None:
    plan = make_plan(fleet_of(big("m", 8, replicas=1), big("n", 44, replicas=1)), MEMORY)
    assert plan.rows()[0] == {
        "mac": "alpha",
        "role": "head",
        "node_ip": "10.77.0.11",
        "memory": 64 * GB,
        "usable": usable_bytes(64 * GB),
        "models": {"n": 44 * GB},
        "left": usable_bytes(64 * GB) - 44 * GB,
        "wired_limit_mb": None,
    }
    assert plan.replicas == {"m": 1, "n": 1}
    assert [row.left for row in plan.macs[1:]] == [usable_bytes(16 * GB), usable_bytes(32 * GB) - 8 * GB]


def test_what_a_mac_may_come_to_run() -> None:
    plan = make_plan(fleet_of(big("everywhere", 2), big("large", 20), big("one", 36, replicas=1)), MEMORY)
    on = {mac.name: [model.id for model in plan.models_on(mac)] for mac in plan.fleet.macs}
    assert on == {"alpha": ["everywhere", "one"], "beta": ["everywhere"], "gamma": ["everywhere", "large"]}


# What does not fit


def test_a_model_too_big_for_every_mac_says_by_how_much() -> None:
    plan = make_plan(fleet_of(big("huge", 60.5)), MEMORY)
    assert plan.replicas == {"huge": 0}
    assert wrong(plan) == [
        "models[0]: model huge fits no Mac: it needs 60.5 GB, and alpha, the largest, can give 57.6 GB: "
        "2.9 GB short. Lower its memory_gb, or add a larger Mac."
    ]


def test_a_context_that_does_not_fit_any_more_is_told_before_anything_moves() -> None:
    model = published("llama", 15, LLAMA_8B, context=16384, concurrency=8, replicas=1)
    memory = {"alpha": 64 * GB, "beta": 16 * GB, "gamma": 32 * GB}
    before = make_plan(fleet_of(model), memory)
    assert wrong(before) == []
    longer = make_plan(fleet_of(replace(model, context=65536)), memory, before.placed)
    # 128 KiB of 65536 tokens of 8 requests are 64 GB; 57.6 - 18 GB are left for them.
    assert wrong(longer) == [
        "models[0]: model llama fits no Mac: it needs 82.0 GB, and alpha, the largest, can give 57.6 GB: "
        "24.4 GB short. It would fit with a context of 40448 or with a concurrency of 4."
    ]
    for change in ({"context": 40448}, {"concurrency": 4}):
        assert wrong(make_plan(fleet_of(replace(model, **{"context": 65536, **change})), memory)) == []
    for change in ({"context": 40448 + 256}, {"concurrency": 5}):
        assert wrong(make_plan(fleet_of(replace(model, **{"context": 65536, **change})), memory)) != []


def test_a_quantisation_or_a_group_that_would_fit() -> None:
    macs = ("alpha", "beta")
    memory = dict.fromkeys(macs, 64 * GB)
    gemma = published("gemma", 60, GEMMA_3_27B, context=1024, concurrency=1)
    (line,) = wrong(make_plan(fleet_of(gemma, macs=macs), memory))
    assert line.endswith("It would fit in 8 bit or as a group of 2 Macs.")
    llama = published("llama", 110, LLAMA_70B, context=1024, concurrency=1)
    (line,) = wrong(make_plan(fleet_of(llama, macs=macs), memory))
    assert line.endswith("It would fit in 4 bit.")
    quantised = published("llama", 60, LLAMA_70B | {"quantization": {"bits": 4, "group_size": 64}}, engine="mlx")
    (line,) = wrong(make_plan(fleet_of(quantised, macs=macs), memory))
    assert line.endswith("It would fit as a group of 2 Macs.")
    assert wrong(make_plan(fleet_of(replace(quantised, shape=2), macs=macs), memory)) == []


def test_a_group_that_nobody_can_hold() -> None:
    macs = ("alpha", "beta", "gamma")
    memory = dict.fromkeys(macs, 64 * GB)
    qwen = published("qwen", 120, QWEN3_235B, engine="mlx", shape="group", context=1024, concurrency=1)
    (line,) = wrong(make_plan(fleet_of(qwen, macs=macs), memory))
    assert line.endswith(
        "It would fit in 4 bit. No group can hold it: mlx-lm 0.31.3 cannot share out models of type qwen3_moe."
    )
    llama = published("llama", 400, LLAMA_70B, engine="mlx", shape="group", context=1024, concurrency=1)
    (line,) = wrong(make_plan(fleet_of(llama, macs=macs), memory))
    assert "in a group of 2 Macs it needs 202.2 GB on each, and beta can give 57.6 GB: 144.6 GB short." in line
    three = replace(llama, shape=3)
    assert wrong(make_plan(fleet_of(three, macs=macs), memory)) == [
        "models[0].shape: model llama fits no Mac: 8 KV heads cannot be shared out evenly to 3 Macs. "
        "Choose another shape, or allow it more Macs."
    ]
    four = replace(llama, shape=4, macs=("alpha", "gamma"))
    assert wrong(make_plan(fleet_of(four, macs=macs), memory)) == [
        "models[0].shape: model llama fits no Mac: its shape is a group of 4 Macs, and it may run on 2. "
        "Choose another shape, or allow it more Macs."
    ]


def test_more_replicas_than_macs_that_fit() -> None:
    assert wrong(make_plan(fleet_of(big("m", 11, replicas=3)), MEMORY)) == [
        "models[0].replicas: 3 replicas are asked for, and the model fits 2 of 3 Macs; a copy takes 11.0 GB of a Mac, "
        "and beta has 10.7 GB. Ask for fewer replicas of m, or add Macs."
    ]
    llama = published("llama", 6, LLAMA_8B, context=8192, concurrency=2, replicas=3)
    (line,) = wrong(make_plan(fleet_of(llama), MEMORY))
    fits = re.search(r"All would fit with a context of (\d+), with a concurrency of 1 or in 8 bit\.$", line)
    assert fits, line
    assert wrong(make_plan(fleet_of(replace(llama, context=int(fits[1]))), MEMORY)) == []
    assert wrong(make_plan(fleet_of(replace(llama, context=int(fits[1]) + 256)), MEMORY)) != []
    between = big("m", 11, replicas={"min": 1, "max": 3})
    assert len(wrong(make_plan(fleet_of(between), MEMORY))) == 1, "room for the most is needed"


def test_a_model_that_fits_only_without_the_others() -> None:
    plan = make_plan(fleet_of(big("a", 50, replicas=1), big("b", 20, replicas=1), big("c", 20, replicas=1)), MEMORY)
    assert wrong(plan) == [
        "models[2]: model c fits no Mac: it needs 20.0 GB, and beta, the largest, has, beside the other models, "
        "10.7 GB: 9.3 GB short. Lower its memory_gb, or add a larger Mac."
    ]


def test_a_mac_that_is_not_asked_is_trusted() -> None:
    plan = make_plan(fleet_of(big("m", 40)), {"beta": 16 * GB})
    assert plan.replicas == {"m": 2}
    assert plan.problems == ()
    assert [row.left for row in plan.macs] == [None, usable_bytes(16 * GB), None]
    assert [line.split()[-3:] for line in plan.table().splitlines() if line.startswith("alpha")] == [["?", "?", "?"]]


def test_a_mac_that_is_not_asked_counts_with_its_memory_gb() -> None:
    fleet = fleet_of(big("m", 40))
    known = replace(fleet, macs=tuple(replace(mac, memory_gb=16) if mac.name == "beta" else mac for mac in fleet.macs))
    assert make_plan(known, {}).replicas == {"m": 2}
    assert make_plan(known, {"beta": 64 * GB}).replicas == {"m": 3}


# What was there before


def test_a_plan_says_what_moves() -> None:
    model = big("m", 8, replicas=2)
    before = make_plan(fleet_of(model), MEMORY).placed
    assert before == {"m": [["alpha"], ["gamma"]]}
    assert make_plan(fleet_of(model), MEMORY, before).moves == ()
    elsewhere = make_plan(fleet_of(replace(model, macs=("beta", "gamma"))), MEMORY, before)
    assert elsewhere.moves == ("m moves from alpha to beta.",)
    assert "\n\nm moves from alpha to beta." in elsewhere.table()
    assert make_plan(fleet_of(replace(model, replicas=1)), MEMORY, before).moves == ()


@pytest.mark.parametrize("order", [1, -1])
def test_the_limit_of_the_gpu_is_part_of_the_plan(order: int) -> None:
    models = (big("a", 30, replicas=1), big("b", 25, replicas=1, macs=("alpha",)))[::order]
    rows = make_plan(fleet_of(*models, macs=("alpha",)), {"alpha": 64 * GB}).macs
    assert [row.wired_limit_mb for row in rows] == [usable_bytes(64 * GB) // 1024**2]
    assert {held.model.id for held in rows[0].held} == {"a", "b"}
