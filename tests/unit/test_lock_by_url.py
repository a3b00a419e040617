"""`make lock`, wheels named by URL: their sha256 is learnt at the first fetch, and required ever after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lock_project import MAC, Index, Locks, served, sha256, wheel

from depot.download import Download, fetch_all
from depot.errors import DepotError
from depot.lock.folder import Folder
from depot.objects import Objects

FILE = f"vllm-0.27.1%2Bcpu-{MAC}.whl"
ON_LINUX = 'nvidia-cuda; sys_platform == "linux"'


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path / "simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", made.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setattr("depot.download.PAUSES", ())  # a server that is away stays away
    made.add("ray", "2.0")
    return made


class Github:
    """A server of release files."""

    def __init__(self, folder: Path, url: str, asked: list[str]) -> None:
        self.folder, self.url, self.asked = folder, url, asked

    def serve(self, data: bytes, file: str = FILE) -> str:
        (self.folder / file.replace("%2B", "+")).write_bytes(data)
        return f"{self.url}/{file}"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[Github]:
    folder = tmp_path / "github"
    folder.mkdir()
    with served(folder) as (url, asked):
        yield Github(folder, url, asked)


@pytest.fixture
def locks(tmp_path: Path, index: Index) -> Locks:
    return Locks(tmp_path / "locks")


def test_it_is_fetched_once(github: Github, locks: Locks, capsys: pytest.CaptureFixture[str]) -> None:
    data = wheel("vllm", "0.27.1+cpu", ["ray>=2", ON_LINUX])
    url = github.serve(data)
    locks.write("wheels.in", "ray", f"vllm @ {url}")
    assert locks.make() == 0
    assert locks.lines("wheels.lock")[1] == f"vllm @ {url} --hash=sha256:{sha256(data)}"
    assert Objects(locks.depot).holds(sha256(data))
    assert capsys.readouterr().out.splitlines()[1:] == ["  + ray 2.0", "  + vllm 0.27.1+cpu"]
    fetched = list(github.asked)
    assert locks.make("--upgrade") == 0
    assert capsys.readouterr().out.endswith("wheels.lock: nothing changed\n")
    assert github.asked == fetched


def test_another_content_under_the_same_url_is_refused(github: Github, locks: Locks, tmp_path: Path) -> None:
    locks.write("wheels.in", f"vllm @ {github.serve(wheel('vllm', '0.27.1+cpu'))}")
    assert locks.make() == 0
    (locked,) = Folder(locks.folder).wheels()
    github.serve(wheel("vllm", "0.27.1+cpu", ["backdoor"]))
    with pytest.raises(DepotError, match=rf"vllm.*and {locked.sha256s[0]} is expected"):
        fetch_all([Download(locked.file, locked.url, locked.sha256s)], Objects(tmp_path / "new"), "wheels")
    assert locks.make() == 0
    assert Folder(locks.folder).wheels() == [locked]


def test_without_it_the_rest_of_a_new_lock_is_made(
    github: Github, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.write("wheels.in", "ray", f"vllm @ {github.url}/{FILE}")
    assert locks.make() == 1
    told = capsys.readouterr()
    assert [line.split("==")[0] for line in locks.lines("wheels.lock")] == ["ray"]
    assert f"{locks.folder / 'wheels.lock'}: not complete: vllm-0.27.1+cpu-{MAC}.whl: cannot fetch" in told.err
    assert "HTTP 404" in told.err


def test_a_new_one_that_cannot_be_had_leaves_the_lock_with_the_old_one(
    github: Github, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    locks.write("wheels.in", "ray", f"vllm @ {github.serve(wheel('vllm', '0.27.1+cpu'))}")
    assert locks.make() == 0
    before = (locks.folder / "wheels.lock").read_bytes()
    locks.write("wheels.in", f"vllm @ {github.url}/{FILE.replace('27.1', '28.0')}")
    assert locks.make() == 1
    assert "wheels.lock: not made, and left as it was: vllm-0.28.0+cpu-" in capsys.readouterr().err
    assert (locks.folder / "wheels.lock").read_bytes() == before


def test_what_it_requires_has_to_be_in_the_lock(
    github: Github, index: Index, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("mlx", "0.31.0")
    url = github.serve(wheel("vllm", "0.27.1+cpu", ["ray<2", "mlx==0.32.*", "torchcodec", ON_LINUX]))
    locks.write("wheels.in", "ray", "mlx", f"vllm @ {url}")
    locks.write("excludes.txt", "torchcodec")
    assert locks.make() == 1
    fix = "Write it into wheels.in, or its name into excludes.txt when it is not needed."
    start = f"{locks.folder / 'wheels.lock'}: not made, and left as it was: vllm 0.27.1+cpu requires"
    assert [line for line in capsys.readouterr().err.splitlines() if "wheels.lock" in line] == [
        f"{start} ray<2, and the lock has ray 2.0. {fix}",
        f"{start} mlx==0.32.*, and the lock has mlx 0.31.0. {fix}",
    ]
    assert not (locks.folder / "wheels.lock").exists()


def test_a_page_in_a_wheels_place_is_not_locked(
    github: Github, locks: Locks, capsys: pytest.CaptureFixture[str]
) -> None:
    url = github.serve(b"<html>Please log in</html>")
    locks.write("wheels.in", "ray", f"vllm @ {url}")
    assert locks.make() == 1
    assert f"{url}: what it serves is no wheel." in capsys.readouterr().err
    assert [line.split("==")[0] for line in locks.lines("wheels.lock")] == ["ray"]


def test_a_url_of_a_wheel_for_another_machine(github: Github, locks: Locks, capsys: pytest.CaptureFixture[str]) -> None:
    locks.write("wheels.in", f"vllm @ {github.url}/vllm-0.27.1-cp312-cp312-macosx_26_0_arm64.whl")
    assert locks.make() == 1
    assert "it needs macOS 26.0, and a Mac may run 15.0." in capsys.readouterr().err
    assert not github.asked
