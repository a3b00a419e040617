"""A release, gathered once from a server and found again without it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from depot_release import MEMBER, MICROMAMBA, PYTHON, VALKEY, serve_release, tar_with, wheel
from depot_server import Server, serving, sha256

from depot import download
from depot.errors import DepotError
from depot.fetch import Depot, fetch, missing
from depot.install import explicit_lock, wheels_lock
from fleet.lockfile import LockedFile, LockedWheel
from fleet.release import Release


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture
def release(server: Server, tmp_path: Path) -> Release:
    return serve_release(server, tmp_path / "locks")


def fetched(release: Release, folder: Path) -> Depot:
    return fetch(release, folder / "depot", lambda _: None)


def test_everything_is_fetched_once_and_keeps_its_name(server: Server, release: Release, tmp_path: Path) -> None:
    first = fetched(release, tmp_path)
    assert sorted(server.asked) == sorted(server.files)
    assert [artifact.name for artifact in first.conda] == [PYTHON, VALKEY]
    assert [artifact.name for artifact in first.wheels] == [wheel.file for wheel in release.wheels]
    for artifact in (*first.conda, *first.wheels, *first.tools.values()):
        assert sha256(artifact.path.read_bytes()) == artifact.sha256 == artifact.path.name
        assert artifact.path.stat().st_size == artifact.size
    programs = {name: (tool.name, tool.path.read_bytes()) for name, tool in first.tools.items()}
    assert programs == {"micromamba": ("micromamba", b"micromamba"), "uv": ("uv", b"uv")}
    server.asked.clear()
    assert fetched(release, tmp_path) == first
    assert server.asked == []


def test_only_what_is_gone_is_fetched_again(server: Server, release: Release, tmp_path: Path) -> None:
    depot = fetched(release, tmp_path)
    server.asked.clear()
    depot.conda[0].path.unlink()
    depot.tools["micromamba"].path.unlink()
    (tmp_path / "depot" / "known.json").unlink()
    assert fetched(release, tmp_path) == depot
    assert server.asked == [f"/linux-64/{PYTHON}"]


def test_a_release_that_is_there_is_found_quickly(server: Server, release: Release, tmp_path: Path) -> None:
    wheels = []
    for number in range(250):
        name, data = f"w{number}-1.0-py3-none-any.whl", b"%d" % number
        server.files[f"/{name}"] = data
        wheels.append(LockedWheel(f"w{number}", "1.0", (sha256(data),), f"{server.url}/{name}", name))
    large = replace(release, wheels=(*release.wheels, *wheels))
    first = fetched(large, tmp_path)
    start = time.perf_counter()
    assert fetched(large, tmp_path) == first
    assert time.perf_counter() - start < 5


def test_a_run_that_was_cut_keeps_what_is_whole(
    server: Server, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSES", ())
    server.cuts[f"/linux-64/{VALKEY}"] = [1000]
    with pytest.raises(DepotError, match=rf"{VALKEY}: cannot fetch .* run it again"):
        fetched(release, tmp_path)
    server.asked.clear()
    fetched(release, tmp_path)
    assert server.asked == [f"/linux-64/{VALKEY}"]
    assert server.sent[f"/linux-64/{VALKEY}"] == 6000


def test_all_that_cannot_be_had_is_named_at_once(server: Server, release: Release, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(DepotError) as problem:
        fetched(release, tmp_path)
    names = [line.partition(":")[0] for line in str(problem.value).splitlines()]
    assert names == [PYTHON, VALKEY, MICROMAMBA, *(wheel.file for wheel in release.wheels)]


def test_a_tool_without_its_member_is_named(server: Server, release: Release, tmp_path: Path) -> None:
    path = f"/linux-64/{MICROMAMBA}"
    server.files[path] = tar_with("bin/other", b"")
    tool = LockedFile(MICROMAMBA, server.url + path, sha256(server.files[path]), MEMBER)
    with pytest.raises(DepotError, match=r"micromamba-2\.9\.0-0\.tar\.bz2: there is no bin/micromamba"):
        fetched(replace(release, tools=(tool,)), tmp_path)


def test_a_wheel_of_uv_without_uv_is_named(server: Server, release: Release, tmp_path: Path) -> None:
    name = "uv-1.0-py3-none-any.whl"
    server.files[f"/{name}"] = wheel("uv", "1.0", {"uv.py": b""})
    uv = LockedWheel("uv", "1.0", (sha256(server.files[f"/{name}"]),), f"{server.url}/{name}", name)
    wheels = tuple(uv if wheel.name == "uv" else wheel for wheel in release.wheels)
    with pytest.raises(DepotError, match=r"uv-1\.0-py3-none-any\.whl: there is no uv in it"):
        fetched(replace(release, wheels=wheels), tmp_path)


def test_locks_that_cannot_serve_are_told_before_anything_is_fetched(
    server: Server, release: Release, tmp_path: Path
) -> None:
    bare = replace(release, platform="osx-arm64", conda=release.conda[:1], wheels=())
    with pytest.raises(DepotError) as problem:
        fetched(bare, tmp_path)
    lines = str(problem.value).splitlines()
    assert lines[0].startswith("locks/osx-arm64/conda.lock has no valkey: ")
    assert lines[1].startswith("locks/osx-arm64/wheels.lock has no vllm: ")
    assert lines[2].startswith("locks/osx-arm64/wheels.lock has no uv")
    assert server.asked == []
    assert missing(release) == []


def test_the_texts_for_a_mac_name_the_files_of_the_depot(release: Release, tmp_path: Path) -> None:
    depot = fetched(release, tmp_path)
    folder = f"/opt/raylab/releases/{release.id}/incoming/conda"
    assert explicit_lock(depot).splitlines() == [
        "@EXPLICIT",
        f"file://{folder}/{PYTHON}#sha256:{release.conda[0].sha256}",
        f"file://{folder}/{VALKEY}#sha256:{release.conda[1].sha256}",
    ]
    assert wheels_lock(depot).splitlines()[0] == f"uv==1.0 --hash=sha256:{release.wheels[0].sha256s[0]}"
