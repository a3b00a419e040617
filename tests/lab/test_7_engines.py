"""Every engine and shape behind one endpoint: vLLM on two Macs, mlx-lm on one or two, an mlx ring over two."""

from __future__ import annotations

import ipaddress
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from engines_lab import INVENTORY, MODELS, client, greedy
from harness import ADDRESSES, find, health, lab, on, processes, pyinfra, steady_load, talked, wait_for

from fleet.ports import RING_LAST, RING_PORT

# Ranks above 0; rank 0 is the Serve replica itself.
RANK = r"ray::RingRank"


def answers(model: str) -> bool:
    """Whether it answers now."""
    try:
        return bool(greedy(model))
    except openai.APIError as error:
        raise ValueError(str(error)) from None


def said(prompt: str, tokens: int) -> tuple[int, str]:
    """The status of a request to the model that scales, and when to come again."""
    try:
        client().completions.create(model="tiny-mlx", prompt=prompt, max_tokens=tokens, temperature=0)
    except openai.APIStatusError as error:
        return error.status_code, error.response.headers["retry-after"]
    return 200, ""


def replicas(model: str) -> int:
    """How many replicas of a model run, as Serve says."""
    found = next(check for check in health(INVENTORY)[1] if check["name"] == "Serve")
    counted = re.search(rf"\b{re.escape(model)} × (\d+)", found["found"])
    assert counted, found
    return int(counted[1])


@pytest.mark.parametrize("mac", ADDRESSES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_answers_through_every_mac(engines: str, mac: str, model: str) -> None:
    said = talked(mac, model)
    assert set(MODELS) <= set(said["models"])
    assert said["chat_role"] == "assistant"
    assert 1 <= said["chat_tokens"] <= 8
    assert said["stream_chunks"] >= 2
    assert 1 <= said["stream_tokens"] <= 8
    assert 1 <= said["text_tokens"] <= 8


def test_the_plan_says_who_holds_what_before_anything_happens(engines: str) -> None:
    plan = engines[: engines.index("Starting operation")]
    for model in MODELS:
        assert model in plan
    shown = pyinfra("deploy/plan.py", inventory=INVENTORY)
    assert "tiny-ring" in shown.stdout + shown.stderr


def test_a_ring_says_what_one_process_says(engines: str) -> None:
    assert greedy("tiny-ring") == greedy("tiny-mlx")


def test_an_alias_is_the_model_and_a_stranger_is_nobody(engines: str) -> None:
    assert greedy("gpt-4o") == greedy("tiny")
    with pytest.raises(openai.NotFoundError, match="tiny-mlx"):
        greedy("gpt-5")


def test_the_ring_speaks_over_the_cable(engines: str) -> None:
    # The lab has no netstat; the kernel's own table, where 01 is an established connection.
    rows = [row.split() for row in on("gamma", "cat /proc/net/tcp").splitlines()[1:]]
    ends = [end.split(":") for row in rows if row[3] == "01" for end in row[1:3]]
    addresses = {
        str(ipaddress.IPv4Address(bytes.fromhex(address)[::-1]))
        for address, port in ends
        if int(port, 16) in range(RING_PORT, RING_LAST + 1)
    }
    assert addresses
    assert not addresses & set(ADDRESSES.values())


def test_a_rank_that_is_killed_brings_its_group_down_and_up_again_and_nobody_else(
    engines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = greedy("tiny-ring")
    victim = find("gamma", RANK)
    with steady_load("alpha", "beta") as load:
        on("gamma", f"kill -9 {victim}")
        wait_for("the ring to notice", lambda: victim not in processes("gamma"), 60)
        seconds = wait_for("the ring to answer", lambda: answers("tiny-ring") and find("gamma", RANK) != victim, 300)
    assert not load.failed
    assert load.lines
    assert greedy("tiny-ring") == before
    assert sum(bool(re.search(RANK, command)) for command in processes("gamma").values()) == 1
    with capsys.disabled():
        print(
            f"\n  kill -9 of a rank: the ring answers again after {seconds:.0f} s; {len(load.lines)} requests, 0 failed"
        )


def test_a_ring_whose_cable_is_pulled_waits_for_it_and_comes_back(
    engines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = find("gamma", RANK)
    with steady_load("alpha", "beta") as load:
        lab("uncable", "beta", "gamma")
        gone = wait_for("the ranks to end", lambda: victim not in processes("gamma"), 60)
        with pytest.raises(openai.APIStatusError) as refused:
            greedy("tiny-ring")
        assert refused.value.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) > 0
        lab("cable", "beta", "gamma")
        back = wait_for("the ring to answer", lambda: answers("tiny-ring"), 300)
    assert not load.failed
    with capsys.disabled():
        print(f"\n  cable pulled: ranks gone after {gone:.0f} s; plugged in again: answers after {back:.0f} s")


@pytest.mark.long
def test_a_model_grows_under_load_and_shrinks_when_it_is_over(engines: str) -> None:
    stop = threading.Event()

    def ask() -> set[int]:
        statuses = set()
        while not stop.is_set():
            statuses.add(said("Go on", 200)[0])
        return statuses

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask) for _ in range(6)]
        try:
            wait_for("a second replica", lambda: replicas("tiny-mlx") == 2, 300)
        finally:
            stop.set()
        assert set().union(*(each.result() for each in asked)) <= {200, 503}
    wait_for("one replica again", lambda: replicas("tiny-mlx") == 1, 400)


def test_what_does_not_fit_in_the_queue_is_told_to_come_back(engines: str) -> None:
    with ThreadPoolExecutor(32) as pool:
        answered = list(pool.map(lambda number: said(f"{number}", 300), range(32)))
    assert {status for status, _ in answered} == {200, 503}
    assert all(int(pause) > 0 for status, pause in answered if status == 503)


def test_a_second_converge_changes_nothing(engines: str) -> None:
    done = pyinfra("--dry", "--json", "deploy/cluster.py", inventory=INVENTORY)
    changed = [each for each in json.loads(done.stdout)["plan"] if each["hosts_with_change"]]
    assert not changed
