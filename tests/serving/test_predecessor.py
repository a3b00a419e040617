"""A Ray node that starts where another one was waits until the head knows that that one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

pytest.importorskip("ray")

from ingress_cluster import STORE, program, until
from ray.cluster_utils import Cluster

WORKER = "127.0.0.2"


@pytest.fixture(scope="module")
def wrapper() -> ModuleType:
    """The program that launchd starts."""
    return program("raylab_ray")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    made.add_node(num_cpus=1, object_store_memory=STORE, include_dashboard=False)
    yield made
    made.shutdown()


def test_a_node_is_waited_for_until_the_head_knows_that_it_is_gone(wrapper: ModuleType, cluster: Cluster) -> None:
    assert wrapper.node_objection(cluster.address, WORKER) == ""
    worker = cluster.add_node(num_cpus=1, object_store_memory=STORE, node_ip_address=WORKER)
    known = f"{worker.node_id[:8]} at {WORKER}"
    assert wrapper.node_objection(cluster.address, WORKER) == known
    cluster.remove_node(worker, allow_graceful=False)
    # Killed hard, it is still known for a while: another one of this address must not start now.
    assert wrapper.node_objection(cluster.address, WORKER) == known
    until(lambda: not wrapper.node_objection(cluster.address, WORKER), 60)
