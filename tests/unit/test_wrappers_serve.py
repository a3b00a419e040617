"""The Serve wrapper: when the config is applied, and that it survives whatever the dashboard answers."""

from __future__ import annotations

import copy
import http.server
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LIBEXEC = Path(__file__).resolve().parents[2] / "templates" / "libexec"


def load(name: str) -> ModuleType:
    """A wrapper as a module: they are no package, since on a Mac each stands alone."""
    spec = importlib.util.spec_from_file_location(name, LIBEXEC / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


wrapper = load("raylab_serve")
TOKEN = "0123456789abcdef"
WANTED: dict[str, Any] = {
    "proxy_location": "EveryNode",
    "http_options": {"host": "0.0.0.0", "port": 8000},
    "applications": [{"name": "model:tiny", "route_prefix": None, "args": {"id": "tiny"}}],
}


def details(status: str = "RUNNING", states: tuple[str, ...] = ("RUNNING",), **changes: object) -> dict[str, Any]:
    """What Serve answers when it runs WANTED, with changes to the application's config."""
    return {
        "controller_info": {"actor_id": "c1"},
        "applications": {
            "model:tiny": {
                "status": status,
                "source": "declarative",
                "deployed_app_config": {**copy.deepcopy(WANTED["applications"][0]), **changes},
                "deployments": {
                    "LLMServer:tiny": {"target_num_replicas": 2, "replicas": [{"state": s} for s in states]},
                },
            }
        },
    }


def test_as_wanted_nothing_is_applied() -> None:
    assert wrapper.next_step(WANTED, details(), 0) is None


@pytest.mark.parametrize("status", ["DEPLOYING", "UNHEALTHY", "DEPLOY_FAILED"])
def test_serve_is_left_to_heal_by_itself(status: str) -> None:
    assert wrapper.next_step(WANTED, details(status), 0) is None


def test_another_config_is_applied() -> None:
    assert wrapper.next_step(WANTED, details(route_prefix="/other"), 0).reason == "model:tiny differs"


def test_an_application_too_many_and_one_too_few() -> None:
    found = details()
    found["applications"]["old"] = found["applications"].pop("model:tiny")
    assert wrapper.differences(WANTED, found) == ["model:tiny is not there", "old is not wanted any more"]


def test_an_application_that_goes_away_is_gone() -> None:
    found = details()
    found["applications"]["model:old"] = {"status": "DELETING", "source": "declarative", "deployed_app_config": None}
    assert wrapper.next_step(WANTED, found, 0) is None
    assert wrapper.differences(WANTED, details("DELETING")) == ["model:tiny is not there"]


def test_an_application_that_somebody_started_by_hand_is_not_ours() -> None:
    found = details()
    found["applications"]["mine"] = {"source": "imperative", "deployed_app_config": None}
    assert wrapper.differences(WANTED, found) == []


def test_a_new_cluster_is_told_from_a_head_that_comes_back() -> None:
    empty: dict[str, Any] = {"controller_info": None, "applications": {}}
    assert wrapper.next_step(WANTED, empty, wrapper.EMPTY_POLLS - 1) is None
    assert wrapper.next_step(WANTED, empty, wrapper.EMPTY_POLLS).reason == "model:tiny is not there"
    assert wrapper.next_step({**WANTED, "applications": []}, empty, 99) is None


def test_an_application_that_serve_could_not_build_is_given_to_it_again() -> None:
    found = details("DEPLOY_FAILED")
    found["applications"]["model:tiny"]["deployments"] = {}
    step = wrapper.next_step(WANTED, found, 0)
    assert (step.reason, step.given_up) == ("Serve could not build model:tiny", ())
    found["applications"]["model:tiny"]["status"] = "DEPLOYING"
    assert wrapper.next_step(WANTED, found, 0) is None


def failed(*states: str) -> dict[str, Any]:
    """What Serve answers when it has given the model up, and it has replicas in these states."""
    found = details("DEPLOY_FAILED", states)
    found["applications"]["model:tiny"]["deployments"]["LLMServer:tiny"]["status"] = "DEPLOY_FAILED"
    return found


@pytest.mark.parametrize("states", [(), ("STARTING",)])
def test_a_model_that_serve_gave_up_is_tried_again_and_the_others_are_left_alone(states: tuple[str, ...]) -> None:
    step = wrapper.next_step(WANTED, failed(*states), 0)
    assert step.reason == "Serve has given up LLMServer:tiny"
    other = {"name": "model:other", "deployments": [{"name": "LLMServer:other", "num_replicas": 2}]}
    config = {**WANTED, "applications": [*WANTED["applications"], other]}
    tiny, untouched = wrapper.nudged(config, step.given_up)["applications"]
    assert tiny["deployments"] == [{"name": "LLMServer:tiny", "graceful_shutdown_wait_loop_s": wrapper.NUDGE_S}]
    assert untouched == other
    assert "deployments" not in config["applications"][0]


def test_a_model_with_a_replica_left_is_not_given_up() -> None:
    assert wrapper.next_step(WANTED, failed("RUNNING"), 0) is None


def test_the_same_step_waits_ever_longer_and_a_new_one_does_not() -> None:
    retry = wrapper.Retry()
    assert retry.allows("a", 0)
    assert not retry.allows("a", 59)
    assert retry.allows("a", 60)
    assert not retry.allows("a", 179)
    assert retry.allows("a", 180)
    assert retry.allows("b", 181)
    for now in range(1000, 20000, 1000):
        assert retry.allows("b", now)


def test_summary() -> None:
    assert wrapper.summary(details()) == "model:tiny RUNNING (LLMServer:tiny 1/2)"
    assert wrapper.summary({}) == "no applications"
    coming: dict[str, Any] = {"status": "DEPLOYING", "message": "", "deployments": {}}
    assert wrapper.summary({"applications": {"tiny": coming}}) == "tiny DEPLOYING (no deployments yet)"
    unbuilt = {**coming, "status": "DEPLOY_FAILED", "message": "failed:\nTraceback:\nImportError: no such thing\n"}
    assert wrapper.summary({"applications": {"tiny": unbuilt}}) == "tiny DEPLOY_FAILED (ImportError: no such thing)"


class Fake(http.server.BaseHTTPRequestHandler):
    """A dashboard: keeps what it is given, as Serve does; refuses when told to."""

    state: dict[str, Any]
    puts: list[dict[str, Any]]
    refuse: int

    def do_GET(self) -> None:
        self._answer(json.dumps(type(self).state).encode())

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._answer(b""):
            type(self).puts.append(body)
            found = {app["name"]: {"deployed_app_config": app, "status": "DEPLOYING"} for app in body["applications"]}
            type(self).state = {"controller_info": {"actor_id": "c1"}, "applications": found}

    def _answer(self, body: bytes) -> bool:
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        code = 401 if not known else type(self).refuse or 200
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body if code == 200 else b"Traceback\nno")
        return code == 200

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    Fake.state, Fake.puts, Fake.refuse = {"controller_info": None, "applications": {}}, [], 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def keeper(dashboard: str, tmp_path: Path) -> Any:  # noqa: ANN401
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "serve.yaml").write_text(json.dumps(WANTED))
    return wrapper.Keeper(tmp_path / "serve.yaml", wrapper.Dashboard(dashboard, str(tmp_path / "token")))


def test_a_new_cluster_gets_the_config_once(keeper: Any, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
    for _ in range(wrapper.EMPTY_POLLS + 3):
        keeper.poll()
    assert Fake.puts == [WANTED]
    assert TOKEN not in capsys.readouterr().out


def test_an_edited_config_is_applied_and_a_lost_cluster_again(keeper: Any) -> None:  # noqa: ANN401
    for _ in range(wrapper.EMPTY_POLLS):
        keeper.poll()
    edited = copy.deepcopy(WANTED)
    edited["applications"][0]["args"]["id"] = "other"
    keeper.config.write_text(json.dumps(edited))
    keeper.poll()
    keeper.poll()
    assert Fake.puts == [WANTED, edited]
    Fake.state = {"controller_info": None, "applications": {}}
    for _ in range(wrapper.EMPTY_POLLS):
        keeper.poll()
    assert Fake.puts == [WANTED, edited, edited]


def test_refusals_are_named_without_the_token(keeper: Any, tmp_path: Path) -> None:  # noqa: ANN401
    Fake.refuse = 503
    with pytest.raises(wrapper.Unavailable, match="HTTP 503 no"):
        keeper.poll()
    Fake.refuse = 0
    (tmp_path / "token").write_text("wrong")
    with pytest.raises(wrapper.Unavailable, match="HTTP 401") as caught:
        keeper.poll()
    assert "wrong" not in str(caught.value)
    (tmp_path / "token").unlink()
    with pytest.raises(wrapper.Unavailable, match="token: No such file"):
        keeper.poll()


@pytest.mark.parametrize("content", ["a: [", "just text"])
def test_a_broken_config_is_no_end(keeper: Any, content: str) -> None:  # noqa: ANN401
    keeper.config.write_text(content)
    with pytest.raises(wrapper.Unavailable, match="config"):
        keeper.poll()


def test_without_arguments_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert wrapper.main([], {}) == 2
    assert "usage" in capsys.readouterr().out
