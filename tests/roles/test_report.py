"""What a Mac's own report becomes."""

from __future__ import annotations

import json

import pytest
from bsd_shell import BsdShell

from fleet.layout import NEXT_RAY_LABEL, RAY_LABEL
from fleet.seen import Cluster, Deployed
from roles.report import NodeReport, Report, cluster

REPLICAS = [{"node": "a1", "state": "RUNNING"}, {"node": None, "state": "STARTING"}]
HEAD = {
    "python": "3.12.11",
    "versions": {"ray": "2.59.0", "vllm": "0.27.1"},
    "resolves": {"alpha": "10.77.0.11"},
    "memory_free": 123,
    "head": {
        "nodes": [
            {"id": "a1", "ip": "10.77.0.11", "state": "ALIVE", "resources": {"mlx": 1.0}},
            {"id": "b2", "ip": "10.77.0.12", "state": "DEAD", "resources": {"mlx": 1.0}},
        ],
        "applications": {
            "model:tiny": {
                "status": "UNHEALTHY",
                "message": "one is missing",
                "deployments": {"LLMServer:tiny": {"target": 2, "replicas": REPLICAS}},
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
        ids={"10.77.0.11": "a1"},
    )


def test_a_replica_of_a_mac_that_went_down_does_not_run_whatever_serve_says() -> None:
    nodes = [
        {"ip": "10.77.0.11", "id": "a2", "state": "ALIVE", "resources": {"mlx": 1.0}},
        {"ip": "10.77.0.12", "id": "b1", "state": "DEAD", "resources": {"mlx": 1.0}},
    ]
    replicas = [{"node": node, "state": "RUNNING"} for node in ("a1", "a2", "b1")]
    tiny = {"status": "RUNNING", "message": "", "deployments": {"LLMServer:tiny": {"replicas": replicas}}}
    head = {"nodes": nodes, "applications": {"model:tiny": tiny}, "error": ""}
    report = NodeReport().process([json.dumps({**HEAD, "head": head})])
    assert report.cluster == Cluster(
        nodes={"10.77.0.11": {"mlx": 1.0}},
        applications={"model:tiny": Deployed("RUNNING", 1)},
        ids={"10.77.0.11": "a2"},
    )


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["RUNNING", "RUNNING", "STOPPING"], "RUNNING"),
        (["RUNNING", "STOPPING"], "UNHEALTHY"),
        (["RUNNING", "RUNNING", "STARTING", "STOPPING"], "UNHEALTHY"),
        (["RUNNING", "RUNNING"], "UNHEALTHY"),
    ],
)
def test_what_only_ends_makes_nothing_unhealthy(states: list[str], status: str) -> None:
    replicas = [{"state": state, "ip": "10.0.0.1", "node": "a"} for state in states]
    deployments = {"D": {"status": "UNHEALTHY", "target": 2, "replicas": replicas}}
    application = {"status": "UNHEALTHY", "message": "", "deployments": deployments}
    nodes = [{"id": "a", "ip": "10.0.0.1", "state": "ALIVE", "resources": {}}]
    seen = cluster({"nodes": nodes, "applications": {"model:tiny": application}, "error": ""})
    assert seen.applications["model:tiny"].status == status


def test_a_worker_s_report_has_no_cluster() -> None:
    worker = {key: value for key, value in HEAD.items() if key != "head"}
    assert NodeReport().process([json.dumps(worker)]).cluster is None


def test_a_mac_without_a_release_reports_nothing() -> None:
    assert NodeReport().process(["{}"]) == Report()


def test_the_command_never_fails_and_quotes_names() -> None:
    command = NodeReport().command(release_id="abc", names=("alpha", "b c"))
    assert command.endswith("|| echo '{}'")
    assert "--resolve alpha 'b c'" in command
    assert "--head" not in command


@pytest.mark.parametrize(
    ("ray", "coming", "asked"),
    [
        (("6379", "8265"), None, "8265"),
        # The settings name another one by now.
        (("6379", "9265"), None, "9265"),
        # The head of two clusters.
        (("7379", "9265"), ("6379", "8266"), "8266"),
        (("6379", "8266"), ("7379", "9265"), "8266"),
        # One that does not run.
        (None, None, "8265"),
        (("7379", "9265"), None, "8265"),
    ],
)
def test_the_dashboard_is_asked_where_the_cluster_was_started_with_it(
    shell: BsdShell, ray: tuple[str, str] | None, coming: tuple[str, str] | None, asked: str
) -> None:
    jobs = {f"system/{label}": ports for label, ports in ((RAY_LABEL, ray), (NEXT_RAY_LABEL, coming)) if ports}
    lines = r"printf '\t\t--port=%s\n\t\t--ray-client-server-port=6379\n\t\t--dashboard-port=%s\n'"
    printed = "".join(f"{job}) {lines} {gcs} {port} ;; " for job, (gcs, port) in jobs.items())
    shell.command("launchctl", f'case "$2" in {printed} *) exit 113 ;; esac')
    command = NodeReport().command(release_id="abc", names=("alpha",), gcs=6379, dashboard=8265)
    shown = shell.run(command.replace("${release:-/opt/raylab/releases/abc}/env/bin/python -I", "echo"))
    assert shown.stdout.strip().endswith(f"--head --dashboard http://127.0.0.1:{asked}")
