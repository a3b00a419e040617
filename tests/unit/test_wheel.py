"""Wheels of Python code: the same bytes each time, importable as they are."""

from __future__ import annotations

import importlib.metadata
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fleet.wheel import CodeWheel, built, read

PROJECT = """\
[project]
name = "house-rules"
version = "1.2"

[tool.hatch.build.targets.wheel]
packages = ["house_rules"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small Python project."""
    folder = tmp_path / "project"
    (folder / "house_rules" / "inner").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "house_rules" / "__init__.py").write_text("GREETING = 'come in'\n")
    (folder / "house_rules" / "inner" / "__init__.py").write_text("from house_rules import GREETING\n")
    (folder / "house_rules" / "notes.pyc").write_text("left over")
    return folder


def _written(wheel: CodeWheel, folder: Path) -> Path:
    path = folder / wheel.file
    path.write_bytes(wheel.data)
    return path


def test_python_imports_it_and_knows_its_version(project: Path, tmp_path: Path) -> None:
    wheel = built(project)
    path = _written(wheel, tmp_path)
    code = (
        "import importlib.metadata, house_rules.inner as inner;"
        "print(inner.GREETING, importlib.metadata.version('house-rules'))"
    )
    environment = {"PYTHONPATH": str(path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "come in 1.2\n"
    assert wheel.file == "house_rules-1.2-py3-none-any.whl"


def test_pip_finds_its_record_in_order(project: Path, tmp_path: Path) -> None:
    path = _written(built(project), tmp_path)
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(target), str(path)]
    subprocess.run(pip, check=True, capture_output=True)
    found = next(iter(importlib.metadata.distributions(path=[str(target)])))
    assert found.files is not None
    assert {str(file) for file in found.files} >= {"house_rules/__init__.py", "house_rules/inner/__init__.py"}


def test_the_same_code_makes_the_same_file(project: Path) -> None:
    once = built(project)
    (project / "house_rules" / "__init__.py").touch()
    assert built(project).data == once.data
    (project / "house_rules" / "__init__.py").write_text("GREETING = 'go away'\n")
    other = built(project)
    assert other.file == once.file
    assert other.path != once.path


def test_raylabs_own_holds_every_module() -> None:
    root = Path(__file__).resolve().parents[2] / "serving"
    wheel = built(root)
    wanted = {path.relative_to(root).as_posix() for path in (root / "raylab_serving").rglob("*.py")}
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        held = {name for name in archive.namelist() if name.endswith(".py")}
        assert archive.testzip() is None
    assert held == wanted
    assert wanted


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("app.whl", "not the name of a wheel"),
        ("app-1.0-cp312-cp312-macosx_11_0_arm64.whl", "compiled code"),
        ("app-1.0-py3-none-any.whl", "not a zip"),
    ],
)
def test_a_wheel_that_cannot_be_imported_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_text("no zip")
    with pytest.raises(ValueError, match=says):
        read(tmp_path / name)


def test_a_built_wheel_is_read_back(project: Path, tmp_path: Path) -> None:
    wheel = built(project)
    assert read(_written(wheel, tmp_path)) == wheel
