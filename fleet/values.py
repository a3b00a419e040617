"""Whether a value is what its setting wants, and how values are shown."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from fleet.errors import Code
from fleet.origin import Origin
from fleet.settings import Application, Fleet, Mac, Model

# Fields are told apart by name and annotation: a Mac's memory_gb is a whole number, a model's is not.
_TYPES: dict[tuple[str, str], object] = {
    (entry.name, str(entry.type)): get_type_hints(owner)[entry.name]
    for owner in (Mac, Fleet, Model, Application)
    for entry in fields(owner)
}

Report = Callable[..., None]
"""Called with (code, given, fix, other) for a problem at one place."""

_KINDS: dict[Any, str] = {
    str: "text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    Origin: "a folder or a repository",
    type(None): "None",
    tuple[str, ...]: "a list of texts",
    dict[str, str]: "a dict of texts by name",
    dict[str, Any]: "a dict by name",
    dict[str, Origin]: "a dict of folders or repositories by name",
}


def shown(value: object) -> str:
    """A value as a person wrote it, short enough for one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`Did you mean …?` when a known word is close, else what to say otherwise."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else otherwise


def typed(setting: Field[Any], value: object, root: Path, report: Report) -> object:
    """The value, with a path made absolute and a list made a tuple.

    What is wrong is reported, and the default returned.
    """
    kind = _kind_of(setting)
    if not _fits(value, kind):
        example = setting.metadata["example"]
        report(Code.SETTING_TYPE, shown(value), f"For example {example}.", describe(kind))
        return stand_in(setting, root)
    low, high = setting.metadata["low"], setting.metadata["high"]
    for number in _numbers(value):
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"{low} to {high}" if high is not None else f"{low} and more"
            report(Code.SETTING_RANGE, str(number), f"For example {setting.metadata['example']}.", bounds)
            return stand_in(setting, root)
    if kind is Path or (Path in get_args(kind) and isinstance(value, (str, Path))):
        return root / Path(str(value)).expanduser()
    return tuple(value) if isinstance(value, list) else value


def describe(kind: object) -> str:
    """A type in a person's words: `a whole number or "all"`."""
    if kind in _KINDS:
        return _KINDS[kind]
    if get_origin(kind) is Literal:
        return " or ".join(shown(option) for option in get_args(kind))
    if is_typeddict(kind):
        return "{" + ", ".join(f'"{name}": {describe(item)}' for name, item in get_type_hints(kind).items()) + "}"
    return " or ".join(describe(option) for option in get_args(kind) if option is not type(None))


def stand_in(setting: Field[Any], root: Path) -> object:
    """The default, so that checking can go on; empty text where there is none."""
    if setting.default_factory is not MISSING:
        made: object = setting.default_factory()
        return made
    default: object = setting.default
    if default is MISSING:
        return ""
    return root / default if isinstance(default, Path) else default


def _numbers(value: object) -> Iterator[int | float]:
    """Those that the bounds of a setting concern: the value, or each of a dict such as {"min": 1, "max": 3}."""
    for each in value.values() if isinstance(value, dict) else (value,):
        if isinstance(each, (int, float)) and not isinstance(each, bool):
            yield each


def _kind_of(setting: Field[Any]) -> object:
    """What a person writes: a type, not the text that dataclasses keep of the annotation."""
    return setting.metadata["written"] or _TYPES[setting.name, str(setting.type)]


def _fits(value: object, kind: object) -> bool:
    origin = get_origin(kind)
    if kind is Path or kind == Origin:
        return isinstance(value, (str, Path)) and bool(str(value))
    if kind is bool:
        return isinstance(value, bool)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(_fits(each, str) for each in value)
    if origin is dict or is_typeddict(kind):
        return isinstance(value, dict) and _items_fit(value, kind)
    if kind is str:
        return isinstance(value, str) and bool(value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind) and not isinstance(value, bool)


def _items_fit(value: dict[Any, Any], kind: object) -> bool:
    """A dict with any keys, or with exactly those of a TypedDict."""
    if is_typeddict(kind):
        wanted = get_type_hints(kind)
        return value.keys() == wanted.keys() and all(_fits(value[name], item) for name, item in wanted.items())
    _, item = get_args(kind)
    return all(isinstance(key, str) and (item is Any or _fits(each, item)) for key, each in value.items())
