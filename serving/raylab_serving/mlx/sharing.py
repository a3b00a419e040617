"""How the ranks of a ring do the same thing at the same time: rank 0 decides, the others follow."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

from raylab_serving.mlx.jobs import Job


@dataclass
class Orders:
    """What every rank does next."""

    jobs: list[tuple[int, Job]] = field(default_factory=list)
    """New ones, by their numbers."""
    removed: list[int] = field(default_factory=list)
    """Jobs that nobody waits for any more."""
    kept: int | None = None
    """How many of the prompts that have been read stay; None for all. A count, because bytes differ between ranks."""
    steps: int = 1
    """Steps of generation before the next orders."""
    stop: bool = False


def share(orders: Orders | None, group: mx.distributed.Group | None) -> Orders:
    """Rank 0's orders, on every rank. Waits for all of them."""
    if group is None:
        assert orders is not None
        return orders
    data = b""
    if orders is not None and orders != Orders(steps=orders.steps):
        data = pickle.dumps(orders)
    # Mostly there is nothing to say but how many steps to go.
    steps = 0 if orders is None else orders.steps
    size, steps = mx.distributed.all_sum(mx.array([len(data), steps]), group=group).tolist()
    if not size:
        return Orders(steps=steps)
    mine = mx.array(np.frombuffer(data, dtype=np.uint8)) if data else mx.zeros(size, dtype=mx.uint8)
    shared = np.asarray(mx.distributed.all_sum(mine, group=group))
    # Only ranks of this ring are in the group: what they send is ours.
    received = pickle.loads(shared.tobytes())
    assert isinstance(received, Orders)
    return received
