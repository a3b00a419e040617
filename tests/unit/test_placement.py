"""Which copy of which model goes to which Mac, and what stays where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from test_memory_models import LLAMA_70B, QWEN3_235B

from fleet.placement import SLOTS, Before, Placement, place
from fleet.settings import GB, Fleet, Mac, Model
from fleet.weights import Tensors, Weights

# What models may take of each Mac, in GB.
THREE = {"alpha": 48, "beta": 10, "gamma": 24}


def model(name: str, gigabytes: float, **settings: object) -> Model:
    """A model that takes exactly so much of a Mac."""
    return Model(id=name, source=None, memory_gb=gigabytes, **settings)


def shared(name: str, gigabytes: int, config: dict[str, object], **settings: object) -> Model:
    """A model with so much in its layers, and hardly any KV cache."""
    weights = Weights((), "", config, Tensors({"BF16": gigabytes * GB}, 0))
    return Model(id=name, source=None, weights=weights, context=16, concurrency=1, **settings)


def fleet_of(usable: Mapping[str, int | None], *models: Model, **special: Mac) -> Fleet:
    macs = [
        special.get(name) or Mac(name, "worker" if at else "head", f"10.77.0.{11 + at}")
        for at, name in enumerate(usable)
    ]
    return Fleet(macs=tuple(macs), name="lab", models=models)


def placed(
    usable: Mapping[str, int | None], *models: Model, before: Before | None = None, **special: Mac
) -> dict[str, Placement]:
    size = {name: None if size is None else size * GB for name, size in usable.items()}
    return place(fleet_of(usable, *models, **special), size, before or {}, set())


def where(
    usable: Mapping[str, int | None], *models: Model, before: Before | None = None, **special: Mac
) -> dict[str, list[str]]:
    """The Macs of each copy, by model id: `alpha`, or `alpha+beta` for a group."""
    return {name: names(placement) for name, placement in placed(usable, *models, before=before, **special).items()}


def names(placement: Placement) -> list[str]:
    return ["+".join(mac.name for mac in copy) for copy in placement.copies]


def kept(found: dict[str, list[str]]) -> Before:
    return {name: [copy.split("+") for copy in copies] for name, copies in found.items()}


def test_all_is_every_mac_where_it_fits() -> None:
    assert where(THREE, model("m", 8)) == {"m": ["alpha", "gamma", "beta"]}
    assert where(THREE, model("m", 11)) == {"m": ["alpha", "gamma"]}
    assert where(THREE, model("m", 11, macs=("beta", "gamma"))) == {"m": ["gamma"]}


def test_several_models_share_a_mac() -> None:
    assert where(THREE, model("a", 8), model("b", 2)) == {
        "a": ["alpha", "gamma", "beta"],
        "b": ["alpha", "gamma", "beta"],
    }
    assert where(THREE, model("a", 8), model("b", 3))["b"] == ["alpha", "gamma"]


def test_a_copy_goes_to_the_mac_with_the_most_left() -> None:
    assert where(THREE, model("m", 8, replicas=2)) == {"m": ["alpha", "gamma"]}
    # 48 - 30 leaves 18, and gamma has 24.
    assert where(THREE, model("large", 30, replicas=1), model("small", 8, replicas=1)) == {
        "large": ["alpha"],
        "small": ["gamma"],
    }
    assert where({"alpha": 20, "beta": 20}, model("m", 5, replicas=1)) == {"m": ["alpha"]}, "the first of equals"


def test_those_with_few_macs_choose_first() -> None:
    models = (model("any", 40, replicas=1), model("here", 12, replicas=1, macs=("alpha",)))
    assert where(THREE, *models) == {"any": [], "here": ["alpha"]}


def test_counted_models_choose_before_those_that_take_all() -> None:
    models = (model("rest", 20), model("one", 30, replicas=1))
    assert where(THREE, *models) == {"rest": ["gamma"], "one": ["alpha"]}


def test_every_model_gets_its_first_copy_before_one_takes_all() -> None:
    usable = {"alpha": 48, "beta": 48, "gamma": 48}
    assert where(usable, model("a", 40), model("b", 40)) == {"a": ["alpha", "gamma"], "b": ["beta"]}


def test_replicas_that_change_have_room_for_the_most() -> None:
    found = placed(THREE, model("m", 8, replicas={"min": 1, "max": 2}))["m"]
    assert (names(found), found.minimum, found.pinned) == (["alpha", "gamma"], 1, True)
    assert placed(THREE, model("m", 8))["m"].minimum == 3


def test_a_mac_of_unknown_memory_is_trusted() -> None:
    usable = {"alpha": None, "beta": 10, "gamma": None}
    assert where(usable, model("m", 400)) == {"m": ["alpha", "gamma"]}
    # Known Macs first, then those that hold the least.
    models = (model("a", 8, replicas=1), model("b", 8, replicas=1), model("c", 8, replicas=1))
    assert where(usable, *models) == {"a": ["beta"], "b": ["alpha"], "c": ["gamma"]}


def test_ray_is_told_the_macs_unless_it_cannot_choose_wrong() -> None:
    assert not placed(THREE, model("m", 8))["m"].pinned, "on every Mac"
    assert not placed(THREE, model("m", 11))["m"].pinned, "on every Mac with so much memory"
    assert placed(THREE, model("m", 8, replicas=3))["m"].pinned
    assert placed(THREE, model("m", 8, macs=("alpha", "beta", "gamma")))["m"].pinned
    both = placed(THREE, model("m", 8), model("n", 8, replicas=1))
    assert not both["m"].pinned
    crowded = placed({"alpha": 48, "beta": 48}, model("m", 40), model("n", 30, replicas=1))
    assert (names(crowded["m"]), crowded["m"].pinned) == (["beta"], True), "alpha could hold it too, but for the other"


def test_slots_tell_models_apart_and_stay() -> None:
    models = [model(f"m{number}", 0.1) for number in range(SLOTS)]
    found = [placement.slot for placement in placed(THREE, *models).values()]
    assert sorted(found) == list(range(SLOTS))
    fewer = [placement.slot for placement in placed(THREE, *models[:20]).values()]
    assert fewer == found[:20]


# Groups


def test_a_group_is_one_mac_when_that_holds_it() -> None:
    small = shared("m", 40, LLAMA_70B, shape="group", engine="mlx", replicas=1)
    assert where(THREE, small) == {"m": ["alpha"]}


def test_a_group_is_the_smallest_that_holds_it() -> None:
    usable = {"alpha": 50, "beta": 50, "gamma": 50, "delta": 50}
    big = shared("m", 90, LLAMA_70B, shape="group", engine="mlx", replicas=1)
    # 45 GB and 2 of the engine on each of two.
    assert where(usable, big) == {"m": ["alpha+beta"]}
    bigger = shared("m", 140, LLAMA_70B, shape="group", engine="mlx", replicas=1)
    # Three Macs would hold it, but cannot share 8 KV heads; a pipeline of layers can be of three.
    assert where(usable, bigger) == {"m": ["alpha+beta+gamma+delta"]}
    layers = shared("m", 135, LLAMA_70B, shape="group", replicas=1)
    assert where(usable, layers) == {"m": ["alpha+beta+gamma"]}
    none = shared("m", 140, QWEN3_235B, shape="group", engine="mlx", replicas=1)
    assert where(usable, none) == {"m": []}


def test_a_group_of_exactly_so_many() -> None:
    usable = {"alpha": 50, "beta": 50, "gamma": 50, "delta": 50}
    two = shared("m", 10, LLAMA_70B, shape=2, engine="mlx")
    # Serve makes all replicas alike, and a ring has its Macs by name: there is one.
    assert where(usable, two) == {"m": ["alpha+beta"]}
    assert placed(usable, two)["m"].size == 2
    assert placed(usable, two)["m"].pinned
    assert where(usable, shared("m", 10, LLAMA_70B, shape=3, engine="mlx")) == {"m": []}
    assert where(usable, shared("m", 10, LLAMA_70B, shape=5)) == {"m": []}


def test_all_copies_are_groups_of_one_size() -> None:
    """One Mac would do for the first copy, but Serve starts all copies alike."""
    usable = {"alpha": 120, "beta": 60, "gamma": 60, "delta": 60}
    two = shared("m", 100, LLAMA_70B, shape="group", engine="vllm", replicas=2)
    assert where(usable, two) == {"m": ["alpha+beta", "gamma+delta"]}


def test_a_group_prefers_macs_that_are_cabled() -> None:
    usable = {"alpha": 60 * GB, "beta": 50 * GB, "gamma": 52 * GB, "delta": 50 * GB}
    two = shared("m", 90, LLAMA_70B, shape=2, engine="mlx", replicas=1)
    four = replace(two, shape=4)
    three = shared("m", 90, LLAMA_70B, shape=3, replicas=1)

    def grouped(model: Model, *cables: str) -> list[str]:
        pairs = {frozenset(cable.split("-")) for cable in cables}
        return names(place(fleet_of(usable, model), usable, {}, pairs)["m"])

    assert grouped(two) == ["alpha+gamma"]
    assert grouped(two, "beta-delta") == ["beta+delta"]
    assert grouped(two, "beta-delta", "alpha-beta") == ["alpha+beta"]
    # Three in a row are no ring: messages go round.
    assert grouped(three, "alpha-beta", "beta-delta") == ["alpha+beta+gamma"]
    assert grouped(three, "alpha-beta", "beta-delta", "delta-alpha") == ["alpha+beta+delta"]
    assert grouped(four, "alpha-beta") == ["alpha+beta+gamma+delta"]


def test_without_cables_a_group_prefers_the_bridge() -> None:
    usable = {"alpha": 60, "beta": 50, "gamma": 50}
    two = shared("m", 90, LLAMA_70B, shape=2, engine="mlx", replicas=1)
    beta = Mac("beta", "worker", "10.77.0.12", thunderbolt_ip="10.99.0.2")
    gamma = Mac("gamma", "worker", "10.77.0.13", thunderbolt_ip="10.99.0.3")
    assert where(usable, two, beta=beta) == {"m": ["alpha+beta"]}
    assert where(usable, two, beta=beta, gamma=gamma) == {"m": ["beta+gamma"]}


# What stays where it is

FLEET = (
    model("all", 4),
    model("one", 8, replicas=1),
    model("two", 3, replicas=2),
    shared("group", 60, LLAMA_70B, shape="group", engine="mlx", replicas=1),
)
MACS = {"alpha": 48, "beta": 24, "gamma": 48}


def test_a_mac_at_the_end_moves_nothing() -> None:
    before = where(MACS, *FLEET)
    for size in (10, 48, 400, None):
        after = where(MACS | {"delta": size}, *FLEET, before=kept(before))
        assert {name: copies[: len(before[name])] for name, copies in after.items()} == before
        assert after["all"] == [*before["all"], "delta"]
    # Without what was before, the large Mac would take the largest model.
    assert where(MACS | {"delta": 400}, *FLEET) != after


def test_a_new_model_moves_nothing() -> None:
    before = where(MACS, *FLEET)
    after = where(MACS, *FLEET, model("new", 9, replicas=1), before=kept(before))
    assert {name: after[name] for name in before} == before
    assert after["new"]


def test_what_does_not_fit_any_more_moves_alone() -> None:
    before = {"a": [["beta"]], "b": [["beta"]], "c": [["gone"]]}
    models = [model(name, size, replicas=1) for name, size in (("a", 20), ("b", 8), ("c", 1))]
    assert where(MACS, *models, before=before) == {"a": ["beta"], "b": ["alpha"], "c": ["gamma"]}


def test_a_model_that_may_run_elsewhere_only_moves() -> None:
    before = {"m": [["beta"]]}
    assert where(MACS, model("m", 4, replicas=1, macs=("gamma",)), before=before) == {"m": ["gamma"]}


def test_fewer_replicas_keep_the_first() -> None:
    before = {"m": [["beta"], ["gamma"], ["alpha"]]}
    assert where(MACS, model("m", 4, replicas=2), before=before) == {"m": ["beta", "gamma"]}


def test_all_is_placed_anew_when_only_that_makes_room() -> None:
    before = {"small": [["alpha"]]}
    models = (model("small", 8, replicas=1), model("large", 45, replicas=2))
    assert where(MACS, *models, before=before) == {"small": ["beta"], "large": ["alpha", "gamma"]}


def test_a_group_stays_a_group_when_a_large_mac_comes() -> None:
    before = {"group": [["alpha", "gamma"]]}
    assert where(MACS | {"delta": 400}, FLEET[3], before=before) == {"group": ["alpha+gamma"]}
    # Its shape says otherwise now.
    other = shared("group", 60, LLAMA_70B, engine="mlx", replicas=1)
    assert where(MACS | {"delta": 400}, other, before=before) == {"group": ["delta"]}


@pytest.mark.parametrize(
    "before", [{"m": [[]]}, {"m": [["nobody"]]}, {"x": [["alpha"]]}, {"m": [["alpha"], ["alpha"]]}]
)
def test_what_was_placed_strangely_does_not_matter(before: Before) -> None:
    assert where(MACS, model("m", 4, replicas=1), before=before) == {"m": ["alpha"]}
