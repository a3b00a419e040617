"""The drill: what forbids it, what is missing after a restart, and what is told at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleet_project import Project

from fleet.drill import GENERATION, RAY, SSH, STEPS, Turn, advice, cautions, not_back, obstacles, order, silent, table
from fleet.macfacts import MacFacts
from fleet.plan import Plan, make_plan
from fleet.seen import Answer, Cluster, Deployed

FACTS = replace(MacFacts.parse(""), filevault=False)
MACS = ("alpha", "beta", "gamma")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(Project(tmp_path).load(), {})


def cluster(plan: Plan, **changed: str) -> Cluster:
    """All as it should be; `changed` names Macs whose node is another one, or gone when empty."""
    nodes = {mac.node_ip: changed.get(mac.name, f"first-{mac.name}") for mac in plan.fleet.macs}
    alive = {address: node for address, node in nodes.items() if node}
    deployed = Deployed("RUNNING", len(alive))
    return Cluster(
        nodes={address: {"mlx": 64.0} for address in alive},
        applications={"llm": deployed, "model:tiny": deployed},
        ids=alive,
    )


def forbidden(plan: Plan, **given: Any) -> list[str]:  # noqa: ANN401 (as obstacles takes them)
    """The obstacles of a fleet that is well, but for what is given."""
    told: dict[str, Any] = {
        "asked": MACS,
        "facts": dict.fromkeys(MACS, FACTS),
        "sessions": {name: f"session-{name}" for name in MACS},
        "here": "",
        "cluster": cluster(plan),
        **given,
    }
    return list(obstacles(plan, **told))


def test_the_head_is_the_last_one(plan: Plan) -> None:
    assert [mac.name for mac in order(plan.fleet)] == ["beta", "gamma", "alpha"]


def test_a_fleet_that_is_well_may_be_restarted(plan: Plan) -> None:
    assert forbidden(plan) == []
    assert list(cautions(plan, MACS, dict.fromkeys(MACS, FACTS))) == []


def test_a_mac_with_filevault_would_not_come_back_by_itself(plan: Plan) -> None:
    facts = dict.fromkeys(MACS, FACTS) | {"beta": replace(FACTS, filevault=True)}
    [line] = forbidden(plan, facts=facts)
    assert line.startswith("beta: FileVault is on: it would wait for a password at its screen")
    assert "--data filevault=1" in line
    # Somebody will be there; or beta is not asked to.
    assert forbidden(plan, facts=facts, accepted=["filevault"]) == []
    assert forbidden(plan, facts=facts, asked=["gamma"]) == []
    [caution] = cautions(plan, MACS, facts)
    assert caution.startswith("beta: FileVault is on: unlock it")
    [caution] = cautions(plan, ["beta"], {"beta": replace(FACTS, filevault=None)})
    assert "does not say whether FileVault is on" in caution


OTHERS: Mapping[str, tuple[dict[str, Any], str]] = {
    "this run's own Mac": ({"here": "session-gamma"}, "gamma: this run is on it"),
    "a Mac that gave no answer": ({"facts": dict.fromkeys(("alpha", "beta"), FACTS)}, "gamma: it does not say"),
    "a Mac that cannot tell its starts apart": (
        {"sessions": {"alpha": "a", "beta": "", "gamma": "g"}},
        "beta: it does not say when it started",
    ),
    "Ray that says nothing": ({"cluster": Cluster(error="refused")}, "Ray nodes: refused. A drill begins"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_else_forbids_it(plan: Plan, what: str) -> None:
    given, told = OTHERS[what]
    [line] = forbidden(plan, **given)
    assert line.startswith(told)


def test_every_obstacle_is_told_at_once(plan: Plan) -> None:
    lines = forbidden(plan, here="session-alpha", cluster=replace(cluster(plan, beta=""), ids={}))
    assert [line.split(":")[0] for line in lines] == ["alpha", "Ray nodes", "Serve", "alpha"]
    assert "deploy/cluster.py" in lines[-1]


def test_the_only_mac_asks_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("inventory/lab.py", 'head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]\nworkers = []\n')
    plan = make_plan(project.load(), {})
    [line] = forbidden(plan, asked=["alpha"])
    assert line.endswith("nobody is served. If so, add --data yes=1.")
    assert forbidden(plan, asked=["alpha"], accepted=["yes"]) == []
    [caution] = cautions(plan, ["alpha"], {"alpha": FACTS})
    assert caution == "alpha: while it restarts, nobody is served tiny, which no other Mac holds."


def test_without_a_model_nothing_could_be_shown(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("inventory/group_data/all.py", 'platform = "linux-64"\nsecrets = "secrets"\n')
    [line] = forbidden(make_plan(project.load(), {}))
    assert line.startswith("There are no models")


def test_what_is_missing_after_a_restart(plan: Plan) -> None:
    turn = Turn(plan.fleet.mac("beta"), "first-beta", 0.0)
    assert not_back(plan, turn, Cluster(error="refused")) == (RAY, "refused")
    # The old node may look alive for a while, with every copy on it.
    assert not_back(plan, turn, cluster(plan))[0] == RAY
    assert not_back(plan, turn, cluster(plan, beta=""))[0] == RAY
    joined = cluster(plan, beta="second-beta")
    loading = replace(joined, applications=joined.applications | {"model:tiny": Deployed("DEPLOYING", 2)})
    step, missing = not_back(plan, turn, loading)
    assert (step, missing) == (GENERATION, "Serve: tiny: 2 of 3 replicas, DEPLOYING")
    assert not_back(plan, turn, joined) == ("", "")


def test_every_model_must_generate(plan: Plan) -> None:
    assert silent(plan.fleet, Answer(("tiny",), {"tiny": 4})) == ""
    assert silent(plan.fleet, Answer(("tiny",), {})) == "no answer of tiny"
    assert silent(plan.fleet, Answer(error="http://…: refused")) == "http://…: refused"


def test_the_table_and_what_to_do(plan: Plan) -> None:
    beta, gamma = (Turn(plan.fleet.mac(name), "", 0.0) for name in ("beta", "gamma"))
    beta.seconds = {SSH: 24.4, RAY: 51.0, GENERATION: 188.0}
    gamma.seconds = {SSH: 26.0}
    assert table([beta, gamma]) == [
        "Mac    SSH back  Ray joined  generation  logged in at its screen",
        "beta   24 s      51 s        188 s       nobody",
        "gamma  26 s      -           -           -",
    ]
    assert (beta.missing, gamma.missing) == ("", RAY)
    beta.console = ("admin",)
    assert table([beta])[1].endswith("188 s       admin")
    # Each step has advice of its own, which names the Mac.
    gamma.restarts = True
    told = {advice(replace(gamma, seconds=dict.fromkeys(STEPS[:number], 1.0))) for number in range(len(STEPS))}
    assert len(told) == len(STEPS)
    assert all(line.startswith("gamma did not get to") for line in told)
    assert advice(replace(gamma, restarts=False)).startswith("gamma was not restarted")
