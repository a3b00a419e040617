"""Downloads from a server that cuts connections, sends the wrong bytes and ignores what it is asked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from depot_server import Server, serving, sha256

from depot import download
from depot.download import Download, check_room, fetch_all
from depot.errors import DepotError
from depot.objects import Objects

DATA = random.Random(1).randbytes(3 * 1024 * 1024)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        started.files["/file"] = DATA
        yield started


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "depot")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01, 0.01))


def wanted(server: Server, path: str = "/file", data: bytes = DATA, **more: object) -> Download:
    return Download(path.strip("/"), server.url + path, (sha256(data),), **more)  # type: ignore[arg-type]


def fetched(file: Download, objects: Objects) -> bytes:
    found = fetch_all([file], objects, "files")
    return objects.path(found[file]).read_bytes()


def partials(objects: Objects) -> list[Path]:
    return list((objects.depot / "partial").iterdir())


def test_a_file_is_fetched_once(server: Server, objects: Objects, capsys: pytest.CaptureFixture[str]) -> None:
    file = wanted(server)
    assert fetched(file, objects) == DATA
    assert partials(objects) == []
    assert "depot: files: 1 file, 3.1 MB in " in capsys.readouterr().err
    assert fetched(file, objects) == DATA
    assert server.asked == ["/file"]
    assert capsys.readouterr().err == ""


def test_many_files_come_at_once_and_the_same_content_once(server: Server, objects: Objects) -> None:
    server.files |= {f"/{number}": f"content {number}".encode() for number in range(20)} | {"/again": b"content 7"}
    files = [wanted(server, path, data) for path, data in server.files.items()]
    found = fetch_all(files, objects, "files")
    assert list(found) == files
    assert all(objects.path(found[file]).read_bytes() == server.files[f"/{file.name}"] for file in files)
    assert len(server.asked) == 21


def test_a_cut_connection_is_taken_up_where_it_ended(server: Server, objects: Objects) -> None:
    server.cuts["/file"] = [1_000_000, 1_000_000]
    assert fetched(wanted(server), objects) == DATA
    assert server.sent["/file"] == len(DATA)
    assert len(server.asked) == 3


def test_a_later_run_goes_on_where_a_killed_one_ended(server: Server, objects: Objects, tmp_path: Path) -> None:
    """The first run is a process of its own, which is killed when part of the file is on the disk."""
    server.cuts["/file"] = [2_000_000]
    server.statuses["/file"] = [200] + [503] * 50
    file = wanted(server)
    program = (
        "import sys; from pathlib import Path; from depot import download; from depot.objects import Objects;"
        "download.PAUSES = (600.0,);"
        "file = download.Download('file', sys.argv[1], (sys.argv[2],));"
        "download.fetch_all([file], Objects(Path(sys.argv[3])), 'files')"
    )
    arguments = [sys.executable, "-c", program, file.url, file.sha256s[0], str(objects.depot)]
    running = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    partial = objects.partial(file.sha256s[0])
    while not (partial.exists() and partial.stat().st_size):
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    there = partial.stat().st_size
    server.statuses.clear()
    before = server.sent["/file"]
    assert fetched(file, objects) == DATA
    assert server.sent["/file"] - before == len(DATA) - there


def test_whoever_makes_headway_may_fail_more_often(
    server: Server, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts["/file"] = [400_000] * 6
    with pytest.raises(DepotError, match="run it again"):
        fetched(wanted(server), objects)
    assert len(server.asked) == 1 + len(download.PAUSES)
    monkeypatch.setattr(download, "PROGRESS", 300_000)
    server.cuts["/file"] = [300_000] * 5
    assert fetched(wanted(server), objects) == DATA
    assert server.sent["/file"] == len(DATA)


def test_a_disk_that_takes_no_more_ends_all_and_keeps_what_came(server: Server, objects: Objects) -> None:
    """A limit on the size of files stands in for a disk that fills up on the way."""
    program = (
        "import resource, sys; from pathlib import Path; from depot.download import Download, fetch_all\n"
        "from depot.errors import DepotError; from depot.objects import Objects\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try: fetch_all([Download('file', sys.argv[1], (sys.argv[2],))], Objects(Path(sys.argv[3])), 'files')\n"
        "except DepotError as problem: print(problem)"
    )
    file = wanted(server)
    arguments = [sys.executable, "-c", program, file.url, file.sha256s[0], str(objects.depot)]
    told = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert told.stdout.startswith(f"files: cannot write to {objects.depot}: ")
    assert objects.partial(file.sha256s[0]).stat().st_size == 1_000_000
    before = server.sent["/file"]
    assert fetched(file, objects) == DATA
    assert server.sent["/file"] - before == len(DATA) - 1_000_000


def test_a_server_that_ignores_ranges_starts_from_zero(server: Server, objects: Objects) -> None:
    server.without_ranges = True
    server.cuts["/file"] = [1_000_000]
    assert fetched(wanted(server), objects) == DATA
    assert server.sent["/file"] == len(DATA) + 1_000_000


def test_a_damaged_rest_of_an_earlier_run_costs_one_start_from_zero(server: Server, objects: Objects) -> None:
    file = wanted(server)
    objects.partial(file.sha256s[0]).write_bytes(b"damaged" + DATA[7:1000])
    assert fetched(file, objects) == DATA
    assert server.sent["/file"] == 2 * len(DATA) - 1000


def test_a_rest_that_is_longer_than_the_file_is_thrown_away(server: Server, objects: Objects) -> None:
    file = wanted(server)
    objects.partial(file.sha256s[0]).write_bytes(b"x" + DATA)
    assert fetched(file, objects) == DATA
    assert server.sent["/file"] == len(DATA)


def test_a_rest_that_is_whole_is_not_asked_for(server: Server, objects: Objects) -> None:
    file = wanted(server)
    objects.partial(file.sha256s[0]).write_bytes(DATA)
    assert fetched(file, objects) == DATA
    assert server.asked == []


def test_a_wrong_content_names_file_url_and_both_hashes(server: Server, objects: Objects) -> None:
    server.files["/file"] = b"something else"
    with pytest.raises(DepotError) as problem:
        fetched(wanted(server), objects)
    for part in ("file: ", f"{server.url}/file", sha256(DATA), sha256(b"something else")):
        assert part in str(problem.value)
    assert partials(objects) == []
    assert server.asked == ["/file"]


def test_wrong_content_is_not_fetched_over_and_over(server: Server, objects: Objects) -> None:
    """Each attempt is cut, and what is whole in the end is wrong."""
    file = wanted(server)
    server.files["/file"] = bytes(len(DATA))
    server.cuts["/file"] = [1_000_000] * 2
    with pytest.raises(DepotError, match="is expected"):
        fetched(file, objects)
    assert server.sent["/file"] == 2 * len(DATA)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: Server, objects: Objects, status: int) -> None:
    server.statuses["/file"] = [status]
    assert fetched(wanted(server), objects) == DATA


def test_a_server_that_stays_busy_is_told(server: Server, objects: Objects) -> None:
    server.statuses["/file"] = [503] * 50
    with pytest.raises(DepotError, match=r"file: cannot fetch .*/file: HTTP 503 .* run it again"):
        fetched(wanted(server), objects)
    assert len(server.asked) == 1 + len(download.PAUSES)


def test_a_body_without_a_length_that_ends_early_is_noticed(server: Server, objects: Objects) -> None:
    server.without_length = True
    server.cuts["/file"] = [1_000_000]
    assert fetched(wanted(server, size=len(DATA)), objects) == DATA
    assert server.sent["/file"] == len(DATA)


def test_redirects_are_followed_and_credentials_are_not_sent_on(server: Server, objects: Objects) -> None:
    with serving() as other:
        other.files["/stored"] = DATA
        server.redirects["/moved"] = f"{other.url}/stored"
        file = wanted(server, "/moved", headers={"Authorization": "Bearer secret"})
        assert fetched(file, objects) == DATA
        assert server.headers["/moved"]["Authorization"] == "Bearer secret"
        assert "Authorization" not in other.headers["/stored"]


def test_a_file_url_is_copied(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "a source"
    source.write_bytes(DATA)
    assert fetched(Download("source", source.as_uri(), (sha256(DATA),)), objects) == DATA
    assert source.read_bytes() == DATA


def test_one_of_several_contents_is_right_and_an_unknown_one_is_told(server: Server, objects: Objects) -> None:
    either = Download("file", f"{server.url}/file", (sha256(b"no"), sha256(DATA)))
    assert fetch_all([either], objects, "files") == {either: sha256(DATA)}
    server.files["/new"] = b"new"
    unknown = Download("new", f"{server.url}/new", ())
    assert fetch_all([unknown], objects, "files") == {unknown: sha256(b"new")}
    assert objects.holds(sha256(b"new"))


def test_parts_of_an_unknown_content_are_never_put_together(server: Server, objects: Objects) -> None:
    server.cuts["/file"] = [1_000_000]
    assert fetched(Download("file", f"{server.url}/file", ()), objects) == DATA
    assert server.sent["/file"] == len(DATA) + 1_000_000


def test_all_that_cannot_be_had_is_told_at_once_and_the_rest_is_kept(
    server: Server, objects: Objects, tmp_path: Path
) -> None:
    files = [
        wanted(server, "/gone"),
        wanted(server, "/file"),
        Download("away", "http://127.0.0.1:1/away", (sha256(b"1"),)),
        Download("odd", "ftp://127.0.0.1/odd", (sha256(b"2"),)),
        Download("local", (tmp_path / "local").as_uri(), (sha256(b"3"),)),
    ]
    files[0] = Download("gone", f"{server.url}/gone", (sha256(b"0"),))
    with pytest.raises(DepotError) as problem:
        fetch_all(files, objects, "files")
    lines = str(problem.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["gone", "away", "odd", "local"]
    for line, cause in zip(lines, ("HTTP 404", "refused", "no URL that can be fetched", "No such file"), strict=True):
        assert cause in line
    assert objects.holds(sha256(DATA))


def test_an_url_is_told_without_its_credentials(server: Server, objects: Objects) -> None:
    url = server.url.replace("//", "//me:secret@") + "/gone"
    with pytest.raises(DepotError) as problem:
        fetch_all([Download("gone", url, (sha256(b"0"),))], objects, "files")
    assert "secret" not in str(problem.value)


def test_a_full_disk_is_told_before_the_first_byte(server: Server, objects: Objects) -> None:
    huge = wanted(server, size=10**18)
    with pytest.raises(DepotError, match=r"Fetching files \(1 file\) needs 1000000000\.0 GB .* GB are missing"):
        fetched(huge, objects)
    assert server.asked == []


def test_room_is_asked_for_what_has_not_arrived(objects: Objects) -> None:
    check_room(objects.depot, 0, "Nothing")
    with pytest.raises(DepotError, match=r"Everything needs 1000000000\.0 GB .* Free some"):
        check_room(objects.depot, 10**18, "Everything")
