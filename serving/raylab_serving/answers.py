"""The parts of an answer as replicas give them: texts of server-sent events, whole answers, and lists of both."""

from __future__ import annotations

import json
from typing import Any

_DATA = "data: "
DONE = f"{_DATA}[DONE]\n\n"


def head(part: Any) -> Any:  # noqa: ANN401
    """The first thing in a part: Ray's batches are lists."""
    return part[0] if isinstance(part, list) else part


def failed_start(part: Any) -> bool:  # noqa: ANN401
    """Whether an answer begins with an engine's own report, in a stream, that it has failed."""
    first = head(part)
    if not isinstance(first, str) or not first.startswith(f'{_DATA}{{"error"'):
        return False
    code = json.loads(first.partition("\n\n")[0].removeprefix(_DATA))["error"].get("code")
    return isinstance(code, int) and code >= 500


def renamed(part: Any, model: str) -> Any:  # noqa: ANN401
    """The same part, saying that this model made it."""
    if isinstance(part, list):
        return [renamed(item, model) for item in part]
    if isinstance(part, str):
        return "\n\n".join(_renamed_event(event, model) for event in part.split("\n\n"))
    if isinstance(part, dict):
        return {**part, "model": model} if "model" in part else part
    if hasattr(part, "model"):
        part.model = model
    return part


def _renamed_event(event: str, model: str) -> str:
    if not event.startswith(f"{_DATA}{{"):
        return event
    content = json.loads(event.removeprefix(_DATA))
    if "model" not in content:
        return event
    return _DATA + json.dumps({**content, "model": model}, ensure_ascii=False, separators=(",", ":"))


def events(part: Any) -> str:  # noqa: ANN401
    """A part of a stream as it goes to the client."""
    return "".join(_event(item) for item in (part if isinstance(part, list) else [part]))


def _event(item: Any) -> str:  # noqa: ANN401
    if isinstance(item, str):
        return item
    content = json.dumps(item) if isinstance(item, dict) else item.model_dump_json()
    return f"{_DATA}{content}\n\n"
