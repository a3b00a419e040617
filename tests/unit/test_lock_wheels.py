"""`make lock`, the wheels that an index has: real uv against an index that is a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lock_project import MAC, Index, Locks, served, sha256

from depot.lock.__main__ import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path / "simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", made.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    made.add("ray", "2.0", MAC, "cp312-cp312-macosx_11_0_x86_64", requires=["click"])
    made.add("click", "8.0")
    return made


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    made = Locks(tmp_path / "locks")
    made.write("wheels.in", "# what the fleet runs", "ray==2.0  # with everything that it needs")
    return made


def test_the_one_file_of_each_package_that_a_mac_installs(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("ray", "2.0", "cp312-cp312-macosx_10_9_universal2", "cp312-cp312-macosx_26_0_arm64", "py3-none-any")
    assert locks.make() == 0
    ray = sha256((index.root / "ray" / f"ray-2.0-{MAC}.whl").read_bytes())
    click = sha256((index.root / "click" / "click-8.0-py3-none-any.whl").read_bytes())
    assert locks.lines("wheels.lock") == [
        f"click==8.0 --hash=sha256:{click}  # click-8.0-py3-none-any.whl",
        f"ray==2.0 --hash=sha256:{ray}  # ray-2.0-{MAC}.whl",
    ]
    lock = locks.folder / "wheels.lock"
    assert capsys.readouterr().out == f"{lock}:\n  + click 8.0\n  + ray 2.0\n"


def test_a_second_time_changes_nothing_whatever_is_new(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.make()
    lock = locks.folder / "wheels.lock"
    before = (lock.read_bytes(), lock.stat().st_mtime_ns)
    index.add("click", "8.1")
    capsys.readouterr()
    assert locks.make() == 0
    assert capsys.readouterr().out == f"{lock}: nothing changed\n"
    assert (lock.read_bytes(), lock.stat().st_mtime_ns) == before
    assert sorted(path.name for path in locks.folder.iterdir()) == ["wheels.in", "wheels.lock"]


def test_upgrades_are_asked_for(index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]) -> None:
    locks.write("wheels.in", "ray", "attrs")
    index.add("attrs", "25.1")
    locks.make()
    index.add("click", "8.1")
    index.add("attrs", "25.2")
    capsys.readouterr()
    assert locks.make("--upgrade-package", "Click") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  click 8.0 → 8.1"]
    index.add("click", "8.2")
    assert locks.make("--upgrade") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  attrs 25.1 → 25.2", "  click 8.1 → 8.2"]


def test_what_comes_goes_and_is_replaced_is_told(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.make()
    locks.write("wheels.in", "click", "attrs")
    index.add("attrs", "25.1")
    index.add("click", "8.0", salt="again")
    capsys.readouterr()
    assert locks.make() == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  + attrs 25.1", "  click 8.0: another file", "  - ray 2.0"]


def test_what_cannot_be_resolved_leaves_the_lock_as_it_was(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.make()
    before = (locks.folder / "wheels.lock").read_bytes()
    locks.write("wheels.in", "ray==2.0", "click>8")
    capsys.readouterr()
    assert locks.make() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"{locks.folder / 'wheels.lock'}: not made, and left as it was: No solution found")
    assert "only click==8.0 is available and you require click>8" in told.err
    assert told.err.count("\n") == 1
    assert (locks.folder / "wheels.lock").read_bytes() == before
    assert sorted(path.name for path in locks.folder.iterdir()) == ["wheels.in", "wheels.lock"]


def test_a_package_without_a_wheel_for_an_older_macos(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("mlx", "1.0", "cp312-cp312-macosx_26_0_arm64")
    locks.write("wheels.in", "mlx")
    assert locks.make() == 1
    assert "mlx==1.0 has no wheels with a matching platform tag (e.g., `macosx_15_0_arm64`)" in capsys.readouterr().err
    assert not (locks.folder / "wheels.lock").exists()


def test_the_vllm_metal_that_serves_on_the_cpu_is_refused(
    index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("vllm-metal", "0.1.0")
    (index.root / "vllm-metal" / "vllm-metal-0.1.0-py3-none-any.whl").rename(
        index.root / "vllm-metal" / "vllm_metal-0.1.0-py3-none-any.whl"
    )
    page = index.root / "vllm-metal" / "index.html"
    page.write_text(page.read_text().replace("vllm-metal-0", "vllm_metal-0"))
    locks.write("wheels.in", "vllm-metal")
    assert locks.make() == 1
    told = f"{locks.folder / 'wheels.lock'}: not made, and left as it was: vllm-metal 0.1.0 must not be installed:"
    assert capsys.readouterr().err.startswith(f"{told} it serves on the CPU without a word (vllm-metal#493). ")
    assert not (locks.folder / "wheels.lock").exists()


def test_an_index_that_cannot_be_reached(
    locks: Locks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    assert locks.make() == 1
    told = capsys.readouterr().err
    assert "http://127.0.0.1:1/simple/ray/" in told
    assert told.count("\n") == 1


def test_the_cpu_build_of_torch_comes_from_where_pip_is_told_to_look(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Index(tmp_path / "elsewhere")
    elsewhere.add("torch", "2.13.0+cpu", "cp311-cp311-manylinux_2_28_x86_64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(elsewhere.root / "torch"))
    index.add("torch", "2.13.0", "cp311-cp311-manylinux_2_28_x86_64")
    locks = Locks(tmp_path / "locks", "linux-64")
    locks.write("wheels.in", "torch==2.13.0+cpu")
    assert locks.make() == 0
    (line,) = locks.lines("wheels.lock")
    assert line.startswith("torch==2.13.0+cpu --hash=sha256:")
    assert line.endswith("  # torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl")


def test_the_cpu_build_of_torch_comes_from_pytorch_when_nobody_else_has_it(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Index(tmp_path / "elsewhere")
    elsewhere.add("torch", "2.13.0+cpu", "cp311-cp311-manylinux_2_28_x86_64", requires=["click"])
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    locks = Locks(tmp_path / "locks", "linux-64")
    locks.write("wheels.in", "torch==2.13.0+cpu")
    with served(elsewhere.root) as (url, asked):
        monkeypatch.setattr("depot.lock.wheels.TORCH_CPU", url)
        assert locks.make() == 0
    assert [line.split(" ")[0] for line in locks.lines("wheels.lock")] == ["click==8.0", "torch==2.13.0+cpu"]
    assert asked[0] == "/torch/"


def test_what_is_excluded_is_not_locked(index: Index, locks: Locks) -> None:
    locks.write("excludes.txt", "# not needed", "click")
    assert locks.make() == 0
    assert [line.split("==")[0] for line in locks.lines("wheels.lock")] == ["ray"]


def test_pip_and_uv_read_the_lock(index: Index, tmp_path: Path) -> None:
    """Both check the hash; a wrong one shows that they do."""
    index.add("pure", "1.0", requires=["click"])
    locks = Locks(tmp_path / "locks", "linux-64")
    locks.write("wheels.in", "pure")
    assert locks.make() == 0
    lock = locks.folder / "wheels.lock"
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-index"]
    pip += ["--find-links", str(index.root / "pure"), "--find-links", str(index.root / "click")]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--reinstall", "--python", sys.executable]
    uv += ["--target", str(tmp_path / "target")]
    for command in (pip, uv):
        done = run([*command, "--require-hashes", "-r", str(lock)])
        assert done.returncode == 0, done.stderr
        assert "pure" in done.stdout + done.stderr
    found = sha256((index.root / "pure" / "pure-1.0-py3-none-any.whl").read_bytes())
    lock.write_text(lock.read_text().replace(found, "0" * 64))
    for command in (pip, uv):
        assert run([*command, "--require-hashes", "-r", str(lock)]).returncode != 0


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_all_folders_below_locks_are_made_even_when_one_fails(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for platform, wanted in (("linux-64", "nothing-of-this-name"), ("osx-arm64", "ray")):
        Locks(tmp_path / "locks", platform).write("wheels.in", wanted)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    told = capsys.readouterr()
    assert told.out == "locks/osx-arm64/wheels.lock:\n  + click 8.0\n  + ray 2.0\n"
    assert told.err.startswith("locks/linux-64/wheels.lock: not made, and left as it was: ")


@pytest.mark.parametrize("folder", ["unknown", "osx-arm64"])
def test_a_folder_that_cannot_be_locked(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    locks = Locks(tmp_path, folder)
    assert locks.make() == 1
    told = {
        "unknown": "the folder's name has to be a platform: osx-arm64 or linux-64.",
        "osx-arm64": "there is nothing to make locks from: none of conda.in, wheels.in, tools.in.",
    }
    assert capsys.readouterr().err == f"{locks.folder}: {told[folder]}\n"


def test_the_committed_lock_is_what_its_input_asks_for(tmp_path: Path) -> None:
    """With the real index: versions that are locked are preferred, so what is new there changes nothing."""
    folder = tmp_path / "osx-arm64"
    shutil.copytree(REPOSITORY / "locks" / "osx-arm64", folder)
    for part in ("conda.in", "tools.in"):
        (folder / part).unlink()
    for name in ("wheels.in", "wheels.lock"):  # wheels by URL would be fetched
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if " @ " not in line))
    before = (folder / "wheels.lock").read_bytes()
    done = run([sys.executable, "-m", "depot.lock", str(folder)])
    assert (done.stdout, done.stderr) == (f"{folder / 'wheels.lock'}: nothing changed\n", "")
    assert (folder / "wheels.lock").read_bytes() == before
