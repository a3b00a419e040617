"""The setting `applications`: Serve applications of the user's own, beside raylab's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet.checks import Findings
from fleet.errors import Code
from fleet.items import Item, items
from fleet.raw import Entry
from fleet.settings import APPLICATION_SETTINGS, Application
from fleet.values import shown
from fleet.wheel import CodeWheel, read

# Names of our own: of the application that takes requests in, and what those of the models begin with.
ENTRY = "llm"
MODEL = "model:"
# The paths that they answer.
OUR_PATHS = ("/", "/v1")
_ROUTE = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def read_applications(entry: Entry | None, root: Path, findings: Findings) -> tuple[Application, ...]:
    """The applications that are right; what is wrong with the others goes into `findings`."""
    example = '{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app"}'
    every = items("applications", entry, example, findings)
    found = []
    for item in every:
        values = item.values(APPLICATION_SETTINGS, root, Code.APPLICATION_INCOMPLETE)
        _check_import_path(item, values["import_path"])
        values["wheel"] = _wheel(item, values["wheel"])
        found.append((item, values))
    _check_names([(item, values["name"]) for item, values in found])
    _check_routes(found)
    return tuple(Application(**values) for item, values in found if item.right)


def _check_names(named: Sequence[tuple[Item, str]]) -> None:
    seen = set()
    for item, name in named:
        report = item.report("name")
        if name == ENTRY or name.startswith(MODEL):
            report(Code.APPLICATION_OURS, shown(name), "Choose another name.")
        elif name and name in seen:
            report(Code.APPLICATION_TWICE, shown(name), "Give each its own name.")
        seen.add(name)


def _check_routes(found: Sequence[tuple[Item, dict[str, Any]]]) -> None:
    """Serve gives a request to the application with the longest prefix: ours keeps the paths that it answers."""
    owners = dict.fromkeys(OUR_PATHS, "raylab's own application")
    for item, values in found:
        route, report = values["route_prefix"], item.report("route_prefix")
        if not route:
            continue
        if route != "/" and not _ROUTE.fullmatch(route):
            report(Code.ROUTE_INVALID, shown(route), 'Write it like "/rerank", without a slash at its end.')
        elif route in owners or route.startswith("/v1/"):
            owner = owners.get(route, owners["/v1"])
            report(Code.ROUTE_TAKEN, shown(route), "Choose another path.", owner)
        owners.setdefault(route, f"the application {shown(values['name'])}")


def _check_import_path(item: Item, path: str) -> None:
    if path and not _IMPORT_PATH.fullmatch(path):
        fix = 'Write the module, a colon and the name in it, such as "rerank.main:app".'
        item.report("import_path")(Code.IMPORT_PATH_INVALID, shown(path), fix)


def _wheel(item: Item, path: Path | None) -> CodeWheel | None:
    if path is None:
        return None
    given, report = str(item.written["wheel"]), item.report("wheel")
    if not path.exists():
        report(Code.FILE_LACKING, given, "Build it, for example with `uv build --wheel`, and name the file.")
        return None
    try:
        return read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        report(Code.FILE_UNFIT, given, "Name a wheel of pure Python.", str(reason))
    return None
