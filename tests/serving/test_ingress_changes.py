"""What a change of one model leaves alone: the others, the entry, and every request on its way."""

# ruff: noqa: ANN401
from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve.llm")

import httpx
from ingress_cluster import (
    MACS,
    Application,
    apply,
    details,
    echo,
    entry,
    model,
    program,
    replicas,
    serving,
    status,
    until,
)
from raylab_serving.handles import FIRST_NEWS_S

from fleet.applications import ENTRY

STEADY, OTHER, THIRD, BROKEN = "steady", "other", "third", "broken"
# A process that imports vLLM's requests takes ten seconds of a core, on a machine that may be busy.
START_S = 480


STEADY_MODEL = model(echo(STEADY, 0, MACS), num_replicas=2)
OTHER_MODEL = model(echo(OTHER, 1, ["alpha"]))


def ranged(least: int) -> Application:
    """The other model with a range instead of a number."""
    scaled = {"autoscaling_config": {"min_replicas": least, "max_replicas": 2}, "max_queued_requests": 7}
    return model(echo(OTHER, 1, MACS), **scaled)


# What the tests that follow leave as it is: each new process takes ten seconds.
RANGED_MODEL = ranged(2)


# What keeps the config applied on the head.
KEEPER: Any = program("raylab_serve")


def body(name: str, text: str = "where", **more: Any) -> dict[str, Any]:
    return {"model": name, "messages": [{"role": "user", "content": text}], **more}


@dataclass
class Load:
    """Asks for the steady model again and again, and reads an answer that never ends."""

    url: str
    failed: list[str] = field(default_factory=list)
    asked: int = 0
    ticks: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        while not self.over.wait(0.05):
            answer = httpx.post(f"{self.url}/v1/chat/completions", json=body(STEADY), timeout=60)
            self.asked += 1
            if answer.status_code != 200:
                self.failed.append(answer.text)

    def read(self) -> None:
        endless = body(STEADY, "slow endless", stream=True)
        with httpx.stream("POST", f"{self.url}/v1/chat/completions", json=endless, timeout=60) as answer:
            for line in answer.iter_lines():
                self.ticks += "tick" in line
                if "error" in line:
                    self.failed.append(line)
                if self.over.is_set():
                    return
        self.failed.append("the endless answer ended")


@dataclass(frozen=True)
class Front:
    """The entry of alpha."""

    url: str

    def post(self, name: str) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/chat/completions", json=body(name), timeout=60)

    def refusal(self, name: str) -> tuple[int, str]:
        """The status and the code of an answer that is an error, and comes at once."""
        began = time.monotonic()
        answer = self.post(name)
        assert time.monotonic() - began < FIRST_NEWS_S + 15
        return answer.status_code, str(answer.json().get("error", {}).get("code"))

    def said(self, name: str) -> dict[str, Any]:
        """What a replica of the model says of itself; nothing when none does."""
        answer = self.post(name)
        said: dict[str, Any] = {}
        if answer.status_code == 200:
            said = json.loads(answer.json()["choices"][0]["message"]["content"])
        return said

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Nothing that happens in here is noticed by the steady model's clients, its replicas or the entry."""
        before = replicas(STEADY_MODEL["name"]), replicas(ENTRY)
        assert [len(pids) for pids in before] == [2, 1]
        load = Load(self.url)
        threads = [threading.Thread(target=load.ask), threading.Thread(target=load.read)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: load.asked and load.ticks)
            yield
            ticks, asked = load.ticks, load.asked
            until(lambda: load.ticks > ticks and load.asked > asked)
        finally:
            load.over.set()
            for thread in threads:
                thread.join()
        assert not load.failed
        assert (replicas(STEADY_MODEL["name"]), replicas(ENTRY)) == before


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A fleet that was one application until now, and gets the new config as a whole."""
    old: Application = {
        "name": ENTRY,
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {
            "llm_configs": [OTHER_MODEL["args"]],
            "ingress_deployment_config": {"ray_actor_options": {"num_cpus": 0.1, "resources": {"front-alpha": 1}}},
        },
    }
    with serving([old]) as url:
        front = Front(url)
        until(lambda: status(ENTRY) == "RUNNING" and front.said(OTHER), START_S)
        change(OTHER_MODEL)
        yield front


def change(*models: Application, **about: Any) -> None:
    """These models beside the steady one, all of them served."""
    models = (STEADY_MODEL, *models)
    apply([entry(*models, **about), *models])
    names = {ENTRY, *(each["name"] for each in models)}
    until(lambda: {status(name) for name in names} == {"RUNNING"}, START_S)


def test_one_application_becomes_many(front: Front) -> None:
    until(lambda: front.said(OTHER) and front.said(STEADY))
    assert [len(replicas(name)) for name in (ENTRY, "model:other", "model:steady")] == [1, 1, 2]


@pytest.mark.long
def test_other_macs_are_other_arguments_and_move_that_model_alone(front: Front) -> None:
    assert front.said(OTHER)["mac"] == "alpha"
    with front.undisturbed():
        change(model(echo(OTHER, 1, ["beta"])))
        until(lambda: front.said(OTHER).get("mac") == "beta")


@pytest.mark.long
def test_a_number_that_becomes_a_range_starts_that_model_alone_anew_and_another_range_nothing(front: Front) -> None:
    with front.undisturbed():
        change(ranged(1))
        until(lambda: front.said(OTHER))
        before = replicas("model:other")
        assert len(before) == 1
        change(RANGED_MODEL)
        assert len(until(lambda: len(now := replicas("model:other")) == 2 and now)) == 2
        assert before < replicas("model:other")


def test_a_model_comes_and_goes_and_comes_again(front: Front) -> None:
    third = model(echo(THIRD, 2, ["alpha"]))
    assert front.refusal(THIRD) == (404, "model_not_found")
    with front.undisturbed():
        for _ in range(2):
            apply([entry(STEADY_MODEL, RANGED_MODEL, third), STEADY_MODEL, RANGED_MODEL, third])
            until(lambda: front.refusal(THIRD)[0] == 503)
            until(lambda: front.said(THIRD), START_S)
            change(RANGED_MODEL)
            until(lambda: front.refusal(THIRD) == (404, "model_not_found"))
            until(lambda: not status(third["name"]))


def test_a_model_whose_application_is_not_there_is_not_waited_for(front: Front) -> None:
    with front.undisturbed():
        apply([entry(STEADY_MODEL, RANGED_MODEL, model(echo("nowhere", 2, ["alpha"]))), STEADY_MODEL, RANGED_MODEL])
        until(lambda: front.post("nowhere").status_code == 503)
        assert front.refusal("nowhere") == (503, "model_not_ready")
        assert front.said(OTHER)


@pytest.mark.long
def test_a_model_that_never_starts_is_told_and_tried_again(front: Front, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    broken = model(echo(BROKEN, 2, ["beta"], {"broken": str(tries)}))
    models = [STEADY_MODEL, RANGED_MODEL, broken]
    with front.undisturbed():
        apply([entry(*models), *models])
        until(lambda: status(broken["name"]) == "DEPLOY_FAILED", START_S)
        until(lambda: front.refusal(BROKEN) == (503, "model_failed"))
        assert status(ENTRY) == "RUNNING"
        assert front.said(OTHER)
        before = len(tries.read_text().splitlines())
        step = KEEPER.next_step({"applications": [entry(*models), *models]}, details(), 0)
        assert step.given_up == ((broken["name"], broken["deployments"][0]["name"]),)
        apply(KEEPER.nudged({"applications": [entry(*models), *models]}, step.given_up)["applications"])
        until(lambda: not KEEPER.given_up(details()))
        apply([entry(*models), *models])
        until(lambda: len(tries.read_text().splitlines()) > before, START_S)


def test_serve_keeps_what_it_was_given(front: Front) -> None:
    """Otherwise raylab_serve.py would give it again and again."""
    change(RANGED_MODEL)
    wanted = {"applications": [entry(STEADY_MODEL, RANGED_MODEL), STEADY_MODEL, RANGED_MODEL]}
    assert KEEPER.differences(wanted, json.loads(json.dumps(details(), default=str))) == []


def test_names_and_origins_change_while_the_entry_runs(front: Front) -> None:
    def listed() -> list[str]:
        return [card["id"] for card in httpx.get(f"{front.url}/v1/models", timeout=10).json()["data"]]

    def allowed(origin: str) -> bool:
        asked = {"Access-Control-Request-Method": "POST", "Origin": origin}
        headers = httpx.options(f"{front.url}/v1/models", headers=asked, timeout=10).headers
        return headers.get("Access-Control-Allow-Origin") == origin

    assert not allowed("https://a.example")
    with front.undisturbed():
        change(RANGED_MODEL, origins=["https://a.example"], **{OTHER: {"aliases": ["gpt-4o"]}})
        until(lambda: listed() == [STEADY, OTHER, "gpt-4o"])
        assert allowed("https://a.example")
        assert not allowed("https://b.example")
        change(RANGED_MODEL, origins=["*"])
        until(lambda: listed() == [STEADY, OTHER])
        assert allowed("https://b.example")
