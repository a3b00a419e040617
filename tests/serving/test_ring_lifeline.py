"""The processes of a ring end together, and only together."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from raylab_serving.mlx.lifeline import LIFELINE_S, OFFSET
from ring_processes import PORT, Rank, addresses, ranks, started, until


def test_a_rank_waits_for_its_links_and_names_them() -> None:
    ring = addresses(3)
    with ranks(Rank(0, ring), Rank(1, ring)) as (alpha, beta):
        until(lambda: alpha.missing() == [])
        until(lambda: beta.missing() == [f"the link beta → gamma ({ring[2]}): Connection refused"])
        with ranks(Rank(2, ring)) as (gamma,):
            until(lambda: beta.missing() == [] and gamma.missing() == [])
        until(lambda: beta.missing() != [])
        with ranks(Rank(2, ring)) as (gamma,):
            until(lambda: beta.missing() == [] and gamma.missing() == [])
            assert not gamma.ask("begun")
            alpha.begin(beta, gamma)


def test_a_rank_waits_for_its_own_address_and_port() -> None:
    with ranks(Rank(0, ["192.0.2.1", "127.0.0.1"])) as (alpha,):
        until(lambda: "port 23355 of 192.0.2.1 (alpha): Cannot assign requested address" in str(alpha.missing()))
    ring = addresses(2)
    with socket.create_server((ring[0], PORT + OFFSET)), ranks(Rank(0, ring)) as (alpha,):
        until(lambda: f"port 23355 of {ring[0]} (alpha): Address already in use" in str(alpha.missing()))


@pytest.mark.parametrize("count", [2, 4])
def test_when_one_is_killed_all_end_at_once_and_say_whose_fault_it_was(count: int) -> None:
    with started(count) as ring:
        ring[0].begin(*ring[1:])
        ring[-1].process.kill()
        deadline = time.monotonic() + 2
        said = [rank.ended(deadline - time.monotonic()) for rank in ring[:-1]]
        assert all(f"{['beta', 'gamma', 'delta'][count - 2]} is gone" in words for words in said), said


def test_when_the_leader_ends_it_tells_the_others_why() -> None:
    with started(3) as ring:
        ring[0].begin(*ring[1:])
        with pytest.raises(ValueError, match="Expecting value"):
            ring[0].ask("end no memory is left")
        for rank in ring:
            assert "no memory is left" in rank.ended(2)


def test_one_that_stands_still_ends_the_others_and_itself_when_it_goes_on() -> None:
    with started(3) as ring:
        ring[0].begin(*ring[1:])
        os.kill(ring[1].process.pid, signal.SIGSTOP)
        begun = time.monotonic()
        said = [ring[0].ended(LIFELINE_S + 3), ring[2].ended(3)]
        assert time.monotonic() - begun > LIFELINE_S - 1.5
        assert all("beta was silent for 10 s" in words for words in said), said
        os.kill(ring[1].process.pid, signal.SIGCONT)
        ring[1].ended(2)


def test_one_that_is_busy_for_a_while_ends_nobody() -> None:
    with started(2) as ring:
        ring[0].begin(*ring[1:])
        ring[1].ask("hold 5")
        assert ring[0].missing() == ring[1].missing() == []
        assert [rank.process.poll() for rank in ring] == [None, None]


def test_before_it_begins_a_ring_outlives_its_ranks() -> None:
    with started(2) as (alpha, beta):
        beta.process.kill()
        until(lambda: alpha.missing() != [])
        assert alpha.process.poll() is None


def test_a_stranger_is_neither_a_rank_nor_in_the_way() -> None:
    ring = addresses(2)
    with ranks(Rank(0, ring), Rank(1, ring, token="wrong")) as (alpha, beta):
        until(lambda: "not of this ring" in str(alpha.missing()))
        until(lambda: "not of this ring" in str(beta.missing()))
    with ranks(Rank(0, ring)) as (alpha,):
        # As many as it greets at once, and they keep silent.
        until(lambda: "refused" in str(alpha.missing()))
        silent = [socket.create_connection((ring[0], PORT + OFFSET)) for _ in range(20)]
        with ranks(Rank(1, ring)) as (beta,):
            until(lambda: alpha.missing() == [] and beta.missing() == [])
            alpha.begin(beta)
            late = [socket.create_connection((ring[rank], PORT + OFFSET + rank)) for rank in (0, 1)]
            for connection in [*silent, *late]:
                connection.close()
            beta.process.kill()
            assert "beta is gone" in alpha.ended(2)


def test_a_ring_that_begins_without_its_links_ends() -> None:
    with ranks(Rank(0, addresses(2))) as (alpha,):
        with pytest.raises(ValueError, match="Expecting value"):
            alpha.ask("begin")
        assert "no connection with beta when the ring began" in alpha.ended(2)
