"""How far replicas are that do not serve yet: told through Ray's own key-value store, read by every ingress.

Nothing here raises or waits long when the head is away: a replica goes on loading, and an ingress says less.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.experimental import internal_kv

NAMESPACE = b"raylab-loading"
MAC_LABEL = "raylab.io/mac"
# Seconds between two reports of `reporting`. Entries older than STALE_S count for nothing: their replica is gone.
INTERVAL_S = 5.0
STALE_S = 120.0
# Seconds that one question to the head may take.
TIMEOUT_S = 1.0

_begun: dict[str, float] = {}


@dataclass(frozen=True)
class Progress:
    """What a replica last said of itself."""

    text: str
    part: float | None
    """How much is done, 0 to 1; None where that is not known."""
    seconds: float
    """Since the replica began, by its own clock."""
    mac: str
    """Where it runs; empty when Ray does not know the Mac's name."""

    def __str__(self) -> str:
        where = f" on {self.mac}" if self.mac else ""
        done = f", {self.part:.0%} done" if self.part is not None else ""
        return f"{self.text}{where}{done}, {self.seconds:.0f} s so far"


def report(model_id: str, text: str, part: float | None = None) -> None:
    """Say how far this process is with a model: at every step, and at least every STALE_S seconds."""
    now = time.time()
    entry = {"text": text, "part": part, "begun": _begun.setdefault(model_id, now), "now": now}
    # Ray has a dozen errors for a head that is away, and none of them is the caller's business.
    with contextlib.suppress(Exception):
        store = _store()
        value = json.dumps({**entry, "mac": _mac()}).encode()
        store.internal_kv_put(_key(model_id), value, True, NAMESPACE, TIMEOUT_S)


def clear(model_id: str) -> None:
    """Forget what this process reported: it serves now, or has given up."""
    _begun.pop(model_id, None)
    with contextlib.suppress(Exception):
        store = _store()
        store.internal_kv_del(_key(model_id), False, NAMESPACE, TIMEOUT_S)


def progress(model_id: str) -> Progress | None:
    """What the replica that is furthest with this model last said; None when none is loading, or nobody can tell.

    Blocks for up to two TIMEOUT_S: not for an event loop.
    """
    try:
        store = _store()
        keys = store.internal_kv_keys(_prefix(model_id), NAMESPACE, TIMEOUT_S)
        values = store.internal_kv_multi_get(keys, NAMESPACE, TIMEOUT_S).values() if keys else []
        entries = [json.loads(value) for value in values]
    except Exception:
        return None
    fresh = [entry for entry in entries if abs(time.time() - entry["now"]) < STALE_S]
    if not fresh:
        return None
    first = max(fresh, key=lambda entry: (entry["part"] or 0, -entry["begun"]))
    return Progress(first["text"], first["part"], first["now"] - first["begun"], first["mac"])


@contextlib.contextmanager
def reporting(model_id: str, text: str) -> Iterator[None]:
    """Report the same text every few seconds while the body runs, and forget it then.

    From a thread: engines block the event loop while they load.
    """
    over = threading.Event()

    def repeat() -> None:
        while True:
            report(model_id, text)
            if over.wait(INTERVAL_S):
                return

    thread = threading.Thread(target=repeat, name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        clear(model_id)


def _store() -> Any:  # noqa: ANN401
    """The client of the head that this process has. Raises ConnectionError without one: Ray would start a head."""
    store = internal_kv.internal_kv_get_gcs_client()
    if store is None:
        raise ConnectionError
    return store


def _prefix(model_id: str) -> bytes:
    return f"{model_id}\n".encode()


def _key(model_id: str) -> bytes:
    """One entry per node: no model runs twice on one."""
    return _prefix(model_id) + str(ray.get_runtime_context().get_node_id()).encode()


def _mac() -> str:
    labels = ray.get_runtime_context().get_node_labels() or {}
    return str(labels.get(MAC_LABEL, ""))
