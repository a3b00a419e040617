"""What a Mac is told to run, and the programs that find half-written distributions and make byte code."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from depot.install import env_commands, env_mark, wheel_commands

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "/opt/raylab/releases/0123456789ab"


def test_the_env_is_made_from_local_files_alone() -> None:
    commands = env_commands("0123456789ab")
    assert commands[0] == f"rm -rf {RELEASE}/env"
    assert "/opt/raylab/bin/micromamba create -y " in commands[1]
    assert f" -p {RELEASE}/env --offline --no-rc -f {RELEASE}/incoming/explicit.txt" in commands[1]
    assert commands[2:] == [f"touch {env_mark('0123456789ab')}", f"rm -rf {RELEASE}/incoming"]


def test_the_wheels_are_installed_from_local_files_and_hashes_are_required() -> None:
    uv = wheel_commands("0123456789ab")[3]
    for option in ("--offline", "--no-index", "--require-hashes", "--no-deps"):
        assert f" {option} " in uv
    # It leaves a lock file in the folder for temporary ones, for ever.
    assert f" TMPDIR={RELEASE}/incoming " in uv
    assert f" --find-links {RELEASE}/wheels " in uv
    assert uv.endswith(f" -r {RELEASE}/wheels.lock $broken")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with one small distribution, as an installer leaves it."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "-q", "--python", str(python), "--no-deps"]
    subprocess.run([*uv, "--link-mode", "copy", "iniconfig", "typing-extensions"], check=True)
    assert (site / "iniconfig").is_dir()
    return python


def broken(python: Path, *options: str) -> str:
    program = ROOT / "templates" / "libexec" / "raylab_verify.py"
    return subprocess.run([python, "-I", program, *options], capture_output=True, text=True, check=True).stdout.strip()


def test_whole_distributions_are_not_named(python: Path) -> None:
    assert broken(python) == ""
    assert broken(python, "--as-options") == ""


@pytest.mark.parametrize("damage", ["changed", "missing", "without its record"])
def test_a_half_written_distribution_is_named(python: Path, damage: str) -> None:
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    file = site / "iniconfig" / "__init__.py"
    if damage == "changed":
        file.write_text(file.read_text()[:100])
    elif damage == "missing":
        file.unlink()
    else:
        next(site.glob("iniconfig-*.dist-info/RECORD")).unlink()
    assert broken(python) == "iniconfig"
    assert broken(python, "--as-options") == "--reinstall-package iniconfig"


def release(releases: Path, name: str, **modules: str) -> Path:
    """The env of a release with these modules."""
    env = releases / name / "env"
    venv.create(env, with_pip=False)
    site = next((env / "lib").glob("python*/site-packages"))
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
    return env


def byte_code(env: Path) -> str:
    """Make it; what was said."""
    program = ROOT / "templates" / "libexec" / "raylab_bytecode.py"
    command = [env / "bin" / "python", "-I", program, env.parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (env.parent / "complete").touch()
    return done.stdout.strip()


def made(env: Path, module: str) -> Path:
    return next(env.glob(f"lib/python*/site-packages/__pycache__/{module}.*.pyc"))


def test_byte_code_of_files_that_another_release_has_too_is_taken_over(tmp_path: Path) -> None:
    first = release(tmp_path, "first", same="A = 1\n", other="B = 1\n", broken="def\n")
    assert byte_code(first) == "0 modules' byte code taken over, 2 compiled"
    second = release(tmp_path, "second", same="A = 1\n", other="B = 2\n")
    assert byte_code(second) == "1 modules' byte code taken over, 1 compiled"
    assert made(second, "same").samefile(made(first, "same"))
    shown = subprocess.run(
        [second / "bin" / "python", "-c", "import same, other; print(same.A, other.B)"], capture_output=True, text=True
    )
    assert shown.stdout == "1 2\n"
    # Nothing looks at the source any more.
    assert made(second, "other").read_bytes()[4:8] == b"\x01\0\0\0"


def test_byte_code_of_a_release_that_is_not_whole_is_not_taken(tmp_path: Path) -> None:
    first = release(tmp_path, "first", same="A = 1\n")
    byte_code(first)
    (first.parent / "complete").unlink()
    assert byte_code(release(tmp_path, "second", same="A = 1\n")) == "0 modules' byte code taken over, 1 compiled"
