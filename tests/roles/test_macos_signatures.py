"""The look at code signatures, with a codesign that knows what was changed after it was signed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from bsd_shell import BsdShell

from macos.signatures import signature_check

ENV = "/opt/raylab/releases/one/env"
PACKAGES = "lib/python3.12/site-packages"
RAY = f"{PACKAGES}/ray/core/src/ray"
MACH_O = b"\xcf\xfa\xed\xfe\x0c\0\0\1"
OTHER_PROCESSOR = b"\xcf\xfa\xed\xfe\x07\0\0\1"
SEVERAL_PROCESSORS = b"\xca\xfe\xba\xbe\0\0\0\2"


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    shell = BsdShell(request.param, tmp_path, ("codesign",))
    for name in (f"{RAY}/raylet/raylet", f"{RAY}/gcs/gcs_server", "bin/python3.12"):
        signed(shell, name)
    path(shell, "bin/python").symlink_to("python3.12")
    return shell


def path(mac: BsdShell, name: str) -> Path:
    return mac.prefix / "releases/one/env" / name


def signed(mac: BsdShell, name: str, magic: bytes = MACH_O) -> Path:
    file = path(mac, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(magic + b"code")
    assert mac.run(f"codesign -s - '{file}'").returncode == 0
    return file


def check(mac: BsdShell) -> subprocess.CompletedProcess[str]:
    """As among the commands of an installation."""
    return mac.run(f"set -e; true; {signature_check(ENV)}; echo then")


def named(mac: BsdShell, file: Path) -> list[str]:
    """The files that the check names once this one has been changed; before, it finds nothing wrong."""
    first = check(mac)
    assert (first.returncode, first.stdout, first.stderr) == (0, "then\n", "")
    with file.open("ab") as stream:
        stream.write(b"changed")
    done = check(mac)
    if not done.returncode:
        assert (done.stdout, done.stderr) == ("then\n", "")
        return []
    *lines, advice = done.stderr.splitlines()
    assert advice.endswith(f"remove {mac.prefix}/releases/one on this Mac, then run again")
    assert (done.returncode, done.stdout) == (1, "")
    wrong = ": invalid signature (code or signature have been modified)"
    return [line.removesuffix(wrong) for line in lines if line.endswith(wrong)]


@pytest.mark.parametrize("name", [f"{RAY}/raylet/raylet", f"{RAY}/gcs/gcs_server", "bin/python"])
def test_a_changed_program_is_named(mac: BsdShell, name: str) -> None:
    assert named(mac, path(mac, name)) == [str(path(mac, name))]


@pytest.mark.parametrize("magic", [MACH_O, SEVERAL_PROCESSORS])
@pytest.mark.parametrize("name", ["lib/libone.2.dylib", f"{PACKAGES}/a package/_two.cpython-312-darwin.so"])
def test_a_changed_library_is_named(mac: BsdShell, name: str, magic: bytes) -> None:
    file = signed(mac, name, magic)
    assert named(mac, file) == [str(file)]


@pytest.mark.parametrize(
    ("name", "magic"),
    [
        ("lib/attach_x86_64.dylib", OTHER_PROCESSOR),
        ("lib/libtext.so", b"INPUT(-lother)"),
        ("lib/empty.so", b""),
        ("share/module.py", MACH_O),
    ],
)
def test_what_macos_does_not_load_is_not_looked_at(mac: BsdShell, name: str, magic: bytes) -> None:
    assert named(mac, signed(mac, name, magic)) == []


def test_all_bad_files_are_named(mac: BsdShell) -> None:
    files = [signed(mac, f"lib/{number}.dylib") for number in range(40)]
    for file in files[::2]:
        file.write_bytes(MACH_O + b"changed")
    assert check(mac).stderr.count("invalid signature") == 20


def test_a_program_that_is_not_there_is_named(mac: BsdShell) -> None:
    path(mac, f"{RAY}/gcs/gcs_server").unlink()
    done = check(mac)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/gcs/gcs_server: No such file or directory" in done.stderr


def test_without_perl_nothing_passes_for_good(mac: BsdShell) -> None:
    mac.command("perl", "echo perl: broken >&2; exit 127")
    done = check(mac)
    assert (done.returncode, done.stdout) == (1, "")
    assert "perl: broken" in done.stderr
