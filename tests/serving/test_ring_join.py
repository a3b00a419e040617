"""How mlx's own group is made: what mlx is told, and whom it takes for a neighbour."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from raylab_serving.mlx.ring_join import JOIN_S, Terms, setting
from ring_processes import PORT, addresses, until

RANK = """
import json, sys
import mlx.core as mx
from raylab_serving.mlx.ring_join import Terms, join
ring, rank, token = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
join(Terms(tuple(ring), 23323, token, "127.0.0.1"), rank)
group = mx.distributed.init()
print(group.rank(), group.size(), mx.distributed.all_sum(mx.array(1)).item())
"""


def entries(ring: Sequence[str]) -> list[dict[str, str]]:
    return [{"mac": mac, "address": address} for mac, address in zip(("alpha", "beta", "gamma"), ring, strict=False)]


def terms(ring: Sequence[Mapping[str, Any]]) -> Terms:
    return Terms(tuple(ring), 32323, b"token", "192.168.1.20")


def started(ring: Sequence[str], rank: int, token: str = "right") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RANK, json.dumps(entries(ring)), str(rank), token]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_ring_backend_is_told_every_rank_and_where_it_listens() -> None:
    given = setting(terms(entries(["10.99.0.1", "10.99.0.2"])), 1)
    assert given.backend == "ring"
    assert given.variables == {"MLX_RANK": "1"}
    assert {name: json.loads(text) for name, text in given.files.items()} == {
        "MLX_HOSTFILE": [["10.99.0.1:32323"], ["10.99.0.2:32324"]]
    }


def test_with_rdma_devices_it_is_jaccl() -> None:
    ring = [
        {"mac": "alpha", "address": "10.99.0.1", "rdma": [None, "rdma_en2"]},
        {"mac": "beta", "address": "10.99.0.2", "rdma": ["rdma_en3", None]},
    ]
    given = setting(terms(ring), 1)
    assert given.backend == "jaccl"
    assert given.variables == {
        "MLX_RANK": "1",
        "MLX_JACCL_COORDINATOR": "192.168.1.20:32323",
        "MLX_METAL_FAST_SYNCH": "1",
    }
    assert {name: json.loads(text) for name, text in given.files.items()} == {
        "MLX_IBV_DEVICES": [[None, "rdma_en2"], ["rdma_en3", None]]
    }


@pytest.mark.parametrize("count", [2, 3])
def test_the_ranks_become_one_group(count: int) -> None:
    ring = addresses(count)
    processes = [started(ring, rank) for rank in range(count)]
    assert [process.communicate(timeout=20)[0] for process in processes] == [
        f"{rank} {count} {count}\n" for rank in range(count)
    ]


def test_who_does_not_know_the_token_is_found_out_before_anything_is_said() -> None:
    ring = addresses(2)
    processes = [started(ring, 0), started(ring, 1, token="wrong")]
    for process in processes:
        said, errors = process.communicate(timeout=20)
        assert said == ""
        assert "RuntimeError: somebody who is not of this ring has connected to it" in errors


def test_a_rank_whose_neighbour_never_comes_ends_although_mlx_holds_the_interpreter() -> None:
    alpha = started(addresses(2), 0)
    begun = time.monotonic()
    said, errors = alpha.communicate(timeout=JOIN_S + 10)
    assert time.monotonic() - begun > JOIN_S
    assert alpha.returncode == 1
    assert said == ""
    assert "Timeout" in errors


def test_a_stranger_who_only_listens_holds_nobody_up_for_ever() -> None:
    ring = addresses(2)
    alpha = started(ring, 0)
    # Takes the place of beta: connects as it would, and accepts.
    beta = socket.create_server((ring[1], PORT + 1))
    threading.Thread(target=beta.accept, daemon=True).start()

    def connected() -> socket.socket | None:
        try:
            return socket.create_connection((ring[0], PORT), 1)
        except OSError:
            return None

    with beta, until(connected):
        said, _ = alpha.communicate(timeout=JOIN_S + 10)
    assert (said, alpha.returncode) == ("", 1)


FORGOTTEN = """
import sys
from raylab_serving.mlx import ring
from raylab_serving.mlx.options import Options
ring.FORGOTTEN_S = 1
entries = [{"mac": mac, "address": address} for mac, address in zip(("alpha", "beta"), sys.argv[1:])]
terms = ring.Terms(tuple(entries), 23323, b"token", "127.0.0.1")
rank = ring.RingRank(1, terms, Options("tiny", "/nowhere", 512, 1, 1))
print("made", flush=True)
sys.stdin.read()
"""


def test_a_rank_that_nobody_asks_anything_ends() -> None:
    command = [sys.executable, "-c", FORGOTTEN, *addresses(2)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "made\n"
    assert process.wait(5) == 1
    assert "rank 0 has not asked for 1 s" in process.stderr.read()
