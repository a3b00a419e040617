"""Objects of the depot folder and the views of them: facts, operations, and their scripts for real."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.api.exceptions import OperationValueError
from test_macos_harness import Command, fact, run

from fleet.layout import DEPOT
from fleet.prune import VERIFIED_MTIME, DepotFile
from macos.facts.objects import DepotFiles, Objects, Views
from macos.operations.objects import absent, view

A, B, C = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b", b"c"))
WHEELS = "/opt/raylab/releases/one/wheels"
FILES = {"a.whl": A, "sub/b c": B}
LISTED = [
    f"1 {VERIFIED_MTIME} 2 11 {DEPOT}/{A}",
    f"1 {VERIFIED_MTIME} 2 12 {DEPOT}/{B}",
    f"1 1700000000 1 13 {DEPOT}/{C}",
    f"9 {VERIFIED_MTIME} 1 14 {DEPOT}/{C}.partial",
    f"1 {VERIFIED_MTIME} 2 11 {WHEELS}/a.whl",
    f"1 {VERIFIED_MTIME} 2 12 {WHEELS}/sub/b c",
]


def run_view(lines: list[str]) -> list[Command]:
    return run({"stat -f": lines}, view, directory=WHEELS, files=FILES)


def test_only_whole_objects_are_objects() -> None:
    assert fact(Objects, "\n".join([*LISTED, "junk", f"1 2 1 15 {DEPOT}/.metadata_never_index"])) == {A: 1, B: 1}


def test_every_file_of_the_depot_folder_is_told() -> None:
    found = fact(DepotFiles, "\n".join(LISTED))
    assert found[2] == DepotFile(C, 1, 1700000000, 1, 13)
    assert [file.name for file in found] == [A, B, C, f"{C}.partial"]


def test_facts_take_no_names_on_their_command_line() -> None:
    many = {f"model-{number:05}.safetensors": A for number in range(5000)}
    assert len(Views().command(directory=WHEELS, files=many)) < 1000


def test_views_that_are_right_yield_nothing() -> None:
    assert run_view(LISTED) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({4: ""}, ["a.whl"]),
        ({4: f"1 {VERIFIED_MTIME} 1 99 {WHEELS}/a.whl"}, ["a.whl"]),
        ({4: f"1 {VERIFIED_MTIME} 2 12 {WHEELS}/a.whl"}, ["a.whl"]),
        ({1: f"1 1700000000 2 12 {DEPOT}/{B}"}, ["sub/b c"]),
        ({1: ""}, ["sub/b c"]),
        ({3: f"{WHEELS}/a.whl: com.apple.quarantine"}, ["a.whl"]),
    ],
    ids=["missing", "another file", "another object", "object changed", "object gone", "quarantine"],
)
def test_only_what_is_wrong_is_linked(change: dict[int, str], wrong: list[str]) -> None:
    lines = [change.get(number, line) for number, line in enumerate(LISTED)]
    [command] = run_view(lines)
    assert command.verbs() == ["look", *("linked" for _ in wrong), "unmarked"]
    assert [call[1:] for call in command.calls()[1:-1]] == [[name, FILES[name]] for name in wrong]
    assert command.text == f"sh -s objects {WHEELS}"


@pytest.mark.parametrize("name", ["../up", "/abs", "a/../b", "a//b", "a/", ".", "new\nline", "back\\slash", ""])
def test_names_stay_inside_the_directory(name: str) -> None:
    with pytest.raises(OperationValueError, match="not a plain relative path"):
        run({}, view, directory=WHEELS, files={name: A})


def test_what_is_no_sha256_is_refused() -> None:
    with pytest.raises(OperationValueError, match="not a sha256"):
        run({}, view, directory=WHEELS, files={"a": "../etc"})
    with pytest.raises(OperationValueError, match="absolute path"):
        run({}, view, directory="wheels", files={"a": A})


# absent

OLD = ["/opt/raylab/releases/old", "/opt/raylab/weights/tiny", "/opt/raylab/weights/big/1a"]


def test_folders_that_are_there_are_removed() -> None:
    lines = [f"drwxr-xr-x root wheel 755 96 {path}" for path in OLD[:2]]
    [command] = run({"stat -f": lines}, absent, paths=OLD)
    assert command.calls() == [["absent", path] for path in OLD[:2]]
    assert run({"stat -f": []}, absent, paths=OLD) == []


@pytest.mark.parametrize(
    "path",
    ["/", "/opt/raylab", "/opt/raylab/releases", "/opt/raylab/releases/", "/opt/raylab/releases/..",
     "/opt/raylab/releases/../etc", "/opt/raylab/releases/a/env", "/opt/raylab/weights/a/b/c",
     "/opt/raylab/weights/a/..", "/opt/raylab/depot/x", "/opt/raylab/releasesx/a", "releases/a", ""],
)  # fmt: skip
def test_other_folders_are_refused(path: str) -> None:
    with pytest.raises(OperationValueError, match="not to be removed"):
        run({}, absent, paths=[OLD[0], path])


# For real


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    shell = BsdShell(request.param, tmp_path, ("stat", "xattr"))
    (shell.prefix / "depot").mkdir()
    for text in ("a", "b"):
        put_object(shell, text)
    return shell


def put_object(mac: BsdShell, text: str) -> Path:
    path = mac.prefix / "depot" / hashlib.sha256(text.encode()).hexdigest()
    path.write_text(text)
    path.chmod(0o444)
    os.utime(path, (VERIFIED_MTIME, VERIFIED_MTIME))
    return path


def link(mac: BsdShell, files: dict[str, str]) -> tuple[int, str]:
    """What `view` runs for all of `files`."""
    calls = [["look"], *(["linked", *pair] for pair in files.items()), ["unmarked", "com.apple.quarantine"]]
    return mac.script(["files", "objects"], calls, depot=DEPOT, directory=WHEELS, verified=VERIFIED_MTIME)


def right(mac: BsdShell, files: dict[str, str] = FILES) -> set[str]:
    return set(mac.fact(Views, directory=WHEELS, files=files))


def names(mac: BsdShell) -> list[str]:
    wheels = mac.prefix / "releases/one/wheels"
    return sorted(str(path.relative_to(wheels)) for path in wheels.rglob("*") if path.is_file())


def test_a_missing_depot_folder_holds_nothing(mac: BsdShell) -> None:
    for path in (mac.prefix / "depot").iterdir():
        path.unlink()
    assert mac.fact(Objects) == {}
    (mac.prefix / "depot").rmdir()
    assert mac.fact(Objects) == {}
    assert mac.fact(DepotFiles) == []
    assert right(mac) == set()


def test_objects_are_told_by_the_thousand(mac: BsdShell) -> None:
    for number in range(3000):
        path = mac.prefix / "depot" / f"{number:064x}"
        path.touch()
        os.utime(path, (VERIFIED_MTIME, VERIFIED_MTIME))
    assert len(mac.fact(Objects)) == 3002


def test_views_are_links_and_stay(mac: BsdShell) -> None:
    for _ in range(2):
        assert link(mac, FILES) == (0, "")
        assert names(mac) == ["a.whl", "sub/b c"]
        assert right(mac) == set(FILES)
    assert (mac.prefix / "releases/one/wheels/sub/b c").read_text() == "b"
    assert {file.links for file in mac.fact(DepotFiles)} == {2}


def test_a_wrong_file_is_replaced_and_a_copy_is_wrong(mac: BsdShell) -> None:
    path = mac.prefix / "releases/one/wheels/a.whl"
    path.parent.mkdir(parents=True)
    path.write_text("a")
    assert right(mac) == set()
    assert link(mac, {"a.whl": A}) == (0, "")
    assert right(mac) == {"a.whl"}


def test_a_file_that_was_written_to_is_wrong_and_linked_no_more(mac: BsdShell) -> None:
    assert link(mac, FILES) == (0, "")
    (mac.prefix / "depot" / B).chmod(0o644)
    (mac.prefix / "releases/one/wheels/sub/b c").write_text("damaged")
    assert right(mac) == {"a.whl"}
    status, said = link(mac, FILES)
    assert status == 1
    assert said.startswith(f"{WHEELS}/sub/b c: its content {DEPOT}/{B} is missing or was changed: run deploy/cluster")
    assert said.count("\n") == 1


def test_an_object_that_came_anew_is_linked_anew(mac: BsdShell) -> None:
    assert link(mac, FILES) == (0, "")
    (mac.prefix / "depot" / A).unlink()
    put_object(mac, "a")
    assert right(mac) == {"sub/b c"}
    assert link(mac, FILES) == (0, "")
    assert right(mac) == set(FILES)


@pytest.mark.parametrize("links", [False, True])
def test_a_folder_in_the_way_is_named_and_left_alone(mac: BsdShell, links: bool) -> None:
    folder = mac.prefix / "releases/one/wheels/a.whl"
    folder.parent.mkdir(parents=True)
    if links:
        folder.symlink_to(mac.prefix)
    else:
        folder.mkdir()
    status, said = link(mac, {"a.whl": A})
    assert (status, said) == (1, f"{WHEELS}/a.whl is a directory: a file belongs there; move it away and run again\n")
    assert list((mac.prefix / "depot").glob(".*")) == []


def test_a_link_by_name_becomes_a_hard_link(mac: BsdShell) -> None:
    path = mac.prefix / "releases/one/wheels/a.whl"
    path.parent.mkdir(parents=True)
    path.symlink_to(mac.prefix / "depot" / A)
    assert right(mac) == set()
    assert link(mac, {"a.whl": A}) == (0, "")
    assert right(mac) == {"a.whl"}


def test_a_new_name_that_was_left_over_is_no_obstacle(mac: BsdShell) -> None:
    folder = mac.prefix / "releases/one/wheels"
    folder.mkdir(parents=True)
    (folder / ".raylab-new").write_text("half")
    assert link(mac, FILES) == (0, "")
    assert names(mac) == ["a.whl", "sub/b c"]


def test_quarantine_is_taken_off(mac: BsdShell) -> None:
    assert link(mac, FILES) == (0, "")
    path = mac.prefix / "releases/one/wheels/a.whl"
    assert mac.run(f"xattr -w com.apple.quarantine x '{path}'").returncode == 0
    assert right(mac) == {"sub/b c"}
    assert link(mac, {"a.whl": A}) == (0, "")
    assert right(mac) == set(FILES)


def test_quarantine_that_stays_fails(mac: BsdShell) -> None:
    mac.command("xattr", 'case $1 in -*) ;; *) echo "$2: com.apple.quarantine" ;; esac')
    status, said = link(mac, {"a.whl": A})
    assert status == 1
    assert "keeps files of it in quarantine" in said
