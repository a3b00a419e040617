"""The plan as far as Serve was told of it."""

from __future__ import annotations

import pytest
import yaml
from test_fleet_plan import MEMORY, big, fleet_of

from fleet.plan import Plan, make_plan
from fleet.seen import Cluster
from fleet.serve import serve_config
from fleet.told import applications, as_told
from fleet.upgrade import missing_on

ALL = "alpha beta gamma"


def plan_of(settings: dict[str, object], names: str = ALL) -> Plan:
    model = big("m0", 4, **{key: tuple(value) if key == "macs" else value for key, value in settings.items()})
    return make_plan(fleet_of(model, macs=tuple(names.split())), MEMORY)


@pytest.mark.parametrize(
    ("told", "wanted", "copies"),
    [
        ({"replicas": "all"}, {"replicas": "all"}, [ALL, 3]),
        # It shall have more copies, fewer, or others.
        ({"replicas": 1, "macs": ["beta"]}, {"replicas": "all"}, ["beta", 1]),
        ({"replicas": 2, "macs": ["alpha", "gamma"]}, {"replicas": 1, "macs": ["alpha"]}, ["alpha gamma", 2]),
        ({"replicas": 1, "macs": ["gamma"]}, {"replicas": 1, "macs": ["alpha"]}, ["gamma", 1]),
        ({"replicas": {"min": 1, "max": 3}}, {"replicas": {"min": 1, "max": 3}}, [ALL, 1]),
        # A group, which was none before; and one of other Macs.
        (
            {"replicas": 1, "shape": 2, "engine": "mlx"},
            {"replicas": 1, "shape": 2, "engine": "mlx"},
            ["alpha gamma", 1],
        ),
        ({"replicas": 1, "macs": ["beta"]}, {"replicas": 1, "shape": 2, "engine": "mlx"}, ["beta", 1]),
        (
            {"replicas": 1, "shape": 2, "engine": "mlx", "macs": ["beta", "gamma"]},
            {"replicas": 1, "shape": 2, "engine": "mlx", "macs": ["alpha", "beta"]},
            ["", 0],
        ),
    ],
)
def test_a_copy_is_where_serve_was_told_to_have_it(
    told: dict[str, object], wanted: dict[str, object], copies: list[object]
) -> None:
    before, after = plan_of(told), plan_of(wanted)
    config = yaml.safe_dump(serve_config(before.fleet, before))
    found = as_told(after, applications(config)).placements["m0"]
    assert [" ".join(sorted(mac.name for mac in found.macs)), found.minimum] == copies


def test_what_serve_was_not_told_of_is_nowhere() -> None:
    plan = plan_of({"replicas": "all"})
    told = as_told(plan, {})
    assert (told.placements["m0"].copies, told.placements["m0"].minimum) == ((), 0)
    # Without any model there is nothing that takes requests in.
    beta = plan.fleet.mac("beta")
    assert missing_on(told, beta, Cluster({}, {}, ids={beta.node_ip: "new"})) == []
    assert [lack.name for lack in missing_on(plan, beta, Cluster({}, {}, ids={beta.node_ip: "new"}))] == ["m0", "entry"]


def test_a_group_is_told_by_its_macs_in_whatever_order() -> None:
    plan = plan_of({"replicas": 1, "shape": 2, "engine": "mlx", "macs": ["beta", "gamma"]})
    config = serve_config(plan.fleet, plan)
    config["applications"][1]["args"]["experimental_configs"]["macs"].reverse()
    [copy] = as_told(plan, applications(yaml.safe_dump(config))).placements["m0"].copies
    assert {mac.name for mac in copy} == {"beta", "gamma"}


def test_a_mac_that_has_left_the_fleet_holds_nothing() -> None:
    """It died, its line is gone, and the plan has another place already."""
    before, after = plan_of({"replicas": 2, "macs": ["beta", "gamma"]}), plan_of({"replicas": 2}, "alpha beta")
    config = applications(yaml.safe_dump(serve_config(before.fleet, before)))
    assert [mac.name for mac in after.placements["m0"].macs] == ["alpha", "beta"]
    found = as_told(after, config).placements["m0"]
    assert ([mac.name for mac in found.macs], found.minimum) == (["beta"], 1)


def test_a_head_without_a_config_has_told_of_nothing() -> None:
    assert applications("") == {}
