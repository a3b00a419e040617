"""The ingress in front of real replicas: Ray Serve on two nodes of this machine, asked over HTTP."""

# ruff: noqa: ANN401
from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve.llm")

import httpx
import openai
from ingress_cluster import MACS, drains, echo, entry, model, replicas, serving, until
from ray.experimental.internal_kv import _internal_kv_get

STEADY, GATED = "org/steady", "gated"
APPLICATION = "model:org--steady"
ORIGIN = "https://chat.example"
# Four replicas and three builds of applications import vLLM's requests, at ten seconds of a core each, on a machine
# that may be busy.
START_S = 480


@dataclass(frozen=True)
class Front:
    """The ingress of alpha, and what opens the gate of the model that waits."""

    url: str
    gate: Path

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30)

    def ask(self, text: str, model: str = STEADY, **more: Any) -> Any:
        return self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)

    def said(self, text: str, model: str = STEADY, **more: Any) -> dict[str, Any]:
        """What the replica says of itself and of the request it got."""
        said: dict[str, Any] = json.loads(self.ask(text, model, **more).choices[0].message.content)
        return said

    def asked(self, text: str, model: str = GATED) -> httpx.Response:
        return self.post({"model": model, "messages": [{"role": "user", "content": text}]})

    def status(self, text: str, model: str = GATED) -> int:
        return self.asked(text, model).status_code

    def post(self, content: object, path: str = "/v1/chat/completions", **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=content, timeout=30, **more)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    gate = tmp_path_factory.mktemp("gate") / "open"
    steady = echo(STEADY, 0, MACS, max_queued_requests=50)
    gated = echo(GATED, 1, ["beta"], {"gate": str(gate)}, max_ongoing_requests=1, max_queued_requests=2)
    models = [model(steady, num_replicas=2), model(gated)]
    about = {STEADY: {"aliases": ["gpt-4o"], "adapters": ["steady-sql"], "max_tokens": 7, "context": 512}}
    with serving([entry(*models, origins=[ORIGIN], **about), *models]) as url:
        found = Front(url, gate)
        until(lambda: _complete(found), START_S)
        yield found


def _complete(front: Front) -> bool:
    """Whether both replicas answer."""
    with contextlib.suppress(openai.APIError):
        return len(replicas(APPLICATION)) == 2 and front.said("where")["mac"] == "alpha"
    return False


def test_a_model_that_is_not_there_yet_says_so_at_once_and_how_far_it_is(front: Front) -> None:
    def told() -> str:
        began = time.monotonic()
        answer = front.post({"model": GATED, "messages": [{"role": "user", "content": "where"}]})
        assert time.monotonic() - began < 10
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"]["code"] == "model_not_ready"
        return str(answer.json()["error"]["message"])

    # Before its process has begun, nothing is known of it.
    until(lambda: 'The model "gated" is not ready: loading weights on beta, ' in told(), START_S)


def test_a_model_runs_on_the_macs_it_was_given(front: Front) -> None:
    """Two replicas with one slot a Mac are on two Macs, and the ingress prefers the one beside it."""
    assert len(replicas(APPLICATION)) == 2
    assert {front.said("where")["mac"] for _ in range(10)} == {"alpha"}


def test_names(front: Front) -> None:
    assert [card.id for card in front.client.models.list()] == [STEADY, "gpt-4o", "steady-sql", GATED]
    assert front.client.models.retrieve("steady-sql").id == "steady-sql"
    card = front.client.models.retrieve(STEADY).to_dict()
    metadata = {"model_id": STEADY, "input_modality": "text", "max_request_context_length": 512}
    assert (card["id"], card["metadata"]) == (STEADY, metadata)


@pytest.mark.parametrize(("name", "known_as"), [(STEADY, STEADY), ("gpt-4o", STEADY), ("steady-sql", "steady-sql")])
def test_an_answer_names_the_model_that_was_asked_for(front: Front, name: str, known_as: str) -> None:
    answer = front.ask("where", name)
    assert answer.model == name
    assert json.loads(answer.choices[0].message.content)["model"] == known_as
    assert {chunk.model for chunk in front.ask("where", name, stream=True)} == {name}


def test_a_model_that_nobody_knows(front: Front) -> None:
    with pytest.raises(openai.NotFoundError, match=r"There are: org/steady, gpt-4o, steady-sql, gated") as caught:
        front.ask("where", "gpt-5")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match='"gpt-5" does not exist'):
        front.client.models.retrieve("gpt-5")


def test_a_request_without_a_limit_gets_the_models_own(front: Front) -> None:
    assert front.said("where")["limit"] == 7
    assert front.said("where", max_completion_tokens=3)["limit"] == 3
    completion = front.client.completions.create
    assert completion(model="gpt-4o", prompt="x").choices[0].text == "7"
    assert completion(model="gpt-4o", prompt="x", max_tokens=16).choices[0].text == "16"


def test_a_prompt_that_leaves_less_room_than_our_limit_gets_what_is_left(front: Front) -> None:
    assert front.said("long")["limit"] is None
    with pytest.raises(openai.BadRequestError, match="no room"):
        front.ask("long", max_completion_tokens=3)
    # Nor does it end an answer that the client wants to be longer.
    assert front.said("where", extra_body={"min_tokens": 9})["limit"] is None
    with pytest.raises(openai.BadRequestError, match="min_tokens is more"):
        front.ask("where", max_completion_tokens=3, extra_body={"min_tokens": 9})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b'{"model": "org/steady"}', "messages: Field required"),
        (b'{"model": "org/steady", "messages": [], "temperature": "hot"}', "temperature: Input should be a valid"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "names no model. There are: org/steady"),
        (b'"hello"', "must be a JSON object"),
    ],
)
def test_a_request_that_makes_no_sense(front: Front, body: bytes, says: str) -> None:
    answer = httpx.post(
        f"{front.url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}, timeout=30
    )
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_engines_refusal_keeps_its_own_words(front: Front) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="temperature must not be so high") as caught:
            front.ask("refuse", stream=stream)
        assert caught.value.param == "temperature"


def test_a_path_that_is_not_there(front: Front) -> None:
    assert front.post({}, "/v2/nothing").json()["error"]["message"] == "Not Found"


def test_only_pages_of_allowed_origins_may_call(front: Front) -> None:
    ask = {"Access-Control-Request-Method": "POST"}
    path = f"{front.url}/v1/chat/completions"
    assert httpx.options(path, headers={**ask, "Origin": ORIGIN}).headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Origin" not in httpx.options(path, headers={**ask, "Origin": "https://a.b"}).headers
    unknown = front.post({"model": "gpt-5", "messages": []}, headers={"Origin": ORIGIN})
    assert unknown.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("stream", [False, True])
def test_work_that_nobody_waits_for_ends(front: Front, stream: bool) -> None:
    name = f"stream-{stream}"
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"slow {name}"}], "stream": stream}
    url = f"{front.url}/v1/chat/completions"
    if stream:
        with httpx.stream("POST", url, json=body, timeout=30) as answer:
            assert any("tick" in line for line in answer.iter_lines())
    else:
        asyncio.run(_give_up(url, body, f"begun:{name}"))
    until(lambda: _internal_kv_get(f"cancelled:{name}"), 30)


async def _give_up(url: str, body: dict[str, Any], begun: str) -> None:
    """Ask, and go away as soon as the work has begun."""
    async with httpx.AsyncClient(timeout=None) as client:
        asked = asyncio.create_task(client.post(url, json=body))
        await asyncio.to_thread(until, lambda: _internal_kv_get(begun))
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked


def test_an_engine_that_fails_is_passed_over(front: Front) -> None:
    assert front.said("fail:alpha")["mac"] == "beta"
    parts = [chunk.choices[0].delta.content for chunk in front.ask("fail-stream:alpha", stream=True)]
    assert json.loads(parts[0])["mac"] == "beta"


def test_what_only_this_mac_may_answer_nobody_answers_in_its_place(front: Front) -> None:
    def asked(words: str, model: str = STEADY) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": words}]}
        return front.post(body, headers={"X-Raylab-Here": "1"})

    assert json.loads(asked("where").json()["choices"][0]["message"]["content"])["mac"] == "alpha"
    failed = asked("fail:alpha")
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "replica_lost")
    # That one is on beta.
    assert asked("where", GATED).status_code == 503
    # Its engine fails, and it is not back yet.
    assert asked("die:alpha").status_code == 503
    lacking = asked("where")
    assert (lacking.status_code, lacking.json()["error"]["code"]) == (503, "model_not_ready")
    assert front.said("where")["mac"] == "beta"
    until(lambda: _complete(front), START_S)


def test_a_replica_that_dies_before_it_answers_is_passed_over_and_one_that_dies_later_is_told(front: Front) -> None:
    assert front.said("die:alpha")["mac"] == "beta"
    # The other one is not back yet: nobody is left who could be asked.
    answer = front.post({"model": STEADY, "messages": [{"role": "user", "content": "die:beta"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    until(lambda: _complete(front), START_S)
    body = {"model": STEADY, "messages": [{"role": "user", "content": "one break:alpha never"}], "stream": True}
    events = [line for line in front.post(body).text.split("\n\n") if line]
    assert "one" in events[1]
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "replica_lost"
    assert not any("never" in event for event in events)


def test_when_it_is_there_it_takes_what_fits_and_refuses_what_does_not(front: Front) -> None:
    front.gate.touch()
    until(lambda: replicas("model:gated"))
    until(lambda: front.post({"model": GATED, "messages": [{"role": "user", "content": "x"}]}).status_code == 200)
    taken, refused = asyncio.run(_fill(f"{front.url}/v1/chat/completions"))
    # One runs and two wait: the next one is one too many.
    assert taken == 3
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["error"]["code"] == "queue_full"


async def _fill(url: str) -> tuple[int, httpx.Response]:
    """Ask for work without end, again and again, until one is refused: how many were not, and the refusal."""
    body = {"model": GATED, "messages": [{"role": "user", "content": "slow busy"}]}
    async with httpx.AsyncClient(timeout=None) as client:
        taken: list[asyncio.Task[httpx.Response]] = []
        while len(taken) < 10:
            asked = asyncio.create_task(client.post(url, json=body))
            # The answer to one that is taken never comes.
            done, _ = await asyncio.wait({asked}, timeout=10)
            if done:
                for task in taken:
                    task.cancel()
                return len(taken), asked.result()
            taken.append(asked)
    raise AssertionError("nothing was refused")


def test_a_mac_that_drains_is_asked_no_more_by_others_and_finishes_what_it_has(front: Front) -> None:
    front.gate.touch()
    until(lambda: front.status("where") == 200, START_S)
    stream = front.ask("slow draining", GATED, stream=True)
    assert next(iter(stream)).choices[0].delta.content
    drains("beta").touch()
    # Of one model there is no other replica; of the other one there is one on alpha, which fails this.
    refusal = front.asked("where")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (503, "model_not_ready")
    assert int(refusal.headers["Retry-After"]) > 0
    until(lambda: front.status("fail:alpha", STEADY) != 200, 30)
    for _ in range(20):
        assert next(iter(stream)).choices[0].delta.content
    stream.close()
    # Nobody waits for it any more: a Mac that drains is better than none.
    os.utime(drains("beta"), (0, 0))
    until(lambda: front.status("where") == 200, 30)
    drains("beta").unlink()
    until(lambda: front.status("fail:alpha", STEADY) == 200, 30)


def test_a_group_of_which_another_mac_drains_is_refused_by_itself(front: Front) -> None:
    front.gate.touch()
    until(lambda: front.status("where") == 200, START_S)
    flag = Path(f"{drains('beta')}-{GATED}")
    flag.touch()
    until(lambda: front.status("where") == 503, 30)
    # Nobody writes it any more.
    os.utime(flag, (0, 0))
    until(lambda: front.status("where") == 200, 30)
    flag.unlink()


def test_a_mac_that_drains_answers_itself_or_not_at_all(front: Front) -> None:
    until(lambda: _complete(front), START_S)
    drains("alpha").touch()
    assert {front.said("where")["mac"] for _ in range(20)} == {"alpha"}
    assert front.status("fail:alpha", STEADY) != 200
    drains("alpha").unlink()
    assert front.said("fail:alpha")["mac"] == "beta"
