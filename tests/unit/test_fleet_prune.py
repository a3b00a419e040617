"""What may go from a Mac's disk."""

from __future__ import annotations

import pytest

from fleet.layout import WEIGHTS
from fleet.prune import (
    VERIFIED_MTIME,
    DepotFile,
    Folder,
    amount,
    folders_to_go,
    objects_to_go,
    weights_to_go,
)

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def whole(name: str, completed: int, in_use: bool = False) -> Folder:
    return Folder(name, completed, in_use)


def half(name: str, in_use: bool = False) -> Folder:
    return Folder(name, None, in_use)


def test_the_current_release_and_the_newest_other_stay() -> None:
    folders = [whole("first", 10), whole("second", 20), whole("third", 30), whole("fourth", 40)]
    assert folders_to_go(folders, {"fourth"}) == ["first", "second"]
    # Back to an old one: the one that it came from is the one to go back to.
    assert folders_to_go(folders, {"second"}) == ["first", "third"]


def test_one_or_two_releases_stay() -> None:
    assert folders_to_go([], {"now"}) == []
    assert folders_to_go([whole("now", 10)], {"now"}) == []
    assert folders_to_go([whole("now", 10), whole("before", 5)], {"now"}) == []


def test_what_is_in_use_stays() -> None:
    folders = [whole("now", 30), whole("before", 20), whole("running", 10, in_use=True), half("started", in_use=True)]
    assert folders_to_go(folders, {"now"}) == []


def test_half_built_releases_go_and_are_none_to_go_back_to() -> None:
    folders = [whole("now", 30), half("broken"), whole("before", 20), half("also broken")]
    assert folders_to_go(folders, {"now"}) == ["also broken", "broken"]
    assert folders_to_go([half("now"), whole("before", 20)], {"now"}) == []


def test_what_an_interrupted_removal_left_goes_although_its_marker_is_there() -> None:
    folders = [whole("now", 30), whole(".removed-old", 29), whole("before", 20)]
    assert folders_to_go(folders, {"now"}) == [".removed-old"]


def code(name: str, made: int, package: str = "raylab_serving", in_use: bool = False) -> Folder:
    return Folder(name, made, in_use, package)


def test_of_each_package_the_current_code_and_the_newest_other_stay() -> None:
    ours = [code("a1", 10), code("b2", 30), code("c3", 20)]
    theirs = [code("d4", 1, "rerank"), code("e5", 2, "rerank"), code("f6", 3, "gone")]
    assert folders_to_go([*ours, *theirs], {"a1", "e5"}) == ["c3"]
    assert folders_to_go([*ours, *theirs], {"b2"}) == ["a1", "d4"]
    assert folders_to_go([], {"a1"}) == []


def test_code_in_use_stays_and_what_is_no_code_goes() -> None:
    assert folders_to_go([code("a1", 10), code("b2", 20), code("c3", 5, in_use=True)], {"a1"}) == []
    folders = [code("a1", 10), code(".removed-x", 50), Folder("half", None, in_use=False)]
    assert folders_to_go(folders, {"a1"}) == [".removed-x", "half"]


def depot_file(name: str, links: int = 1, modified: int = VERIFIED_MTIME) -> DepotFile:
    return DepotFile(name, 10, modified, links, 1)


def test_objects_without_a_link_and_parts_of_others_go() -> None:
    files = [depot_file(A), depot_file(B, links=2), depot_file(f"{C}.partial", modified=5)]
    assert [file.name for file in objects_to_go(files, [])] == [A, f"{C}.partial"]


def test_wanted_objects_stay_whole_or_not() -> None:
    files = [depot_file(A), depot_file(f"{B}.partial"), depot_file(f"{C}.partial")]
    assert [file.name for file in objects_to_go(files, {A, B})] == [f"{C}.partial"]


def test_damaged_objects_go_when_nothing_links_to_them() -> None:
    files = [depot_file(A, modified=5), depot_file(B, links=2, modified=5)]
    assert [file.name for file in objects_to_go(files, [])] == [A]


@pytest.mark.parametrize("name", [".metadata_never_index", "notes.partial", "A" * 64, "a" * 63, f"{'a' * 64}.part"])
def test_files_of_others_stay(name: str) -> None:
    assert objects_to_go([depot_file(name)], []) == []


@pytest.mark.parametrize(
    ("name", "modified", "is_whole"),
    [(A, VERIFIED_MTIME, True), (A, VERIFIED_MTIME + 1, False), (f"{A}.partial", VERIFIED_MTIME, False)],
)
def test_an_object_is_whole_as_long_as_nobody_wrote_to_it(name: str, modified: int, is_whole: bool) -> None:
    assert depot_file(name, modified=modified).whole == is_whole


def test_weights_that_no_setting_names_go() -> None:
    folders = [
        f"{WEIGHTS}/tiny",
        f"{WEIGHTS}/tiny/1a",
        f"{WEIGHTS}/tiny/2b",
        f"{WEIGHTS}/old",
        f"{WEIGHTS}/old/3c",
        f"{WEIGHTS}/.removed-x",
    ]
    assert weights_to_go(folders, [f"{WEIGHTS}/tiny/2b", f"{WEIGHTS}/not here yet/4d"]) == [
        f"{WEIGHTS}/.removed-x",
        f"{WEIGHTS}/old",
        f"{WEIGHTS}/tiny/1a",
    ]
    assert weights_to_go(folders[:2], [f"{WEIGHTS}/tiny/1a"]) == []


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (12_300, "12 kB"), (640_000_000, "640 MB"), (4_100_000_000, "4.1 GB")]
)
def test_amounts(size: int, text: str) -> None:
    assert amount(size) == text
