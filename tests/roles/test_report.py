"""What a Mac's own report becomes."""

from __future__ import annotations

import json

from fleet.health import Cluster, Deployed
from roles.report import NodeReport, Report

HEAD = {
    "python": "3.12.11",
    "versions": {"ray": "2.59.0", "vllm": "0.27.1"},
    "resolves": {"alpha": "10.77.0.11"},
    "memory_free": 123,
    "head": {
        "nodes": [
            {"ip": "10.77.0.11", "state": "ALIVE", "resources": {"mlx": 1.0}},
            {"ip": "10.77.0.12", "state": "DEAD", "resources": {"mlx": 1.0}},
        ],
        "applications": {
            "model:tiny": {
                "status": "UNHEALTHY",
                "message": "one is missing",
                "deployments": {"LLMServer:tiny": {"replicas": [{"state": "RUNNING"}, {"state": "STARTING"}]}},
            }
        },
        "error": "",
    },
}


def test_the_head_s_report() -> None:
    report = NodeReport().process(["a warning of some library", json.dumps(HEAD)])
    assert report.versions == {"python": "3.12.11", "ray": "2.59.0", "vllm": "0.27.1"}
    assert report.cluster == Cluster(
        nodes={"10.77.0.11": {"mlx": 1.0}},
        applications={"model:tiny": Deployed("UNHEALTHY", 1, "one is missing")},
    )


def test_a_worker_s_report_has_no_cluster() -> None:
    worker = {key: value for key, value in HEAD.items() if key != "head"}
    assert NodeReport().process([json.dumps(worker)]).cluster is None


def test_a_mac_without_a_release_reports_nothing() -> None:
    assert NodeReport().process(["{}"]) == Report()


def test_the_command_never_fails_and_quotes_names() -> None:
    command = NodeReport().command(release_id="abc", names=("alpha", "b c"), dashboard="")
    assert command.endswith("|| echo '{}'")
    assert "--resolve alpha 'b c'" in command
    assert "--head" not in command
