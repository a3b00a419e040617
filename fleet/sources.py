"""Python files that hold data: running them, and finding the line in which something is written."""

from __future__ import annotations

import ast
import runpy
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType

from fleet.errors import Code, Problem


@dataclass(frozen=True)
class Source:
    """One inventory or group_data file, run, with the tree to look lines up in."""

    shown: str
    """The file's name in messages: as short as it can be from where a person stands."""
    values: dict[str, object] = field(default_factory=dict)
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))

    def at(self, line: int | None) -> str:
        """The file and a line of it: `inventory/lab.py:7`."""
        return f"{self.shown}:{line}" if line else self.shown

    def assigned(self, name: str, *path: str | int) -> str:
        """Where `name` is assigned; with a path, where that key or index of its value is written."""
        node: ast.expr | None = None
        line = None
        for statement in self.tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                node, line = statement.value, statement.lineno  # type: ignore[attr-defined]
        return self.at(_descend(node, line, path))

    def host(self, entry: str, occurrence: int, *path: str | int) -> str:
        """Where a host stands (the n-th time, from 0); with a path, where that key of its data is written."""
        places: list[tuple[int, ast.expr | None]] = []
        inside: set[ast.AST] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Tuple) and node.elts and _is_text(node.elts[0], entry):
                inside.add(node.elts[0])
                places.append((node.elts[0].lineno, node.elts[1] if len(node.elts) > 1 else None))
            elif node not in inside and _is_text(node, entry):
                places.append((node.lineno, None))  # type: ignore[attr-defined]
        places.sort(key=lambda place: place[0])
        if not places:
            return self.shown
        line, data = places[min(occurrence, len(places) - 1)]
        return self.at(_descend(data, line, path))


def read_source(path: Path, shown: str) -> Source | Problem:
    """Run a file. A file that cannot be run is one problem, with its line."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except FileNotFoundError:
        return Problem(Code.FILE_MISSING, "", "", "", shown, "Give an inventory file, such as inventory/lab.py.")
    except SyntaxError as error:
        fix = "Correct the line, or the one before it."
        return Problem(Code.FILE_SYNTAX, f"{shown}:{error.lineno or 1}", "", "", error.msg, fix)
    except (OSError, ValueError) as error:
        return Problem(Code.FILE_BROKEN, shown, "", "", str(error), "Make it a readable text file.")
    try:
        values = runpy.run_path(str(path))
    except Exception as error:  # a person's file may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{shown}:{lines[-1]}" if lines else shown
        return Problem(Code.FILE_BROKEN, where, "", "", f"{type(error).__name__}: {error}", "Correct the line.")
    return Source(shown, _data_of(values, tree), tree)


def _data_of(values: dict[str, object], tree: ast.Module) -> dict[str, object]:
    """What pyinfra takes from the file too: no imports, no functions; exactly __all__ where there is one."""
    chosen = values.get("__all__")
    if isinstance(chosen, (list, tuple)):
        return {name: values[name] for name in chosen if name in values}
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return {
        name: value
        for name, value in values.items()
        if not name.startswith("__") and name not in imported and not isinstance(value, (FunctionType, ModuleType))
    }


def _is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _descend(node: ast.expr | None, line: int | None, path: tuple[str | int, ...]) -> int | None:
    """The line of a key or index below `node`; of what holds it, where it is not written out."""
    for step in path:
        if isinstance(node, ast.Dict) and isinstance(step, str):
            found = [
                (key.lineno, value)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None and _is_text(key, step)
            ]
            if not found:
                return line
            line, node = found[-1]
        elif isinstance(node, (ast.List, ast.Tuple)) and isinstance(step, int) and step < len(node.elts):
            node = node.elts[step]
            line = node.lineno
        else:
            return line
    return line
