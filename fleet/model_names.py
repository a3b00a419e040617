"""What clients may call models: every name means one thing, also to Serve and on a disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fleet.errors import Code
from fleet.items import Item
from fleet.placement import SLOTS
from fleet.values import Report, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


def serve_name(model_id: str) -> str:
    """An id as it stands in the name of a Serve deployment, and of a folder: `Qwen/Qwen3-8B` is `Qwen--Qwen3-8B`."""
    return model_id.replace("/", "--").replace(".", "_")


def check_names(items: Sequence[Item], ids: Sequence[str]) -> None:
    """All names of all models; `ids` are those of the items, empty where one has none."""
    taken: dict[str, str] = {}
    alike: dict[str, str] = {}
    for item, model_id in zip(items, ids, strict=True):
        for path, name, title in _names(item, model_id):
            _check_name(item.report(*path), name, title, taken, alike)
            taken.setdefault(name, f"{title} of {shown(model_id)}" if title else "the id of a model")
            # An alias is no deployment, and no folder.
            if title != "an alias":
                alike.setdefault(serve_name(name), name)
    if len(items) > SLOTS:
        fix = "Serve fewer, or make a second fleet."
        items[SLOTS].report()(Code.MODELS_TOO_MANY, str(len(items)), fix, str(SLOTS))


def _check_name(report: Report, name: str, title: str, taken: Mapping[str, str], alike: Mapping[str, str]) -> None:
    """One name, against those that came before."""
    if not _NAME.fullmatch(name):
        report(Code.MODEL_ID_INVALID, shown(name), "Use letters, digits, dots, hyphens and at most one slash.")
    elif name in taken and not title and taken[name] == "the id of a model":
        report(Code.MODEL_TWICE, shown(name), "Clients ask for a model by its id: give each its own.")
    elif name in taken:
        report(Code.MODEL_NAME_TAKEN, shown(name), "Clients ask for that by this name: choose another.", taken[name])
    elif title != "an alias" and serve_name(name) in alike:
        fix = "It takes / for --, and . for _: choose another name."
        report(Code.MODEL_ALIKE, shown(name), fix, shown(alike[serve_name(name)]))


def _names(item: Item, model_id: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where each name of a model is written, the name, and what it is; nothing for the id."""
    if model_id:
        yield ("id",), model_id, ""
    aliases, adapters = item.written.get("aliases"), item.written.get("adapters")
    for alias in aliases if isinstance(aliases, (list, tuple)) else ():
        if isinstance(alias, str) and alias:
            yield ("aliases",), alias, "an alias"
    for name in adapters if isinstance(adapters, dict) else ():
        if isinstance(name, str):
            yield ("adapters", name), name, "an adapter"
