"""What an upgrade changes, and whom it interrupts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_fleet_plan import MEMORY, big, fleet_of

from fleet.lockfile import LockedFile, LockedWheel
from fleet.plan import Plan, make_plan
from fleet.release import Release
from fleet.seen import Cluster, Deployed
from fleet.upgrade import (
    Change,
    Running,
    alone,
    batches,
    change,
    differences,
    due_on,
    halved,
    interrupted,
    order,
    pace,
    packages,
    scaled,
)

RAY = "io.raylab.ray"
SUM = "a" * 64


def release(name: str, python: str = "3.11.9", **wheels: str) -> Release:
    conda = (LockedFile(f"python-{python}-h123_0.conda", "", SUM),)
    return Release(
        id=name,
        platform="linux-64",
        python=python,
        versions={},
        conda=conda,
        wheels=tuple(LockedWheel(wheel, version, (SUM,)) for wheel, version in wheels.items()),
        tools=(),
    )


def changed(wanted: Release, now: Running, digests: dict[str, str]) -> Change:
    """What becomes of the head of a fleet that wants this release."""
    fleet = fleet_of()
    return change(replace(fleet, releases={fleet.head.locks: wanted}), fleet.head, now, digests)


def running(name: str, digest: str = "old", **versions: str) -> Running:
    return Running(name, {RAY: digest}, {"python": "3.11.9", **versions})


def test_a_mac_without_ray_joins_without_a_turn() -> None:
    found = changed(release("new"), Running(), {RAY: "new"})
    assert (found.rolls, found.what) == (False, "joins with release new")


def test_a_mac_whose_ray_an_interrupted_turn_has_ended_has_its_turn() -> None:
    assert changed(release("new"), Running(draining=True), {RAY: "new"}).rolls


def test_a_mac_whose_jobs_are_as_wanted_is_left_alone() -> None:
    found = changed(release("new"), running("new", "same"), {RAY: "same"})
    assert (found.restarts, found.rolls) == (False, False)


def test_a_job_that_is_not_loaded_is_a_change() -> None:
    digests = {RAY: "same", "io.raylab.store": "any"}
    assert changed(release("new"), running("new", "same"), digests).rolls


def test_settings_alone_are_told_as_such() -> None:
    found = changed(release("one"), running("one"), {RAY: "new"})
    assert (found.rolls, found.what) == (True, "release one, started with other settings")


def test_new_wheels_are_told_by_name() -> None:
    wanted = release("new", ray="2.59.0", idna="3.11", six="1.17")
    found = changed(wanted, running("old", ray="2.59.0", idna="3.10", toml="0.1"), {RAY: "new"})
    assert found.what == "release old → new: idna 3.10 → 3.11; + six 1.17; - toml 0.1"


def test_versions_come_from_the_names_of_packages_and_wheels() -> None:
    files = ["python-3.11.9-h1_0.conda", "Ray_Serve-2.59.0-py3-none-any.whl", "wheels.lock"]
    assert packages(files) == {"python": "3.11.9", "ray-serve": "2.59.0"}


def test_a_build_of_the_same_version_is_no_difference() -> None:
    assert differences({"torch": "2.9.0"}, {"torch": "2.9.0+cpu"}) == []


def test_many_differences_are_counted() -> None:
    after = {f"p{number:02}": "1" for number in range(20)}
    assert differences({}, after)[5:] == ["+ p05 1", "14 more"]


def test_the_head_comes_last_and_alone() -> None:
    made = fleet_of(macs=("alpha", "beta", "gamma", "delta"))
    parts = [[mac.name for mac in batch] for batch in batches(order(made), 2)]
    assert parts == [["beta", "gamma"], ["delta"], ["alpha"]]


def test_the_head_of_a_cluster_that_is_left_comes_after_the_new_one() -> None:
    made = fleet_of(macs=("alpha", "beta", "gamma", "delta")).led_by(fleet_of().mac("beta"))
    left = {made.mac("alpha").node_ip}
    parts = [[mac.name for mac in batch] for batch in batches(order(made, left), 2, left)]
    assert parts == [["gamma", "delta"], ["beta"], ["alpha"]]


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({"replicas": "all"}, []),
        ({"replicas": 2}, ["m0"]),
        ({"replicas": {"min": 1, "max": 3}}, ["m0"]),
        ({"replicas": 1, "shape": 2, "engine": "mlx"}, ["m0"]),
    ],
)
def test_what_one_of_two_clusters_may_lack(settings: dict[str, object], lacking: list[str]) -> None:
    assert halved(plan_of(settings)) == lacking


@pytest.mark.parametrize(
    ("replicas", "told"), [("all", []), (2, []), ({"min": 1, "max": 3}, ["m0"]), ({"min": 2, "max": 2}, [])]
)
def test_whose_copies_come_and_go(replicas: object, told: list[str]) -> None:
    assert scaled(plan_of({"replicas": replicas})) == told


def plan_of(*settings: dict[str, object]) -> Plan:
    return make_plan(fleet_of(*(big(f"m{at}", 4, **each) for at, each in enumerate(settings))), MEMORY)


@pytest.mark.parametrize(
    ("settings", "batch", "unserved"),
    [
        ({"replicas": "all"}, ["beta"], []),
        ({"replicas": "all"}, ["alpha", "beta", "gamma"], ["m0"]),
        ({"replicas": 2}, ["alpha"], []),
        ({"replicas": 1}, ["alpha"], ["m0"]),
        ({"replicas": 1}, ["beta"], []),
        # Nobody knows on which of the two it runs.
        ({"replicas": {"min": 1, "max": 2}}, ["alpha"], ["m0"]),
        ({"replicas": {"min": 2, "max": 3}}, ["alpha"], []),
        ({"replicas": 1, "shape": 2, "engine": "mlx"}, ["alpha"], ["m0"]),
    ],
)
def test_who_is_interrupted(settings: dict[str, object], batch: list[str], unserved: list[str]) -> None:
    plan = plan_of(settings)
    assert interrupted(plan, [plan.fleet.mac(name) for name in batch]) == unserved


def serving(plan: Plan, model: str = "", entry: str = "", nodes: str = "") -> Cluster:
    """A cluster with copies of the model m0, and entries, on these Macs."""

    def at(names: str) -> frozenset[str]:
        return frozenset(plan.fleet.mac(name).node_ip for name in names.split())

    found = {"model:m0": Deployed("RUNNING", places=at(model)), "llm": Deployed(places=at(entry))}
    return Cluster({ip: {} for ip in at(nodes)}, found)


@pytest.mark.parametrize(
    ("settings", "model", "entry", "unserved"),
    [
        ({"replicas": "all"}, "alpha beta gamma", "alpha beta", []),
        # The others have not loaded it, or have failed since.
        ({"replicas": "all"}, "alpha", "alpha beta", ["m0"]),
        ({"replicas": "all"}, "alpha beta", "alpha", ["llm"]),
        # Nobody has it now: nothing is taken away.
        ({"replicas": "all"}, "", "alpha beta", []),
        ({"replicas": "all"}, "beta", "beta", []),
        # A person has agreed to that.
        ({"replicas": 1}, "alpha", "alpha beta", []),
    ],
)
def test_what_alpha_alone_serves_at_this_moment(
    settings: dict[str, object], model: str, entry: str, unserved: list[str]
) -> None:
    plan = plan_of(settings)
    assert alone(plan, [plan.fleet.mac("alpha")], [serving(plan, model, entry)]) == unserved


def test_macs_in_the_other_cluster_serve_too() -> None:
    plan = plan_of({"replicas": "all"})
    alpha = [plan.fleet.mac("alpha")]
    left, coming = serving(plan, "alpha", "alpha"), serving(plan, "beta gamma", "beta gamma")
    assert alone(plan, alpha, [left]) == ["m0", "llm"]
    assert alone(plan, alpha, [coming, left]) == []


def test_a_group_is_due_when_all_its_macs_are_in_the_cluster() -> None:
    plan = plan_of({"replicas": 1, "shape": 2, "engine": "mlx"})
    [[one, other]] = plan.placements["m0"].copies
    assert due_on(plan, one, serving(plan, nodes=one.name)) == []
    assert due_on(plan, one, serving(plan, nodes=f"{one.name} {other.name}")) == ["m0"]
    [third] = set(plan.fleet.macs) - {one, other}
    assert due_on(plan, third, serving(plan, nodes="alpha beta gamma")) == []


@pytest.mark.parametrize(
    ("seconds", "elsewhere", "earlier", "slow"),
    [
        (3.1, [1.0, 9.0], [], True),
        (2.9, [1.0, 9.0], [], False),
        # An older Mac was never as fast as the others.
        (3.1, [0.3], [2.0], False),
        (7.0, [0.3], [2.0], True),
        # Nobody minds less than two seconds.
        (1.9, [0.1], [0.1], False),
        # A fleet of one has only its own past, and a Mac that is new not even that.
        (3.1, [], [1.0], True),
        (99.0, [], [], False),
    ],
)
def test_a_mac_that_has_become_slow(seconds: float, elsewhere: list[float], earlier: list[float], slow: bool) -> None:
    assert pace(seconds, elsewhere, earlier)[0] is slow


def test_the_pace_is_told_beside_what_it_is_held_against() -> None:
    told = "answers on it in 0.4 s, 0.3 s elsewhere, 0.5 s on it before"
    assert pace(0.4, [0.9, 0.3], [0.5]) == (False, told)
