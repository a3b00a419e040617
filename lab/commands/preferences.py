"""Property lists: defaults and plutil."""

from __future__ import annotations

import os
import plistlib
import sys
import time
from typing import Any

from .answers import complain, say

TYPES = ("-string", "-int", "-integer", "-float", "-bool", "-boolean", "-array", "-dict")


def _file(domain: str) -> str:
    path = domain if domain.startswith("/") else os.path.expanduser(f"~/Library/Preferences/{domain}")
    return path if path.endswith(".plist") else f"{path}.plist"


def _load(domain: str) -> dict[str, Any] | None:
    try:
        with open(_file(domain), "rb") as file:
            values: dict[str, Any] = plistlib.load(file)
    except FileNotFoundError:
        return None
    return values


def _old_style(value: Any, depth: int = 0) -> str:  # noqa: ANN401
    """A value as `defaults read` prints it."""
    indent = "    " * (depth + 1)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        rows = "".join(
            f"{indent}{_quoted(key)} = {_old_style(one, depth + 1)};\n" for key, one in sorted(value.items())
        )
        return f"{{\n{rows}{'    ' * depth}}}"
    if isinstance(value, list):
        rows = ",\n".join(f"{indent}{_old_style(one, depth + 1)}" for one in value)
        return f"(\n{rows}\n{'    ' * depth})"
    return _quoted(str(value)) if depth else str(value)


def _quoted(text: str) -> str:
    return text if text and all(letter.isalnum() or letter == "_" for letter in text) else f'"{text}"'


def _missing(domain: str, key: str | None) -> int:
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S')}.000 defaults[{os.getpid()}:{os.getpid()}] \n"
    if key is None:
        return complain(f"{stamp}Domain {domain} does not exist")
    return complain(f"{stamp}The domain/default pair of ({domain}, {key}) does not exist")


def _value(words: list[str]) -> Any:  # noqa: ANN401
    """What `defaults write` was given. Raises ValueError."""
    kind = words[0] if words and words[0] in TYPES else "-string"
    rest = words[1:] if words and words[0] in TYPES else words
    if kind == "-array":
        return rest
    if kind == "-dict":
        return dict(zip(rest[::2], rest[1::2], strict=True))
    if len(rest) != 1:
        raise ValueError(rest)
    if kind.startswith("-bool"):
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[rest[0].lower()]
    if kind.startswith("-int"):
        return int(rest[0])
    return float(rest[0]) if kind == "-float" else rest[0]


def defaults(arguments: list[str]) -> int:
    """defaults read|read-type|write|delete DOMAIN [KEY] [-TYPE VALUE]; a domain is a name or a path."""
    words = [word for word in arguments if word not in ("-currentHost", "-app")]
    if len(words) < 2 or words[0] not in ("read", "read-type", "write", "delete"):
        return complain("Command line interface to a user's defaults.", 255)
    verb, domain, *rest = words
    key = rest[0] if rest else None
    values = _load(domain)
    if verb == "write":
        return _write(domain, values or {}, rest)
    if values is None or (key is not None and key not in values):
        return _missing(domain, key)
    if verb == "delete":
        if key is None:
            os.unlink(_file(domain))
            return 0
        del values[key]
        return _store(domain, values)
    value = values if key is None else values[key]
    if verb == "read-type":
        names = {
            bool: "boolean",
            int: "integer",
            float: "float",
            str: "string",
            list: "array",
            dict: "dictionary",
        }
        return say(f"Type is {names.get(type(value), 'data')}")
    return say(_old_style(value))


def _write(domain: str, values: dict[str, Any], words: list[str]) -> int:
    try:
        values[words[0]] = _value(words[1:])
    except (ValueError, KeyError, IndexError):
        return complain("Rep argument is not a dictionary\nDefaults have not been changed.", 255)
    return _store(domain, values)


def _store(domain: str, values: dict[str, Any]) -> int:
    path = _file(domain)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.new", "wb") as file:
            plistlib.dump(values, file, fmt=plistlib.FMT_BINARY)
        os.replace(f"{path}.new", path)
    except PermissionError:
        return complain(f"Could not write domain {domain}; exiting")
    return 0


def plutil(arguments: list[str]) -> int:
    """plutil [-lint] FILE ... | -convert xml1|binary1|json [-o FILE] FILE | -extract KEY raw|json [-o -] FILE."""
    if arguments[:1] == ["-convert"] and len(arguments) >= 3:
        return _convert(arguments[1], arguments[2:])
    if arguments[:1] == ["-extract"] and arguments[2:-1] in (["raw"], ["json", "-o", "-"]):
        return _extract(arguments[1], arguments[2], arguments[-1])
    files = [word for word in arguments if word not in ("-lint", "-s", "--")]
    if not files:
        return complain("No files specified.")
    status = 0
    for name in files:
        try:
            with open(name, "rb") as file:
                plistlib.load(file)
        except FileNotFoundError:
            status = complain(f"{name}: file does not exist or is not readable or is not a regular file")
        except Exception as error:
            status = 1
            print(f"{name}: {error}")
        else:
            if "-s" not in arguments:
                print(f"{name}: OK")
    return status


def _convert(form: str, words: list[str]) -> int:
    output = words[words.index("-o") + 1] if "-o" in words[:-1] else words[-1]
    try:
        with open(words[-1], "rb") as file:
            values = plistlib.load(file)
    except (OSError, ValueError):
        return complain(f"{words[-1]}: Property List error")
    if form == "json":
        import json

        data = json.dumps(values, separators=(",", ":")).encode()
    elif form in ("xml1", "binary1"):
        data = plistlib.dumps(values, fmt=plistlib.FMT_XML if form == "xml1" else plistlib.FMT_BINARY)
    else:
        return complain(f"Unknown format specifier: {form}")
    if output == "-":
        sys.stdout.buffer.write(data)
        return 0
    with open(output, "wb") as file:
        file.write(data)
    return 0


def _extract(path: str, form: str, name: str) -> int:
    try:
        with open(name, "rb") as file:
            value: Any = plistlib.load(file)
        for key in path.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (OSError, ValueError, KeyError, IndexError):
        return complain(
            f"{name}: Could not extract value, error: No value at that key path or invalid key path: {path}"
        )
    if form == "json":
        import json

        return say(json.dumps(value, separators=(",", ":")))
    return say(str(value).lower() if isinstance(value, bool) else str(value))
