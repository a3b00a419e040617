"""A bundle: made on one machine, unpacked in another folder, and nobody is asked from there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from depot_release import serve_release, wheel
from depot_server import Server, serving, sha256
from fleet_project import Project

from depot import pack
from depot.bundle import main
from depot.errors import DepotError
from depot.fetch import fetch
from depot.models import gather
from depot.objects import Objects
from depot.offline import locked
from depot.pack import Item, write_tar
from fleet.load import load
from fleet.targets import Target

TINY = "tiny-1.0-py3-none-any.whl"
WHEEL = wheel("tiny", "1.0", {"tiny.py": b"WORD = 'from the bundle'\n"})
PROJECT = """\
[project]
name = "raylab"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["tiny"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
LOCK = f"""\
version = 1
requires-python = ">=3.11"
[[package]]
name = "raylab"
version = "0.1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "tiny" }}]
[[package]]
name = "tiny"
version = "1.0"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [{{ url = "https://files.example/{TINY}", hash = "sha256:{sha256(WHEEL)}" }}]
"""
# What hatchling does for the real project, in as many lines as it takes.
BACKEND = """\
import os, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    info = "raylab-0.1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "raylab-0.1.0-py3-none-any.whl"), "w") as made:
        made.writestr("raylab.pth", os.getcwd())
        made.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: raylab\\nVersion: 0.1.0\\n")
        made.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        made.writestr(info + "/RECORD", "")
    return "raylab-0.1.0-py3-none-any.whl"
"""
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture
def project(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with an inventory; its release is on the server, raylab's own one dependency in a folder."""
    made = Project(tmp_path / "here")
    serve_release(server, made.root / "locks" / "linux-64")
    made.change("inventory/group_data/all.py", '"secrets"', '"my-secrets"')
    made.write("my-secrets/ray-token", "secret").chmod(0o600)
    made.write("my-secrets/../notes/id_ed25519", KEY)
    made.write("pyproject.toml", PROJECT)
    made.write("uv.lock", LOCK)
    made.write("backend.py", BACKEND)
    made.write("code.py", "")
    made.write(".gitignore", "models/\n")
    (made.root / "my-secrets").chmod(0o700)
    subprocess.run(["git", "init", "--quiet", "."], cwd=made.root, check=True)
    subprocess.run(["git", "add", "."], cwd=made.root, check=True)
    made.write("inventory/group_data/lab.py", "object_store_mb = 200\n")
    made.write("inventory/group_data/other.py", 'ssh_password = "secret"\n')
    made.write("untracked.txt", "")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / TINY).write_bytes(WHEEL)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.chdir(made.root)
    return made


def unpacked(project: Project, *arguments: str) -> Path:
    """Makes the bundle, unpacks it elsewhere, and hides where it was made."""
    assert main(["inventory/lab.py", *arguments]) == 0
    tar = Path(arguments[0]) if arguments else project.root / "dist" / "raylab-lab.tar"
    with tarfile.open(tar) as archive:
        assert {info.name.split("/")[0] for info in archive} == {"raylab-lab"}
    (project.root.parent / "there").mkdir()
    subprocess.run(["tar", "xf", str(tar.resolve())], cwd=project.root.parent / "there", check=True)
    project.root.rename(project.root.parent / "hidden")
    return project.root.parent / "there" / "raylab-lab"


def test_nobody_is_asked_where_it_is_unpacked(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = unpacked(project)
    monkeypatch.chdir(there)
    server.asked.clear()
    fleet = load(Path("inventory/lab.py"))
    assert fleet.depot == there / ".depot"
    (release,) = fleet.releases.values()
    depot = fetch(release, fleet.depot, lambda _: None)
    assert len(depot.wheels) == 4
    assert depot.tools["uv"].path.read_bytes() == b"uv"
    model = gather(fleet.models[0], fleet.depot)
    assert {name: path.read_bytes()[:2] for name, path in model.files.items()} == {
        "config.json": b'{"',
        "model.safetensors": b"\0\0",
        "tokenizer.json": b"{}",
    }
    assert server.asked == []


def test_what_is_in_it_and_what_is_not(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    there = unpacked(project)
    for name in ("code.py", "inventory/lab.py", "inventory/group_data/lab.py", "locks/linux-64/wheels.lock"):
        assert (there / name).is_file(), name
    for name in ("untracked.txt", "my-secrets", "notes", "inventory/group_data/other.py", "dist", ".git", "models"):
        assert not (there / name).exists(), name
    assert not any(b"secret\n" in path.read_bytes() for path in there.rglob("*") if path.is_file())
    told = capsys.readouterr().err
    assert "notes/id_ed25519 is a private key and was left out." in told
    assert f"Not in it: the fleet's secrets ({project.root}/my-secrets) and SSH keys." in told
    assert "raylab-lab.tar: " in told


def test_files_that_the_settings_name_are_in_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chat templates, Ray's own configs and wheels of applications, though git ignores them."""
    project.write(".gitignore", "models/\nown/\n*.whl\n")
    project.write("own/chat.jinja", "{{ messages }}")
    project.write("own/whole.yaml", "model_loading_config: {model_id: whole, model_source: /models/whole}\n")
    project.wheel("own/rerank-1.0-py3-none-any.whl")
    project.write("own/other.jinja", "{{ messages }}")
    (tmp_path / "elsewhere.jinja").write_text("{{ messages }}")
    project.write(
        "inventory/group_data/lab.py",
        f"""models = [
    {{"id": "a", "source": "models/tiny", "context": 512, "chat_template": "./own/../own/chat.jinja"}},
    {{"id": "b", "source": "models/tiny", "context": 512, "chat_template": "{tmp_path}/elsewhere.jinja"}},
    {{"llm_config": "own/whole.yaml", "memory_gb": 4}},
]
applications = [{{
    "name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app",
    "wheel": "own/rerank-1.0-py3-none-any.whl",
}}]
""",
    )
    there = unpacked(project)
    assert sorted(path.name for path in (there / "own").iterdir()) == [
        "chat.jinja",
        "rerank-1.0-py3-none-any.whl",
        "whole.yaml",
    ]
    outside = f"{tmp_path}/elsewhere.jinja is outside of {project.root}: copy it yourself, to the same place."
    assert outside in capsys.readouterr().err
    monkeypatch.chdir(there)
    fleet = load(Path("inventory/lab.py"))
    assert [model.id for model in fleet.models] == ["a", "b", "whole"]
    assert [wheel.file for wheel in fleet.code][1:] == ["rerank-1.0-py3-none-any.whl"]


def test_the_environment_is_made_without_a_network(project: Project) -> None:
    there = unpacked(project)
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PIP_INDEX_URL": "http://127.0.0.1:1/"}
    done = subprocess.run([there / "setup-offline.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program = "import tiny, code; from importlib.metadata import version; print(tiny.WORD, version('raylab'))"
    answer = subprocess.run([there / ".venv/bin/python", "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "from the bundle 0.1.0\n"
    assert (there / ".venv" / "ready").exists()


def test_a_python_without_wheels_is_told(project: Project) -> None:
    there = unpacked(project)
    for path in there.glob("offline/requirements-*.txt"):
        path.rename(path.with_name("requirements-osx-arm64-3.10.txt"))
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run([there / "setup-offline.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no Python here that these wheels are for: offline/requirements-osx-arm64-3.10.txt" in done.stderr
    assert not (there / ".venv").exists()


def test_a_depot_elsewhere_is_brought_home(
    project: Project,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.write("inventory/group_data/lab.py", f'depot = "{tmp_path}/shared"\n')
    there = unpacked(project, str(tmp_path / "out.tar"))
    assert f'not in {tmp_path}/shared: set depot = ".depot".' in capsys.readouterr().err
    (tmp_path / "shared").rename(tmp_path / "hidden-too")
    monkeypatch.chdir(there)
    (there / "inventory/group_data/lab.py").write_text('depot = ".depot"\n')
    fleet = load(Path("inventory/lab.py"))
    server.asked.clear()
    (release,) = fleet.releases.values()
    fetch(release, fleet.depot, lambda _: None)
    gather(fleet.models[0], fleet.depot)
    assert server.asked == []


def test_what_cannot_be_had_leaves_no_bundle(
    project: Project, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files.clear()
    assert main(["inventory/lab.py"]) == 1
    assert "HTTP 404" in capsys.readouterr().err
    assert not (project.root / "dist").exists()
    assert main(["inventory/gone.py"]) == 1
    assert "there is no file inventory/gone.py" in capsys.readouterr().err


def test_a_damaged_object_is_noticed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory/lab.py"]) == 0
    before = (project.root / "dist" / "raylab-lab.tar").read_bytes()
    python = next(path for path in project.root.glob(".depot/objects/*/*") if path.read_bytes()[:6] == b"python")
    python.chmod(0o644)
    python.write_bytes(b"Python" * 1000)
    assert main(["inventory/lab.py"]) == 1
    assert f"{python}: its content is not {python.name} any more" in capsys.readouterr().err
    assert (project.root / "dist" / "raylab-lab.tar").read_bytes() == before
    assert [path.name for path in (project.root / "dist").iterdir()] == ["raylab-lab.tar"]


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    monkeypatch.setattr(pack, "HEADER", 10**18)
    with pytest.raises(DepotError, match=r"Writing .*out\.tar needs 1000000000\.0 GB"):
        write_tar(tmp_path / "out.tar", "folder", [Item("file", file, "", 0o644)])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_each_package_is_locked_for_the_machine_that_installs_it() -> None:
    def files(*names: str) -> list[dict[str, object]]:
        return [{"url": f"https://files/{name}", "hashes": {"sha256": sha256(name.encode())}} for name in names]

    mac, linux = "a-1-cp312-cp312-macosx_14_0_arm64.whl", "a-1-cp311-cp311-manylinux_2_28_x86_64.whl"
    exported = {
        "packages": [
            {"name": "A", "version": "1", "wheels": files(mac, linux)},
            {"name": "b", "version": "2", "marker": "sys_platform == 'linux'", "wheels": files("b-2-py3-none-any.whl")},
        ]
    }
    assert [wheel.file for wheel in locked(exported, Target("osx-arm64", "3.12"))] == [mac]
    assert [wheel.file for wheel in locked(exported, Target("linux-64", "3.11"))] == [linux, "b-2-py3-none-any.whl"]
    with pytest.raises(DepotError, match=r"uv\.lock: A has no wheel for macOS .* with Python 3\.11"):
        locked(exported, Target("osx-arm64", "3.11"))


def test_objects_of_the_bundle_are_those_of_the_depot(project: Project) -> None:
    """Whatever is in it under a sha256 has it."""
    there = unpacked(project)
    objects = list((there / ".depot" / "objects").glob("*/*"))
    assert len(objects) == len({path.name for path in objects}) > 8
    assert all(sha256(path.read_bytes()) == path.name for path in objects)
    assert all(Objects(there / ".depot").holds(path.name) for path in objects)
