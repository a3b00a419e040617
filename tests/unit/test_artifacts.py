"""The lab's artifacts: packages that are the same bytes each time, a stand-in that refuses what it must."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lab.artifacts import micromamba
from lab.artifacts.archive import CondaPackage, Content, write_package
from lab.artifacts.model import shapes, write_model
from lab.artifacts.python import LEFT_OUT, UnknownPythonError, python_package

REPOSITORY = Path(__file__).parents[2]
STAND_IN = REPOSITORY / "lab" / "artifacts" / "micromamba.py"

PACKAGE = CondaPackage(
    "tool",
    "1.2",
    "lab_0",
    {
        "lib/settings.py": Content(b"prefix = '/old/prefix'\n", placeholder="/old/prefix"),
        "bin/tool": Content(b"#!/bin/sh\necho works\n", executable=True),
        "bin/alias": Content(b"", link="tool"),
    },
)


def explicit(folder: Path, package: CondaPackage = PACKAGE) -> Path:
    """Packs `package` and writes the explicit file that installs it."""
    archive = folder / package.file_name
    write_package(archive, package)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    lock = folder / "explicit.txt"
    lock.write_text(f"# a comment\n@EXPLICIT\n{archive.as_uri()}#sha256:{digest}\n")
    return lock


def run_stand_in(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(STAND_IN), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_package_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar.bz2", tmp_path / "second.tar.bz2"
    write_package(first, PACKAGE)
    write_package(second, CondaPackage("tool", "1.2", "lab_0", dict(reversed(PACKAGE.files.items()))))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [
        "info/index.json",
        "info/paths.json",
        "bin/alias",
        "bin/tool",
        "lib/settings.py",
    ]
    assert {member.mtime for member in members} == {0}


def test_the_metadata_describes_every_file(tmp_path: Path) -> None:
    write_package(tmp_path / "tool.tar.bz2", PACKAGE)
    with tarfile.open(tmp_path / "tool.tar.bz2") as archive:
        content = archive.extractfile("info/paths.json")
        assert content
        paths = {entry["_path"]: entry for entry in json.load(content)["paths"]}
    assert paths["bin/alias"]["path_type"] == "softlink"
    assert paths["lib/settings.py"]["prefix_placeholder"] == "/old/prefix"
    assert paths["bin/tool"]["sha256"] == hashlib.sha256(PACKAGE.files["bin/tool"].data).hexdigest()


def test_the_stand_in_links_a_package_at_its_prefix(tmp_path: Path) -> None:
    prefix = tmp_path / "releases" / "0123" / "env"
    result = run_stand_in("create", "-y", "-p", prefix, "--offline", "--no-rc", "-f", explicit(tmp_path))
    assert result.returncode == 0, result.stderr
    assert subprocess.check_output([prefix / "bin" / "alias"], text=True) == "works\n"
    assert (prefix / "lib" / "settings.py").read_text() == f"prefix = '{prefix}'\n"
    assert [path.name for path in prefix.parent.iterdir()] == ["env"]


def test_the_stand_in_replaces_an_environment_and_refuses_another_folder(tmp_path: Path) -> None:
    lock, prefix, other = explicit(tmp_path), tmp_path / "env", tmp_path / "documents"
    assert run_stand_in("create", "-y", "-p", prefix, "--offline", "-f", lock).returncode == 0
    (prefix / "left-over").touch()
    assert run_stand_in("create", "-y", "-p", prefix, "--offline", "-f", lock).returncode == 0
    assert not (prefix / "left-over").exists()
    other.mkdir()
    (other / "letter").touch()
    refused = run_stand_in("create", "-y", "-p", other, "--offline", "-f", lock)
    assert (refused.returncode, (other / "letter").exists()) == (1, True)
    assert "Non-conda folder exists" in refused.stderr


def test_the_stand_in_links_nothing_when_a_hash_differs(tmp_path: Path) -> None:
    lock = explicit(tmp_path)
    lock.write_text(lock.read_text().rsplit("sha256:", 1)[0] + "sha256:" + "0" * 64 + "\n")
    result = run_stand_in("create", "-y", "-p", tmp_path / "env", "--offline", "-f", lock)
    assert result.returncode == 1
    assert f"expected {'0' * 64}" in result.stderr
    assert not (tmp_path / "env").exists()


def test_the_stand_in_tells_micromambas_version() -> None:
    result = run_stand_in("--version")
    assert (result.returncode, result.stdout) == (0, "2.9.0\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://example.org/a.conda#sha256:0\n", "@EXPLICIT"),
        ("@EXPLICIT\nfile:///a.conda\n", "no sha256"),
        ("", "@EXPLICIT"),
    ],
)
def test_a_file_that_is_no_locked_explicit_file_is_refused(text: str, problem: str) -> None:
    with pytest.raises(micromamba.StandInError, match=problem):
        micromamba.read_explicit(text)


def test_the_stand_in_never_uses_a_network() -> None:
    with pytest.raises(micromamba.StandInError, match="offline"):
        micromamba.verified_file("https://example.org/a.conda", "0" * 64)


def small_python(prefix: Path, sysconfig: str) -> Path:
    """Enough of a Python installation to be packed."""
    library = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for name in ("site-packages", "test", "__pycache__", "json"):
        (library / name).mkdir(parents=True)
        (library / name / "__init__.py").touch()
    (library / "os.py").touch()
    (library / "sysconfig.py").write_text(sysconfig)
    (library / "EXTERNALLY-MANAGED").touch()
    (prefix / "bin").mkdir()
    (prefix / "bin" / library.name).write_bytes(b"binary")
    return library


def test_debians_python_installs_below_the_prefix(tmp_path: Path) -> None:
    scheme = "def get_preferred_scheme(key):\n    return _get_preferred_schemes()[key]\n"
    source = f'scheme = "posix_local"\n\n\n{scheme}'
    library = small_python(tmp_path, source)
    files = python_package(tmp_path, "3.11.2").files
    packed: dict[str, object] = {}
    exec(files[f"lib/{library.name}/sysconfig.py"].data.decode(), packed)
    preferred = packed["get_preferred_scheme"]
    assert callable(preferred)
    assert preferred("prefix") == "posix_prefix"
    assert files[f"lib/{library.name}/dist-packages"].link == "site-packages"


def test_nothing_of_the_machine_is_packed_with_python(tmp_path: Path) -> None:
    library = small_python(tmp_path, "")
    files = python_package(tmp_path, "3.11.7").files
    parts = {part for name in files for part in Path(name).parts[2:-1]} | {Path(name).name for name in files}
    assert parts & LEFT_OUT == {"__pycache__", "site-packages"}
    assert f"lib/{library.name}/site-packages/README.txt" in files
    assert f"lib/{library.name}/site-packages/__init__.py" not in files
    assert files["bin/python"].link == library.name
    assert f"lib/{library.name}/dist-packages" not in files


def test_a_debian_python_that_changed_is_an_error(tmp_path: Path) -> None:
    small_python(tmp_path, 'scheme = "posix_local"\n')
    with pytest.raises(UnknownPythonError, match="get_preferred_scheme"):
        python_package(tmp_path, "3.11.2")


def test_the_model_is_the_same_bytes_each_time_and_complete(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_model(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert sum(path.stat().st_size for path in (tmp_path / "first").iterdir()) < 600_000


def test_the_models_tensors_and_tokens_are_those_of_its_config(tmp_path: Path) -> None:
    from safetensors import safe_open
    from tokenizers import Tokenizer

    write_model(tmp_path / "tiny")
    with safe_open(tmp_path / "tiny" / "model.safetensors", "np") as tensors:
        names = list(tensors.keys())
        found = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
    assert found == shapes()
    tokenizer = Tokenizer.from_file(str(tmp_path / "tiny" / "tokenizer.json"))
    config = json.loads((tmp_path / "tiny" / "config.json").read_text())
    assert tokenizer.get_vocab_size() == config["vocab_size"]
    text = "Hello Macs: é, 漢字."
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
