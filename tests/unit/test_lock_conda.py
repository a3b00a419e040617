"""`make lock`, conda.lock and tools.lock: py-rattler against channels that are folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lock_project import Channel, Index, Locks

from lab.artifacts.archive import CondaPackage, Content, write_package
from lab.artifacts.channel import lock_channel

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    """Python for a Mac, as far as a solver needs it."""
    made = Channel(tmp_path / "conda-forge", "osx-arm64")
    made.add("zlib", "1.3", "__osx >=11.0")
    made.add("python", "3.12.11", "zlib >=1.2", "__unix")
    made.add("valkey-server", "9.0.0", "__osx >=15.0")
    return made


@pytest.fixture
def locks(tmp_path: Path, channel: Channel) -> Locks:
    made = Locks(tmp_path / "locks")
    made.write("conda.in", "# what a Mac runs", f"{channel.url}::python=3.12", f"{channel.url}::valkey-server")
    return made


def test_an_explicit_lock_with_what_is_needed_first(
    channel: Channel, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    assert locks.make() == 0
    lines = locks.lines("conda.lock")
    assert lines[0] == "@EXPLICIT"
    wanted = {("zlib", "1.3"), ("python", "3.12.11"), ("valkey-server", "9.0.0")}
    assert set(lines[1:]) == {channel.line(name, version) for name, version in wanted}
    assert lines.index(channel.line("zlib", "1.3")) < lines.index(channel.line("python", "3.12.11"))
    assert capsys.readouterr().out.splitlines()[1:] == ["  + python 3.12.11", "  + valkey-server 9.0.0", "  + zlib 1.3"]


def test_a_second_time_changes_nothing_until_an_upgrade_is_asked_for(
    channel: Channel, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.make()
    lock = locks.folder / "conda.lock"
    before = lock.read_bytes()
    channel.add("zlib", "1.4")
    channel.add("python", "3.12.12", "zlib >=1.2")
    capsys.readouterr()
    assert locks.make() == 0
    assert capsys.readouterr().out == f"{lock}: nothing changed\n"
    assert lock.read_bytes() == before
    assert locks.make("--upgrade-package", "zlib") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  zlib 1.3 → 1.4"]
    assert locks.make("--upgrade") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  python 3.12.11 → 3.12.12"]


def test_the_wheels_are_for_the_python_of_the_conda_lock(
    channel: Channel, locks: Locks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path / "simple")
    index.add("ray", "2.0", "cp312-cp312-macosx_11_0_arm64", "cp313-cp313-macosx_11_0_arm64")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    channel.add("python", "3.13.1", "zlib")
    locks.write("conda.in", f"{channel.url}::python=3.13")
    locks.write("wheels.in", "ray")
    assert locks.make() == 0
    assert locks.lines("wheels.lock")[0].endswith("  # ray-2.0-cp313-cp313-macosx_11_0_arm64.whl")


def test_a_tools_archive_and_the_file_out_of_it(
    channel: Channel, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    channel.add("micromamba", "2.9.0", "__osx >=11.0")
    channel.add("micromamba", "2.10.0")
    locks.write("tools.in", f"{channel.url}::micromamba==2.9.0 bin/micromamba")
    assert locks.make() == 0
    assert locks.lines("tools.lock") == [f"{channel.line('micromamba', '2.9.0')} bin/micromamba"]
    assert capsys.readouterr().out.endswith("tools.lock:\n  + micromamba 2.9.0\n")


def test_a_tool_that_the_depot_cannot_open(channel: Channel, locks: Locks, capsys: pytest.CaptureFixture[str]) -> None:
    channel.add("micromamba", "2.9.0", ending=".conda")
    locks.write("tools.in", f"{channel.url}::micromamba bin/micromamba")
    assert locks.make() == 1
    assert "micromamba-2.9.0-0.conda cannot be opened: a tool has to be a .tar.bz2." in capsys.readouterr().err
    assert not (locks.folder / "tools.lock").exists()
    assert (locks.folder / "conda.lock").exists()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{channel}::python=3.14", "No candidates were found for python 3.14.*"),
        ("{channel}::newer", "Cannot solve the request because of: newer"),
        ("python=3.12", "python 3.12.* names no channel. Write conda-forge::python 3.12.*."),
        ("{channel}::python >==> 3", "unable to parse version spec"),
        ("file:///there/is/none::python", "the channel cannot be read: could not find subdir"),
        ("http://127.0.0.1:1/conda-forge::python", "the channel cannot be read: error sending request for url (http:"),
    ],
)
def test_what_cannot_be_solved_leaves_the_lock_as_it_was(
    channel: Channel, locks: Locks, capsys: pytest.CaptureFixture[str], spec: str, told: str
) -> None:
    """The other parts go on."""
    channel.add("newer", "1.0", "__osx >=26.0")
    channel.add("micromamba", "2.9.0")
    assert locks.make() == 0
    before = (locks.folder / "conda.lock").read_bytes()
    locks.write("conda.in", spec.format(channel=channel.url))
    locks.write("tools.in", f"{channel.url}::micromamba bin/micromamba")
    capsys.readouterr()
    assert locks.make() == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{locks.folder / 'conda.lock'}: not made, and left as it was: ")
    assert told in error
    assert error.count("\n") == 1
    assert (locks.folder / "conda.lock").read_bytes() == before
    assert locks.lines("tools.lock")


def test_the_labs_channel_is_locked_and_installed(tmp_path: Path) -> None:
    """What `make lab` packs and indexes: the lock names it, and the lab's micromamba lays it down."""
    channel = tmp_path / "channel"
    (channel / "linux-64").mkdir(parents=True)
    script = {"bin/tool": Content(b"#!/bin/sh\necho works\n", executable=True)}
    library = {"lib/library": Content(b"")}
    for package in (
        CondaPackage("tool", "1.2", "lab_0", script, depends=("library", "__glibc >=2.36")),
        CondaPackage("library", "1.0", "lab_0", library),
    ):
        write_package(channel / "linux-64" / package.file_name, package)
    lock = tmp_path / "conda.lock"
    lock_channel(channel, lock, ["tool"])
    names = [line.partition("#")[0].rpartition("/")[2] for line in lock.read_text().splitlines()[2:]]
    assert names == ["library-1.0-lab_0.tar.bz2", "tool-1.2-lab_0.tar.bz2"]
    stand_in = [sys.executable, "-I", str(REPOSITORY / "lab" / "artifacts" / "micromamba.py")]
    prefix = tmp_path / "env"
    subprocess.run([*stand_in, "create", "-y", "-p", str(prefix), "--offline", "-f", str(lock)], check=True)
    assert subprocess.check_output([prefix / "bin" / "tool"], text=True) == "works\n"
