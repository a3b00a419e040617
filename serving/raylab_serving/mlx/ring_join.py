"""How a process becomes a rank of mlx's own group, by sockets (ring) or by RDMA over Thunderbolt (jaccl).

mlx reads its part from the environment and from files, once. Two properties of mlx 0.32.0 shape this module: while it
joins it holds the interpreter, so that no Python thread can give up for it; and it takes whoever connects first for
the neighbour. So a watchdog outside the interpreter bounds the joining, and the first thing that goes around the ring
is a sum that only the holders of the token can know.
"""

from __future__ import annotations

import faulthandler
import hmac
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raylab_serving.mlx.lifeline import LIFELINE_S

# Seconds in which all ranks must have joined; they begin together, on links that just answered. A rank that joins does
# not beat, so the others would not wait any longer.
JOIN_S = LIFELINE_S


@dataclass(frozen=True)
class Terms:
    """What all ranks of one ring agree on."""

    ring: tuple[Mapping[str, Any], ...]
    """`mac` and `address` of each rank, maybe `rdma`: that Mac's RDMA device towards each rank, None for itself."""
    port: int
    """Rank r listens on its address, at port + r; it is the rank before that connects to it."""
    token: bytes = field(repr=False)
    """What only the ranks know."""
    host: str
    """Rank 0, as every rank reaches it: over cables its address of the ring is known to its neighbour alone."""

    @property
    def macs(self) -> list[str]:
        """Their names, by rank."""
        return [entry["mac"] for entry in self.ring]

    @property
    def addresses(self) -> list[str]:
        """Where the rank before reaches each."""
        return [entry["address"] for entry in self.ring]


@dataclass(frozen=True)
class Setting:
    """What mlx is told: its backend, variables as they are, and variables that name a file with this content."""

    backend: str
    variables: dict[str, str]
    files: dict[str, str]


def setting(terms: Terms, rank: int) -> Setting:
    """For one rank: by RDMA where the ring has devices for it, else by sockets."""
    if "rdma" in terms.ring[0]:
        variables = {
            "MLX_RANK": str(rank),
            "MLX_JACCL_COORDINATOR": f"{terms.host}:{terms.port}",
            # The CPU and the GPU wait for each other once a layer: without this that takes longer than the sum itself.
            "MLX_METAL_FAST_SYNCH": "1",
        }
        return Setting("jaccl", variables, {"MLX_IBV_DEVICES": json.dumps([entry["rdma"] for entry in terms.ring])})
    hosts = [[f"{address}:{terms.port + number}"] for number, address in enumerate(terms.addresses)]
    return Setting("ring", {"MLX_RANK": str(rank)}, {"MLX_HOSTFILE": json.dumps(hosts)})


def join(terms: Terms, rank: int) -> None:
    """Makes this process that rank; returns when all are there. mx.distributed.init() then gives the group.

    Raises RuntimeError when a neighbour cannot be reached, or is not of this ring. A process that has not joined after
    JOIN_S is ended.
    """
    # Here, so that no process that only knows of rings needs mlx.
    import mlx.core as mx

    given = setting(terms, rank)
    with tempfile.TemporaryDirectory(prefix="raylab-ring-") as folder, _watched():
        for name, content in given.files.items():
            path = Path(folder, name)
            path.write_text(content, encoding="utf-8")
            os.environ[name] = str(path)
        os.environ |= given.variables
        group = mx.distributed.init(strict=True, backend=given.backend)
        shares = [_share(terms.token, number) for number in range(len(terms.ring))]
        total = mx.distributed.all_sum(mx.array(shares[rank], dtype=mx.uint32), group=group, stream=mx.cpu).tolist()
    if total != [sum(column) % 2**32 for column in zip(*shares, strict=True)]:
        raise RuntimeError("somebody who is not of this ring has connected to it")


@contextmanager
def _watched() -> Iterator[None]:
    """Ends the process after JOIN_S, with a trace on stderr, whatever holds the interpreter."""
    faulthandler.dump_traceback_later(JOIN_S, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _share(token: bytes, rank: int) -> list[int]:
    """What this rank adds to the first sum: eight numbers below 2³²."""
    return list(struct.unpack("<8I", hmac.digest(token, b"share %d" % rank, "sha256")))
