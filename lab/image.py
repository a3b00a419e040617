"""Builds `.lab/image`: what turns this machine's root folder into a Mac's, as the upper layer of an overlay.

Command folders are opaque and hold an allow-list; the rest of /usr is this machine's. Everything else at the
top is the image's own, so what this machine has in /opt, /home or elsewhere does not exist in a Mac.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from lab import etc
from lab.commands import COMMANDS
from lab.errors import LabError
from lab.paths import LIBRARY, PYTHON, PYTHON_HOME, REAL, REPOSITORY, STATE, key_file, lab_dir

OPAQUE = "trusted.overlay.opaque"
SHARED = frozenset({"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"})
"""What a Mac sees of this machine's root folder (bin and sbin are links into usr)."""
STAMP = "image.stamp"

BIN = [
    "[",
    "basename",
    "bash",
    "bunzip2",
    "bzcat",
    "bzip2",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "cmp",
    "comm",
    "cp",
    "curl",
    "cut",
    "date",
    "dd",
    "diff",
    "dirname",
    "du",
    "echo",
    "egrep",
    "env",
    "expand",
    "expr",
    "false",
    "fgrep",
    "file",
    "find",
    "fold",
    "grep",
    "groups",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "id",
    "install",
    "join",
    "kill",
    "killall",
    "less",
    "link",
    "ln",
    "logname",
    "ls",
    "lsof",
    "mkdir",
    "mkfifo",
    "mktemp",
    "more",
    "mv",
    "nice",
    "nl",
    "nohup",
    "od",
    "openssl",
    "paste",
    "perl",
    "pgrep",
    "ping",
    "pkill",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "renice",
    "rev",
    "rm",
    "rmdir",
    "rsync",
    "scp",
    "seq",
    "sftp",
    "shasum",
    "sleep",
    "sort",
    "split",
    "ssh",
    "ssh-add",
    "ssh-agent",
    "ssh-keygen",
    "ssh-keyscan",
    "stty",
    "su",
    "sudo",
    "sum",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "uname",
    "uniq",
    "unlink",
    "unzip",
    "uptime",
    "wc",
    "which",
    "who",
    "whoami",
    "xargs",
    "yes",
    "zcat",
    "zip",
    "zsh",
]
"""Real programs of /usr/bin: those that macOS has too (stand-ins replace some)."""
SBIN = ["chroot", "sshd", "visudo"]
"""Real programs of /usr/sbin."""
ALIASES = {"sh": "bash", "awk": "mawk"}
"""Commands whose program on Debian has another name."""
SETUID = ("sudo", "su", "ping")
PRIVATE = {"sed": "sed", "nc": "nc.openbsd", "ip": "ip", "nft": "nft"}
"""Linux programs that stand-ins call; they are in no PATH."""


def _sources() -> list[Path]:
    folders = (REPOSITORY / "lab/commands", REPOSITORY / "lab/launchd")
    inside = sorted(path for folder in folders for path in folder.glob("*.py"))
    return [Path(__file__), Path(etc.__file__), *inside]


def _fingerprint() -> str:
    """Changes when the image would."""
    digest = hashlib.sha256(f"{sys.base_prefix} {key_file().with_suffix('.pub').read_text()}".encode())
    for path in _sources():
        digest.update(str(path.relative_to(REPOSITORY)).encode() + path.read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether the image was built from the sources as they are."""
    stamp = lab_dir() / STAMP
    _make_key()
    return stamp.exists() and stamp.read_text() == _fingerprint()


def _make_key() -> None:
    key = key_file()
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "raylab", "-f", str(key)], check=True)


def build() -> None:
    """Make the image anew, unless it is current. It must not be mounted."""
    if is_current():
        return
    image = lab_dir() / "image"
    stamp = lab_dir() / STAMP
    stamp.unlink(missing_ok=True)
    if image.exists():
        shutil.rmtree(image)
    image.mkdir()
    image.chmod(0o755)
    _hide_this_machine(image)
    _copy_programs(image)
    etc.write(image, key_file().with_suffix(".pub").read_text())
    _install_stand_ins(image)
    _show_python(image)
    stamp.write_text(_fingerprint())


def _opaque(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    os.setxattr(folder, OPAQUE, b"y")
    return folder


def _hide_this_machine(image: Path) -> None:
    for path in Path("/").iterdir():
        if path.name not in SHARED:
            _whiteout(image / path.name)
    own = """dev etc opt proc run sys tmp var Applications Library System Users Volumes private
             usr/bin usr/sbin usr/games usr/include usr/local usr/src usr/libexec"""
    for name in own.split():
        (image / name).unlink(missing_ok=True)
        _opaque(image / name)
    # Programs of packages look for their helpers in libexec; sudo finds its plug-ins there.
    shutil.copytree("/usr/libexec", image / "usr/libexec", dirs_exist_ok=True, symlinks=True)
    _whiteout(image / "usr/lib/os-release")
    # macOS always has this locale; what it means beyond UTF-8 matters to nobody here.
    shutil.copytree("/usr/lib/locale/C.utf8", image / "usr/lib/locale/en_US.utf8")
    (image / "tmp").chmod(0o1777)


def _whiteout(path: Path) -> None:
    """Make a lower layer's `path` vanish."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _program(name: str) -> Path:
    for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        path = Path(folder, name)
        if path.exists():
            return path.resolve()
    raise LabError(f"{name} is not installed: see `lab setup`")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o4755 if target.name in SETUID else 0o755)


def _copy_programs(image: Path) -> None:
    for name in BIN:
        _copy(_program(name), image / "usr/bin" / name)
    for name, real in ALIASES.items():
        _copy(_program(real), image / "usr/bin" / name)
    for name in SBIN:
        _copy(_program(name), image / "usr/sbin" / name)
    for name, real in PRIVATE.items():
        _copy(_program(real), image / REAL.lstrip("/") / name)


def _script(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)


def _merged(path: str) -> str:
    """A path below the image: /bin and /sbin are links into /usr, as on this machine."""
    relative = path.lstrip("/")
    return f"usr/{relative}" if relative.startswith(("bin/", "sbin/")) else relative


def _install_stand_ins(image: Path) -> None:
    library = image / LIBRARY.lstrip("/")
    for package in ("commands", "launchd"):
        source = REPOSITORY / "lab" / package
        shutil.copytree(source, library / package, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(
        str(library), quiet=1, stripdir=str(image), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    for path, function in COMMANDS.items():
        module, _, name = function.partition(":")
        start = f"from commands.{module} import {name}; sys.exit({name}(sys.argv[1:]))"
        _script(
            image / _merged(path),
            [f"#!{PYTHON} -IS", f"import sys; sys.path.append('{LIBRARY}')", start],
        )
    _share_rattler(library)
    entry = f'exec {PYTHON} -I -S {LIBRARY}/launchd/entry.py launchctl "$@"'
    _script(image / "usr/bin/launchctl", ["#!/bin/sh", entry])
    (image / STATE.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _share_rattler(library: Path) -> None:
    """Give the stand-in for micromamba the package that does its work; linked, because it is large."""
    found = importlib.util.find_spec("rattler")
    if found is None or found.origin is None:
        raise LabError("the Python package py-rattler is not installed: uv sync")
    shutil.copytree(Path(found.origin).parent, library / "rattler", copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _show_python(image: Path) -> None:
    """Make the interpreter reachable: its libraries are in /usr, or its home is mounted at PYTHON_HOME."""
    link = image / PYTHON.lstrip("/")
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if sys.base_prefix == "/usr":
        _copy(_program(name), link)
        return
    (image / PYTHON_HOME.lstrip("/")).mkdir(parents=True)
    link.symlink_to(f"{PYTHON_HOME}/bin/{name}")
