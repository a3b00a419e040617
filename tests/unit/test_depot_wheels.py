"""Wheels: found on the pages of the owner's indexes, and fetched by pip where only pip can."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from depot_release import wheel
from depot_server import Server, serving, sha256

from depot import index, wheels
from depot.download import Download, fetch_all
from depot.errors import DepotError
from depot.index import PYPI, Sources, locate, pip_sources, sources_of
from depot.known import Known
from depot.objects import Objects
from depot.wheels import Wheels
from fleet.lockfile import LockedWheel
from fleet.targets import Target

MAC = Target("osx-arm64", "3.12")
LINUX = Target("linux-64", "3.11")
FILE = "some_thing-1.0-py3-none-any.whl"
DATA = wheel("some_thing", "1.0", {"some_thing.py": b""})
LOCKED = LockedWheel("some-thing", "1.0", (sha256(DATA),), file=FILE)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        started.files[f"/files/{FILE}"] = DATA
        started.files["/simple/some-thing/"] = page(f"../../files/{FILE}#sha256={sha256(DATA)}")
        yield started


@pytest.fixture(autouse=True)
def _own_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's pip is configured to do is not what these tests are about."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def page(*hrefs: str) -> bytes:
    return "".join(f'<a data-requires-python="&gt;=3.8" href="{href}">x</a>\n' for href in hrefs).encode()


def simple(server: Server) -> Sources:
    return Sources((f"{server.url}/simple",))


def one(wheel: LockedWheel, target: Target | None, sources: Sources) -> Download | None:
    return locate([wheel], target, sources).get(wheel)


def fetched(tmp_path: Path, locked: LockedWheel, target: Target | None = LINUX) -> bytes:
    """As fetch() does it; empty when the wheel is not there in the end."""
    objects = Objects(tmp_path / "depot")
    found = Wheels([locked], target, objects, Known(objects.depot))
    fetch_all(found.downloads(lambda _: None), objects, "wheels")
    found.fetch_by_pip(lambda _: None)
    held = found.held(locked)
    assert held
    assert held[1] == FILE
    return objects.path(held[0]).read_bytes()


def test_a_page_tells_where_the_locked_file_is(server: Server) -> None:
    other = f"../../files/some_thing-1.0-cp312-cp312-macosx_11_0_arm64.whl#sha256={'0' * 64}"
    server.files["/simple/some-thing/"] = page(other, f"../../files/{FILE}#sha256={sha256(DATA)}")
    assert one(LOCKED, MAC, simple(server)) == Download(FILE, f"{server.url}/files/{FILE}", LOCKED.sha256s)


def test_a_json_page_tells_the_size_too(server: Server) -> None:
    listed = {"filename": FILE, "url": f"/files/{FILE}", "hashes": {"sha256": sha256(DATA)}, "size": len(DATA)}
    server.files["/simple/some-thing/"] = json.dumps({"files": [listed]}).encode()
    server.types["/simple/some-thing/"] = index.JSON_PAGE
    assert one(LOCKED, MAC, simple(server)) == Download(FILE, f"{server.url}/files/{FILE}", LOCKED.sha256s, len(DATA))


def test_a_page_without_hashes_is_searched_by_file_name(server: Server) -> None:
    server.files["/simple/some-thing/"] = page(f"/files/{FILE}")
    assert one(LOCKED, MAC, simple(server)) == Download(FILE, f"{server.url}/files/{FILE}", LOCKED.sha256s)
    nameless = LockedWheel("some-thing", "1.0", LOCKED.sha256s)
    assert one(nameless, MAC, simple(server)) is None


def test_a_file_with_another_content_is_not_taken(server: Server) -> None:
    server.files["/simple/some-thing/"] = page(f"/files/{FILE}#sha256={'0' * 64}")
    assert one(LOCKED, MAC, simple(server)) is None


def test_folders_come_before_indexes_and_later_indexes_fill_in(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / FILE).write_bytes(b"another build of the same version")
    sources = Sources((f"{server.url}/empty", f"{server.url}/simple"), (str(folder),))
    assert one(LOCKED, MAC, sources) == Download(FILE, f"{server.url}/files/{FILE}", LOCKED.sha256s)
    (folder / FILE).write_bytes(DATA)
    server.asked.clear()
    assert one(LOCKED, MAC, sources) == Download(FILE, (folder / FILE).as_uri(), LOCKED.sha256s, len(DATA))
    assert server.asked == []


def test_an_index_may_be_a_folder(tmp_path: Path) -> None:
    project = tmp_path / "simple" / "some-thing"
    project.mkdir(parents=True)
    (project / "index.html").write_bytes(page(f"../../files/{FILE}#sha256={sha256(DATA)}"))
    found = one(LOCKED, MAC, Sources(((tmp_path / "simple").as_uri(),)))
    assert found == Download(FILE, (tmp_path / "files" / FILE).as_uri(), LOCKED.sha256s)


def test_of_several_files_the_one_for_the_platform_is_taken(server: Server, tmp_path: Path) -> None:
    data = {f"some_thing-1.0-cp311-cp311-{tag}.whl": tag.encode() for tag in ("manylinux_2_17_x86_64", "win_amd64")}
    server.files |= {f"/files/{name}": content for name, content in data.items()}
    server.files["/simple/some-thing/"] = page(
        *(f"/files/{name}#sha256={sha256(content)}" for name, content in reversed(data.items()))
    )
    both = LockedWheel("some-thing", "1.0", tuple(map(sha256, data.values())))
    found = one(both, LINUX, simple(server))
    assert found
    assert found.name == "some_thing-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    objects = Objects(tmp_path)
    known = Known(tmp_path)
    for name, content in data.items():
        known.wheels[objects.write(content)] = name
    assert Wheels([both], LINUX, objects, known).held(both) == (sha256(b"manylinux_2_17_x86_64"), found.name)
    assert Wheels([both], MAC, objects, known).held(both) is None


def test_the_cpu_build_of_torch_is_looked_for_elsewhere_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "TORCH_CPU", f"{server.url}/cpu")
    name = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    server.files["/cpu/torch/"] = page(f"/whl/{name.replace('+', '%2B')}#sha256={'1' * 64}")
    cpu = LockedWheel("torch", "2.13.0+cpu", ("1" * 64,))
    found = one(cpu, LINUX, simple(server))
    assert found == Download(name, f"{server.url}/whl/{name.replace('+', '%2B')}", ("1" * 64,))
    assert one(LockedWheel("torch", "2.13.0", ("1" * 64,)), LINUX, simple(server)) is None


def test_pips_configuration_says_where_to_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert pip_sources() == Sources((PYPI,), ())
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://one.example/simple\nextra-index-url =\n  https://two\n  https://3\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels ~/more")
    assert pip_sources() == Sources(("https://one.example/simple", "https://two", "https://3"), ("/wheels", "~/more"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror")
    assert pip_sources().indexes[0] == "https://mirror"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("download.index-url='https://mirror'", Sources(("https://mirror",))),
        ("install.index-url='https://mirror'", Sources()),
        ("global.no-index='true'", Sources(())),
        ("global.proxy='http://proxy:3128'", Sources((), ())),
        (":env:.index-url='https://me:word@mirror/simple'", Sources((), ())),
    ],
)
def test_what_only_pip_can_do_is_left_to_pip(line: str, found: Sources) -> None:
    assert sources_of([line]) == found


def test_an_index_that_wants_credentials_is_asked_by_pip(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", server.url.replace("//", "//me:secret@") + "/simple")
    assert fetched(tmp_path, LOCKED) == DATA
    assert server.headers["/simple/some-thing/"]["Authorization"].startswith("Basic ")


def test_only_what_is_missing_is_looked_for(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    assert fetched(tmp_path, LOCKED) == DATA
    assert server.asked == ["/simple/some-thing/", f"/files/{FILE}"]
    assert fetched(tmp_path, LOCKED) == DATA
    assert len(server.asked) == 2


def test_a_lock_without_file_names_is_remembered_with_them(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    nameless = LockedWheel("some-thing", "1.0", LOCKED.sha256s)
    objects = Objects(tmp_path / "depot")
    known = Known(objects.depot)
    first = Wheels([nameless], LINUX, objects, known)
    fetch_all(first.downloads(lambda _: None), objects, "wheels")
    known.save()
    again = Wheels([nameless], LINUX, objects, Known(objects.depot))
    assert again.held(nameless) == (sha256(DATA), FILE)
    assert again.missing() == []


def test_what_pip_says_is_passed_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index has the version, and only with another content."""
    server.files[f"/files/{FILE}"] = other = wheel("some_thing", "1.0", {"some_thing.py": b"other"})
    server.files["/simple/some-thing/"] = page(f"../../files/{FILE}#sha256={sha256(other)}")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    with pytest.raises(DepotError) as problem:
        fetched(tmp_path, LOCKED)
    text = str(problem.value)
    assert text.startswith("pip cannot fetch one of some-thing==1.0:\n    ERROR: ")
    assert sha256(DATA) in text
    assert sha256(other) in text
    assert list((tmp_path / "depot" / "partial").iterdir()) == []


def test_pip_takes_torch_from_elsewhere_if_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is replaced by one that has every wheel but the CPU build of torch, unless told where it is."""
    calls: list[tuple[list[str], bool]] = []

    def pip(lock: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
        names = [line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line]
        elsewhere = index.TORCH_CPU in options
        calls.append((names, elsewhere))
        if "torch==2.13.0+cpu" in names and not elsewhere:
            return subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for torch")
        for name, _, version in (entry.partition("==") for entry in names):
            (lock.parent / f"{name}-{version}-py3-none-any.whl").write_text(f"{name}-{version}")
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(wheels, "_pip", pip)
    wanted = [
        LockedWheel(name, version, (sha256(f"{name}-{version}".encode()),))
        for name, version in (("ray", "1.0"), ("torch", "2.13.0+cpu"))
    ]
    found = Wheels(wanted, LINUX, Objects(tmp_path), Known(tmp_path))
    found.fetch_by_pip(lambda _: None)
    assert found.missing() == []
    assert sorted(calls) == [
        (["ray==1.0"], False),
        (["torch==2.13.0+cpu"], False),
        (["torch==2.13.0+cpu"], True),
    ]


def test_pip_is_asked_for_the_macs_platform_on_any_machine() -> None:
    options = ["--platform", "macosx_15_0_arm64", "--python-version", "3.12", "--implementation", "cp"]
    assert wheels.pip_target(MAC) == options
    assert "manylinux_2_28_x86_64" in wheels.pip_target(LINUX)
