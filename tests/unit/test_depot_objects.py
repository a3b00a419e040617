"""Objects: there only when they are whole, and known by their content."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from depot_server import sha256

from depot.errors import DepotError
from depot.hashes import Hashes
from depot.objects import MIB, Objects, piece_hashes, piece_size

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "depot")


def made(tmp_path: Path, data: bytes = b"data") -> Path:
    file = tmp_path / "file"
    file.write_bytes(data)
    return file


def test_a_file_becomes_an_object_that_nobody_changes(objects: Objects, tmp_path: Path) -> None:
    digest = sha256(b"data")
    assert not objects.holds(digest)
    path = objects.add(made(tmp_path), digest)
    assert path == objects.path(digest) == tmp_path / "depot" / "objects" / digest[:2] / digest
    assert objects.holds(digest)
    assert path.read_bytes() == b"data"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(objects.depot.stat().st_mode) == 0o700
    assert not (tmp_path / "file").exists()


def test_a_file_with_another_content_is_refused_and_stays(objects: Objects, tmp_path: Path) -> None:
    file = made(tmp_path)
    with pytest.raises(DepotError, match=f"{file}: its sha256 is {sha256(b'data')}, and {'0' * 64} was expected"):
        objects.add(file, "0" * 64)
    assert file.read_bytes() == b"data"
    assert not objects.holds("0" * 64)


def test_a_second_copy_leaves_the_first_as_it_is(objects: Objects, tmp_path: Path) -> None:
    first = objects.add(made(tmp_path), sha256(b"data")).stat()
    assert objects.add(made(tmp_path), sha256(b"data")).stat().st_ino == first.st_ino
    assert not (tmp_path / "file").exists()


def test_a_file_of_another_disk_is_copied(objects: Objects) -> None:
    other = Path("/dev/shm") / f"raylab-test-{sha256(str(objects.depot).encode())[:12]}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == objects.depot.stat().st_dev:
        pytest.skip("there is no second disk")
    other.write_bytes(b"data")
    assert objects.add(other, sha256(b"data")).read_bytes() == b"data"
    assert not other.exists()
    assert list((objects.depot / "partial").iterdir()) == []


def test_bytes_become_an_object_once(objects: Objects) -> None:
    assert objects.write(b"data") == objects.write(b"data") == sha256(b"data")
    assert objects.path(sha256(b"data")).read_bytes() == b"data"
    assert list((objects.depot / "partial").iterdir()) == []


@pytest.mark.parametrize(("size", "piece"), [(0, MIB), (10**9 - 1, MIB), (10**9, 4 * MIB), (4 * 10**10, 4 * MIB)])
def test_large_objects_have_larger_pieces(size: int, piece: int) -> None:
    assert piece_size(size) == piece


def test_the_hashes_of_the_pieces_are_found_once(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"a" * MIB + b"b" * MIB + b"c" * 5
    file = made(tmp_path, data)
    hashes = piece_hashes(objects.depot, sha256(data), file)
    assert hashes == sha256(b"a" * MIB) + sha256(b"b" * MIB) + sha256(b"ccccc")
    monkeypatch.setattr(hashlib, "sha256", None)
    assert piece_hashes(objects.depot, _digest(objects), file) == hashes


def _digest(objects: Objects) -> str:
    return next((objects.depot / "pieces").iterdir()).stem


def test_hashes_of_pieces_that_cannot_be_right_are_found_again(objects: Objects, tmp_path: Path) -> None:
    file = made(tmp_path)
    hashes = piece_hashes(objects.depot, sha256(b"data"), file)
    memory = objects.depot / "pieces" / f"{sha256(b'data')}.json"
    for text in ("no JSON", "[]", json.dumps({"size": 3, "piece": MIB, "hashes": ["0" * 64]})):
        memory.write_text(text)
        assert piece_hashes(objects.depot, sha256(b"data"), file) == hashes


def test_a_file_that_is_another_has_no_pieces(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(DepotError, match="It was changed or damaged"):
        piece_hashes(objects.depot, "0" * 64, made(tmp_path))
    assert not (objects.depot / "pieces").exists()


def test_two_runs_do_not_work_in_one_depot_at_once(objects: Objects) -> None:
    program = (
        "import sys; from pathlib import Path; from depot.objects import Objects\n"
        "with Objects(Path(sys.argv[1])).alone(): print('inside')"
    )
    command = [sys.executable, "-c", program, str(objects.depot)]
    with objects.alone():
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        assert other.stderr
        assert other.stderr.readline() == f"depot: waiting for another run that works in {objects.depot}\n"
        assert other.poll() is None
    assert other.communicate()[0] == "inside\n"


def test_hashes_are_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, memory = tmp_path / "file", tmp_path / "hashes.json"
    file.write_bytes(b"one")
    hashes = Hashes(memory)
    assert hashes.of(file) == sha256(b"one")
    hashes.save()
    with monkeypatch.context() as patched:
        patched.setattr(hashlib, "file_digest", None)
        assert Hashes(memory).of(file) == sha256(b"one")
    file.write_bytes(b"other")
    assert Hashes(memory).of(file) == sha256(b"other")
    memory.write_text("not JSON")
    assert Hashes(memory).of(file) == sha256(b"other")
