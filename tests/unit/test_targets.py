"""Which wheels run on a Mac, and that the committed locks name no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from depot.lock.folder import Folder
from fleet.release import read_release
from fleet.targets import TARGETS, best, target_for, unfit

LOCKS = Path(__file__).parents[2] / "locks"
MAC, LINUX = TARGETS["osx-arm64"], TARGETS["linux-64"]


@pytest.mark.parametrize("platform", ["osx-arm64", "linux-64"])
def test_every_committed_wheel_is_one_file_that_its_platform_installs(platform: str) -> None:
    folder = Folder(LOCKS / platform)
    wheels = folder.wheels()
    assert len(wheels) > 170
    lines = [line for line in folder.read("wheels.lock").splitlines() if not line.startswith("#")]
    assert len(lines) == len(wheels)
    assert [wheel.name for wheel in wheels if len(wheel.sha256s) != 1 or not wheel.file] == []
    assert {wheel.file: reason for wheel in wheels if (reason := unfit(folder.target, wheel.file))} == {}


def test_the_committed_locks_of_a_mac_are_a_release() -> None:
    release = read_release(LOCKS / "osx-arm64")
    assert (release.platform, release.python[:5], release.versions["mlx"]) == ("osx-arm64", "3.12.", "0.32.0")


def test_a_mac_takes_its_own_wheel_before_a_universal_or_a_pure_one() -> None:
    files = [
        "a-1-py3-none-any.whl",
        "a-1-cp312-cp312-macosx_10_9_universal2.whl",
        "a-1-cp312-cp312-macosx_14_0_arm64.whl",
        "a-1-cp312-cp312-macosx_15_0_arm64.whl",
        "a-1-cp312-cp312-macosx_15_0_x86_64.whl",
        "a-1-cp312-cp312-macosx_26_0_arm64.whl",
        "a-1-cp313-cp313-macosx_15_0_arm64.whl",
        "a-1.tar.gz",
    ]
    taken = []
    while file := best(MAC, files):
        taken.append(file)
        files.remove(file)
    assert taken == [
        "a-1-cp312-cp312-macosx_15_0_arm64.whl",
        "a-1-cp312-cp312-macosx_14_0_arm64.whl",
        "a-1-cp312-cp312-macosx_10_9_universal2.whl",
        "a-1-py3-none-any.whl",
    ]


def test_the_exact_python_the_stable_abi_and_a_higher_build_number_come_first() -> None:
    assert best(MAC, ["a-1-cp310-abi3-macosx_11_0_arm64.whl", "a-1-cp311-abi3-macosx_11_0_arm64.whl"]) == (
        "a-1-cp311-abi3-macosx_11_0_arm64.whl"
    )
    assert best(MAC, ["a-1-2-py3-none-any.whl", "a-1-10-py3-none-any.whl", "a-1-py3-none-any.whl"]) == (
        "a-1-10-py3-none-any.whl"
    )
    assert best(MAC, ["a-1-cp312-cp312t-macosx_11_0_arm64.whl"]) is None


@pytest.mark.parametrize(
    ("file", "fits"),
    [
        ("a-1-cp311-cp311-manylinux_2_36_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("a-1-py3-none-manylinux1_x86_64.whl", True),
        ("a-1-cp311-cp311-linux_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux_2_37_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_36_x86_64.whl", False),
        ("a-1-cp311-cp311-macosx_11_0_arm64.whl", False),
    ],
)
def test_the_labs_machines_have_debians_c_library(file: str, fits: bool) -> None:
    assert (unfit(LINUX, file) == "") is fits


def test_a_target_is_a_platform_and_a_minor_python() -> None:
    assert target_for("osx-arm64", "3.12.11") == MAC
    assert target_for("win-64", "3.12.11") is None
    assert target_for("osx-arm64", "") is None
