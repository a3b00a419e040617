"""What replicas say of themselves while they load, and who reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

import ray
from ray.experimental.internal_kv import _internal_kv_put
from raylab_serving import loading

SERVING = Path(__file__).resolve().parents[2] / "serving"


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def other_mac(model: str, text: str, part: float | None, age: float) -> None:
    """What a replica elsewhere reported that many seconds ago."""
    now = time.time() - age
    entry = {"text": text, "part": part, "begun": now - 60, "now": now, "mac": "beta"}
    _internal_kv_put(f"{model}\nother".encode(), json.dumps(entry).encode(), namespace=loading.NAMESPACE)


def test_nobody_loads() -> None:
    assert loading.progress("nothing") is None


def test_a_report_is_read_until_it_is_cleared() -> None:
    loading.report("a/b", "reading weights", 0.4)
    found = loading.progress("a/b")
    assert found is not None
    assert (found.text, found.part) == ("reading weights", 0.4)
    assert str(found) == "reading weights, 40% done, 0 s so far"
    loading.clear("a/b")
    assert loading.progress("a/b") is None


def test_models_whose_names_begin_alike_are_told_apart() -> None:
    loading.report("tiny", "here")
    assert loading.progress("tin") is None
    loading.clear("tiny")


def test_the_replica_that_is_furthest_counts_and_an_old_report_does_not() -> None:
    loading.report("m", "starting")
    other_mac("m", "reading weights", 0.5, age=1)
    assert str(loading.progress("m")) == "reading weights on beta, 50% done, 60 s so far"
    other_mac("m", "reading weights", 0.5, age=loading.STALE_S + 1)
    found = loading.progress("m")
    assert found is not None
    assert found.text == "starting"
    loading.clear("m")


def test_reporting_repeats_itself_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "INTERVAL_S", 0.05)
    with loading.reporting("m2", "loading weights"):
        deadline = time.monotonic() + 10
        while (found := loading.progress("m2")) is None or found.seconds < 0.2:
            assert time.monotonic() < deadline
        assert found.text == "loading weights"
    assert loading.progress("m2") is None


HEADLESS = """
import time
import ray
from raylab_serving import loading
loading.report("m", "x")
assert loading.progress("m") is None
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
loading.report("m", "x")
assert loading.progress("m")
(head,) = ray._private.worker._global_node.all_processes["gcs_server"]
head.process.kill()
began = time.monotonic()
loading.report("m", "y")
print(loading.progress("m"), time.monotonic() - began, flush=True)
# Ray itself waits long for its head.
import os
os._exit(0)
"""


def test_without_a_head_nothing_is_known_and_nothing_breaks() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HEADLESS],
        env={**os.environ, "PYTHONPATH": f"{SERVING}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    known, seconds = ran.stdout.split()[-2:]
    assert known == "None"
    assert float(seconds) < 15
