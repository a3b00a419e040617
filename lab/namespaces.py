"""The few Linux system calls that booting needs and Python 3.11 lacks."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

NEW_MOUNTS = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY = 1
NO_SUID = 2
NO_DEVICES = 4
NO_EXEC = 8
REMOUNT = 32
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18
DETACH = 2
_DEATH_SIGNAL = 1
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    arguments = (
        source.encode(),
        str(target).encode(),
        kind.encode(),
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _call(f"mount {target}", _libc.mount(*arguments))


def unmount(target: str | Path, flags: int = 0) -> None:
    """umount2(2). Raises OSError."""
    _call(f"unmount {target}", _libc.umount2(str(target).encode(), flags))


def bind_read_only(source: str, target: str | Path) -> None:
    """Show `source` at `target`, unchangeable."""
    mount(source, target, flags=BIND)
    mount("none", target, flags=REMOUNT | BIND | READ_ONLY)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _call("unshare", _libc.unshare(flags))


def enter_network(name: str) -> None:
    """Join a network namespace made by ip-netns(8)."""
    with open(f"/run/netns/{name}") as file:
        _call(f"setns {name}", _libc.setns(file.fileno(), NEW_NETWORK))


def pivot_into(root: Path) -> None:
    """Make `root` the root of this mount namespace and forget the old one."""
    os.chdir(root)
    _call("pivot_root", _libc.syscall(_PIVOT_ROOT[platform.machine()], b".", b"."))
    unmount(".", DETACH)
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for `signal_number` when the parent of this process ends."""
    _call("prctl", _libc.prctl(_DEATH_SIGNAL, signal_number, 0, 0, 0))
