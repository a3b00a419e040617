"""What the health check says of what was observed: each check well, and each check wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.firewall import Filter, make_rules
from fleet.health import Check, cluster_checks, evaluate, lacks
from fleet.macfacts import MacFacts
from fleet.plan import make_plan
from fleet.seen import Answer, Cluster, Contents, Deployed, Job, MacHealth
from fleet.settings import Application, Fleet

FACTS = MacFacts.parse("")
GB = 10**9
ROOM = replace(FACTS, disk_free_bytes=50 * GB, disk_total_bytes=100 * GB, clock_epoch=1000)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Project(tmp_path).load()


def well(fleet: Fleet) -> dict[str, MacHealth]:
    """Every Mac as it should be."""
    resolves = {mac.host_name: mac.node_ip for mac in fleet.macs if mac.host_name}
    model = fleet.models[0]
    return {
        mac.name: MacHealth(
            facts=ROOM,
            jobs=tuple(
                Job(f"io.raylab.{job}", 100, 60.0)
                for job in (*(("store", "ray", "serve") if mac.is_head else ("ray",)), "gateway")
            ),
            versions={"python": "3.12.11", "ray": "2.59.0", "vllm": "0.27.1"},
            resolves=resolves,
            weights=frozenset({model.path}),
            memory_free_bytes=8 * GB,
            answer=Answer((model.id,), {model.id: 4}, 0.2, days=400),
            door_current=True,
            filter=Filter(True, True, True, frozenset({make_rules(fleet, mac).digest}), True, True),
        )
        for mac in fleet.macs
    }


def cluster(fleet: Fleet) -> Cluster:
    """Ray and Serve as they should be."""
    return Cluster(
        nodes={mac.node_ip: {"mlx": 64.0} for mac in fleet.macs},
        applications={"llm": Deployed("RUNNING", len(fleet.macs)), "model:tiny": Deployed("RUNNING", len(fleet.macs))},
    )


def wrong(fleet: Fleet, macs: dict[str, MacHealth], seen: Cluster | None) -> list[Check]:
    return [check for check in evaluate(fleet, make_plan(fleet, {}), macs, seen) if not check.ok]


def test_a_well_fleet_has_no_wrong_check(fleet: Fleet) -> None:
    assert wrong(fleet, well(fleet), cluster(fleet)) == []
    names = {check.name for check in evaluate(fleet, make_plan(fleet, {}), well(fleet), cluster(fleet))}
    assert names == {
        "Ray nodes",
        "Serve",
        "jobs",
        "names",
        "weights",
        "disk",
        "memory",
        "firewall",
        "generation",
        "certificate",
        "versions",
        "clocks",
        "power",
        "door",
    }


DOOR = Job("io.raylab.gateway", 9, 60.0)
MAC_FAULTS = {
    "power, sleep": ({"facts": replace(ROOM, sleep=10)}, "it sleeps after 10 minutes"),
    "power, cut": ({"facts": replace(ROOM, sleep=0, autorestart=0)}, "it stays off after a power cut"),
    "door": ({"door_current": False}, "it has other keys or settings than this machine"),
    "jobs": ({"jobs": (Job("io.raylab.ray", None, 0, "78: EX_CONFIG"), DOOR)}, "io.raylab.ray does not run"),
    "jobs, restarting": ({"jobs": (Job("io.raylab.ray", 7, 3.0), DOOR)}, "has run for only 3 s"),
    "names": ({"resolves": {}}, "resolves to nothing instead of 10.77.0.1"),
    "weights": ({"weights": frozenset()}, "missing: "),
    "memory": ({"memory_free_bytes": GB // 2}, "0.5 GB free"),
    "generation": ({"answer": Answer(error="http://10.77.0.12:8000/v1: refused")}, "refused"),
    "generation, on itself": ({"own": {"tiny": "HTTP 500: no"}}, "asked on the Mac itself, tiny: HTTP 500: no"),
    "certificate": ({"answer": Answer(("tiny",), {"tiny": 4}, 0.2, days=20)}, "holds for 20 more days"),
    "firewall": ({"filter": Filter(evaluated=True, lasting=True)}, "pf is off, so strangers reach every port"),
    "versions": ({"versions": {"python": "3.12.10", "ray": "2.59.0", "vllm": "0.27.1"}}, "beta: 3.12.10"),
    "disk": ({"facts": replace(FACTS, disk_free_bytes=GB, disk_total_bytes=100 * GB, clock_epoch=1000)}, "1 of 100"),
    "clocks, behind": (
        {"facts": replace(FACTS, disk_free_bytes=GB, disk_total_bytes=GB, clock_epoch=940)},
        "60 s behind the others'",
    ),
    "clocks": (
        {"facts": replace(FACTS, disk_free_bytes=GB, disk_total_bytes=GB, clock_epoch=1060)},
        "60 s ahead of the others'",
    ),
}


@pytest.mark.parametrize("fault", MAC_FAULTS)
def test_a_fault_of_one_mac_is_one_wrong_check(fleet: Fleet, fault: str) -> None:
    change, words = MAC_FAULTS[fault]
    macs = well(fleet)
    macs["beta"] = replace(macs["beta"], **change)  # type: ignore[arg-type]
    found = wrong(fleet, macs, cluster(fleet))
    assert [check.name for check in found] == [fault.partition(",")[0]]
    assert words in found[0].found
    assert found[0].fix


def test_a_mac_that_is_not_in_the_cluster_and_a_stranger_that_is(fleet: Fleet) -> None:
    seen = cluster(fleet)
    nodes = {**seen.nodes, "10.77.0.99": {"mlx": 64.0}}
    del nodes["10.77.0.13"]
    found = wrong(fleet, well(fleet), replace(seen, nodes=nodes))
    assert [check.name for check in found] == ["Ray nodes"]
    assert "gamma (10.77.0.13) is not in the cluster" in found[0].found
    assert "10.77.0.99 is no Mac of the inventory" in found[0].found


def test_missing_replicas_and_entries(fleet: Fleet) -> None:
    seen = {"llm": Deployed("UNHEALTHY", 2), "model:tiny": Deployed("DEPLOY_FAILED", 0, "no such file")}
    found = wrong(fleet, well(fleet), replace(cluster(fleet), applications=seen))
    assert [(check.name, check.found) for check in found] == [
        ("Serve", "tiny: 0 of 3 replicas, DEPLOY_FAILED: no such file; entry: 2 of 3 Macs take requests, UNHEALTHY")
    ]


def test_a_config_that_was_not_applied(fleet: Fleet) -> None:
    found = wrong(fleet, well(fleet), replace(cluster(fleet), applications={}))
    assert [check.found for check in found] == [
        "tiny: 0 of 3 replicas, not applied; entry: 0 of 3 Macs take requests, not applied"
    ]


def test_what_serve_has_of_each_model(fleet: Fleet) -> None:
    (check,) = [check for check in cluster_checks(fleet, make_plan(fleet, {}), cluster(fleet)) if check.name == "Serve"]
    assert (check.ok, check.found) == (True, "tiny × 3")
    (none,) = [
        check
        for check in cluster_checks(replace(fleet, models=()), make_plan(replace(fleet, models=()), {}), cluster(fleet))
        if check.name == "Serve"
    ]
    assert (none.ok, none.found) == (True, "no models")


def test_the_users_own_applications_are_judged_too(fleet: Fleet) -> None:
    own = replace(fleet, applications=(Application("rerank", "/rerank", "rerank:app"),))
    seen = cluster(own)
    assert [check.found for check in wrong(own, well(own), seen)] == ["rerank: not applied"]
    failed = {**seen.applications, "rerank": Deployed("DEPLOY_FAILED", 0, "No module named 'torch'")}
    (check,) = wrong(own, well(own), replace(seen, applications=failed))
    assert (check.name, check.found) == ("Serve", "rerank: DEPLOY_FAILED: No module named 'torch'")
    right = replace(seen, applications={**seen.applications, "rerank": Deployed("RUNNING", 2)})
    assert wrong(own, well(own), right) == []
    assert "tiny × 3, rerank" in {check.found for check in cluster_checks(own, make_plan(own, {}), right)}


def test_what_is_lacking_and_what_of_it_has_failed(fleet: Fleet) -> None:
    own = replace(fleet, applications=(Application("rerank", "/rerank", "rerank:app"),))
    seen = cluster(own)
    nodes = {ip: resources for ip, resources in seen.nodes.items() if ip != "10.77.0.13"}
    applications = {
        "llm": Deployed("RUNNING", 2),
        "model:tiny": Deployed("DEPLOYING", 2),
        "rerank": Deployed("DEPLOY_FAILED"),
    }
    found = replace(seen, nodes=nodes, applications=applications)
    assert [(lack.name, lack.failed) for lack in lacks(own, make_plan(own, {}), found)] == [
        ("Ray nodes", False),
        ("tiny", False),
        ("entry", False),
        ("rerank", True),
    ]
    # A Mac that may be missing leaves the rest to be asked for.
    without = lacks(own, make_plan(own, {}), found, frozenset({"gamma"}))
    assert [lack.name for lack in without] == ["tiny", "rerank"]
    assert [str(lack) for lack in lacks(own, make_plan(own, {}), Cluster(error="refused"))] == ["Ray nodes: refused"]


def test_a_head_that_does_not_answer(fleet: Fleet) -> None:
    found = wrong(fleet, well(fleet), Cluster(error="connection refused"))
    assert [(check.name, check.found) for check in found] == [("Ray nodes", "connection refused")]


def test_without_the_head_the_cluster_is_not_judged(fleet: Fleet) -> None:
    macs = {"beta": well(fleet)["beta"]}
    assert wrong(fleet, macs, None) == []


A, B = ("a" * 64, "b" * 64)
FOLDER = Contents("weights of tiny", "/opt/raylab/weights/tiny/1a", {"x": A, "y": B}, 2 * GB, {"x": A, "y": B, "z": A})


def reread(fleet: Fleet, *folders: Contents) -> list[Check]:
    """The checks of files that were read again on one of the Macs."""
    macs = well(fleet)
    macs["beta"] = replace(macs["beta"], contents=folders)
    checks = evaluate(fleet, make_plan(fleet, {}), macs, cluster(fleet))
    assert {check.name for check in checks if not check.ok} <= {"contents"}
    return [check for check in checks if check.name == "contents"]


def test_files_that_are_what_they_were(fleet: Fleet) -> None:
    [check] = reread(fleet, FOLDER)
    assert (check.ok, check.mac) == (True, "beta")
    assert check.found == "weights of tiny: 2 files, 2.0 GB, are what they were"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"x": B, "y": B}, "damaged: x"),
        ({"y": B}, "missing or not to be read: x"),
        ({"y": A}, "damaged: y; missing or not to be read: x"),
        ({}, "missing or not to be read: x, y"),
    ],
)
def test_every_damaged_or_missing_file_is_named(fleet: Fleet, found: dict[str, str], words: str) -> None:
    good, bad = reread(fleet, replace(FOLDER, title="wheels of release 5e"), replace(FOLDER, found=found))
    assert (good.ok, bad.ok) == (True, False)
    assert bad.found == f"weights of tiny: {words}"
    assert bad.fix.startswith("pyinfra INVENTORY deploy/cluster.py --data deep=1")


def test_a_folder_without_a_manifest_is_wrong(fleet: Fleet) -> None:
    [check] = reread(fleet, replace(FOLDER, files=None))
    assert not check.ok
    assert "no manifest" in check.found


def test_macs_in_two_clusters_are_told_as_such_and_not_what_each_of_them_lacks(fleet: Fleet) -> None:
    between = "beta in the Ray cluster of alpha, port 6879"
    checks = evaluate(fleet, make_plan(fleet, {}), well(fleet), Cluster(error="no answer"), between=between)
    [check] = [check for check in checks if not check.ok]
    assert (check.name, check.found) == ("Ray cluster", between)
    assert "deploy/upgrade.py" in check.fix


def test_a_head_that_gives_no_answer_says_what_does_not_heal_meanwhile(fleet: Fleet) -> None:
    seen = {name: mac for name, mac in well(fleet).items() if name != "alpha"}
    checks = evaluate(fleet, make_plan(fleet, {}), seen, None, ["alpha"])
    [check] = [check for check in checks if not check.ok]
    assert (check.name, check.mac) == ("reachable", "alpha")
    assert "the others serve on by themselves, but nothing heals" in check.found
    assert check.fix.endswith("make another Mac the head")
