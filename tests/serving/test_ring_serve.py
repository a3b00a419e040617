"""One model over two Macs, from Serve to the answer, and what happens when half of it goes away."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import psutil
import pytest
from raylab_serving.loading import progress
from raylab_serving.mlx.lifeline import LIFELINE_S, OFFSET
from ring_cluster import Macs, config, macs
from ring_processes import PORT, addresses, until

from lab.artifacts.model import write_model

RING = addresses(2)
# Processes that import MLX and Ray's LLM code start in 20 s, on a machine that has nothing else to do.
START_S = 240


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return str(folder)


@pytest.fixture(scope="module")
def fleet(model: str) -> Iterator[Macs]:
    """Both Macs; the model on alpha alone, and over both of them. Beta's lifeline waits for its port."""
    with macs() as fleet:
        with socket.create_server((RING[1], PORT + OFFSET + 1)):
            fleet.run(config("alone", model), config("ring", model, RING))
            until(lambda: "Address already in use" in waiting(), START_S)
            killed = until(fleet.ranks)[0]
            killed.kill()
            again = until(lambda: [rank for rank in fleet.ranks() if rank.pid != killed.pid], START_S)[0]
            until(lambda: "Address already in use" in waiting(), START_S)
        answered(fleet)
        assert [rank.pid for rank in fleet.ranks()] == [again.pid]
        yield fleet


def waiting() -> str:
    """What the ring says that it waits for."""
    now = progress("ring")
    return now.text if now else ""


def answered(fleet: Macs) -> str:
    """The ring's answer, as soon as there is one."""

    def answer() -> str:
        try:
            return fleet.answer("ring")
        except OSError:
            return ""

    return until(answer, START_S)


def gone(process: psutil.Process, seconds: float) -> None:
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, seconds)


def test_a_ring_answers_as_one_process_does(fleet: Macs) -> None:
    questions = ("Who stands under a desk?", "One two three", "Each Mac holds the whole model; " * 5)
    answers = [fleet.answer("ring", question) for question in questions]
    assert answers == [fleet.answer("alone", question) for question in questions]
    assert len(set(answers)) > 1


def test_when_rank_1_dies_rank_0_ends_and_a_new_ring_answers(fleet: Macs) -> None:
    before = fleet.answer("ring")
    (leader,), (rank,) = fleet.leaders("ring"), fleet.ranks()
    rank.kill()
    gone(leader, LIFELINE_S - 2)
    assert answered(fleet) == before
    assert leader.pid not in [process.pid for process in fleet.leaders("ring")]
    until(lambda: len(fleet.leaders("ring")) == len(fleet.ranks()) == 1)


def test_when_rank_0_dies_rank_1_ends_and_a_new_ring_answers(fleet: Macs) -> None:
    (leader,), (rank,) = fleet.leaders("ring"), fleet.ranks()
    leader.kill()
    gone(rank, LIFELINE_S - 2)
    answered(fleet)
    until(lambda: len(fleet.leaders("ring")) == len(fleet.ranks()) == 1)


def test_when_rank_1_stands_still_rank_0_ends_and_a_new_ring_answers(fleet: Macs) -> None:
    (leader,), (rank,) = fleet.leaders("ring"), fleet.ranks()
    os.kill(rank.pid, signal.SIGSTOP)
    gone(leader, LIFELINE_S + 3)
    answered(fleet)
    gone(rank, LIFELINE_S - 2)
    until(lambda: len(fleet.leaders("ring")) == len(fleet.ranks()) == 1)
