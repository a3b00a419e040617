"""PlistBuddy: one entry of a property list, by its path."""

from __future__ import annotations

import os
import plistlib

from .answers import complain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NEW: dict[str, Any] = {"string": str, "integer": int, "bool": lambda text: text in ("true", "yes", "1")}
_EMPTY: dict[str, type[Any]] = {"dict": dict, "array": list}


def plistbuddy(arguments: list[str]) -> int:
    """PlistBuddy -c "Print|Delete|Add ENTRY [TYPE] [VALUE]" FILE."""
    if len(arguments) != 3 or arguments[0] != "-c":
        return complain("Usage: PlistBuddy [-cxlh] <file.plist>")
    verb, entry, *rest = [*arguments[1].split(" ", 2), ""][:3]
    try:
        with open(arguments[2], "rb") as file:
            text = file.read()
        root = plistlib.loads(text)
        changed = _run(verb, [part for part in entry.split(":") if part], rest[0], root)
    except FileNotFoundError:
        return complain(f"Error Reading File: {arguments[2]}")
    except (KeyError, IndexError, ValueError, TypeError):
        return complain(f'{verb}: Entry, "{entry}", Does Not Exist')
    if changed:
        form = plistlib.FMT_BINARY if text.startswith(b"bplist") else plistlib.FMT_XML
        with open(f"{arguments[2]}.new", "wb") as file:
            plistlib.dump(root, file, fmt=form)
        os.replace(f"{arguments[2]}.new", arguments[2])
    return 0


def _run(verb: str, path: list[str], rest: str, root: Any) -> bool:  # noqa: ANN401
    """Do it; whether the list was changed. Raises for an entry that is not there."""
    if verb == "Print":
        say(_shown(_at(root, path)))
        return False
    parent, last = _at(root, path[:-1]), path[-1]
    if verb == "Delete":
        del parent[_key(parent, last)]
        return True
    kind, _, value = rest.partition(" ")
    new = _EMPTY[kind]() if kind in _EMPTY else _NEW[kind](value)
    if verb != "Add":
        raise ValueError(verb)
    if isinstance(parent, list):
        parent.insert(_key(parent, last), new)
    else:
        parent[last] = new
    return True


def _at(root: Any, path: list[str]) -> Any:  # noqa: ANN401
    for part in path:
        root = root[_key(root, part)]
    return root


def _key(parent: Any, part: str) -> Any:  # noqa: ANN401
    return int(part) if isinstance(parent, list) else part


def _shown(value: Any, depth: int = 0) -> str:  # noqa: ANN401
    indent = "    " * (depth + 1)
    if isinstance(value, dict):
        rows = "".join(f"{indent}{key} = {_shown(one, depth + 1)}\n" for key, one in value.items())
        return f"Dict {{\n{rows}{'    ' * depth}}}"
    if isinstance(value, list):
        rows = "".join(f"{indent}{_shown(one, depth + 1)}\n" for one in value)
        return f"Array {{\n{rows}{'    ' * depth}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)
