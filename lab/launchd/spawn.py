"""Starting one job's process: everything between fork and exec, as launchd's xpcproxy does it.

What fails there ends the process with 78 (EX_CONFIG), which launchctl shows; the reason is in the log.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .plist import DEFAULT_PATH, Definition

EX_CONFIG = 78
OPEN_FILES = 256

_LIMITS = {
    "Core": resource.RLIMIT_CORE,
    "CPU": resource.RLIMIT_CPU,
    "Data": resource.RLIMIT_DATA,
    "FileSize": resource.RLIMIT_FSIZE,
    "MemoryLock": resource.RLIMIT_MEMLOCK,
    "NumberOfFiles": resource.RLIMIT_NOFILE,
    "NumberOfProcesses": resource.RLIMIT_NPROC,
    "ResidentSetSize": resource.RLIMIT_RSS,
    "Stack": resource.RLIMIT_STACK,
}

Log = Callable[[str], None]


def environment(definition: Definition) -> dict[str, str]:
    """All that a job's process gets: the default PATH, the plist's variables, and the job's own name."""
    return {"PATH": DEFAULT_PATH, **definition.environment, "XPC_SERVICE_NAME": definition.label}


def start(definition: Definition, log: Log) -> int:
    """Fork the job's process, leader of its own group, and return its pid. Raises OSError if fork fails."""
    # held back until the child has default handlers: PID 1's own would swallow an early SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(definition, log)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return pid


def _child(definition: Definition, log: Log) -> NoReturn:
    step = "prepare"
    try:
        _reset_signals()
        os.setsid()
        step = "set resource limits"
        _set_limits(definition, log)
        for path in (definition.stdin, definition.stdout, definition.stderr):
            _make_parent(path)
        step = f"become user {definition.user}"
        _become(definition)
        step = f"enter {definition.directory}"
        os.chdir(definition.directory or "/")
        os.umask(0o022 if definition.umask is None else definition.umask)
        step = "open standard input, output or error"
        _redirect(definition)
        step = f"execute {definition.program}"
        _execute(definition)
    except (OSError, KeyError, ValueError) as error:
        log(f"Could not {step}: {error}")
    finally:
        os._exit(EX_CONFIG)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_limits(definition: Definition, log: Log) -> None:
    limits = {"NumberOfFiles": (None, None), **definition.limits}
    for name, (soft, hard) in limits.items():
        if name not in _LIMITS:
            continue
        current_soft, current_hard = resource.getrlimit(_LIMITS[name])
        wanted = OPEN_FILES if name == "NumberOfFiles" else current_soft
        wanted = wanted if soft is None else soft
        top = current_hard if hard is None else hard
        if soft is not None and hard is None:
            top = _larger(top, wanted)
        try:
            resource.setrlimit(_LIMITS[name], (_smaller(wanted, top), top))
        except (OSError, ValueError):  # the host gives less than a Mac would: as much as there is
            resource.setrlimit(_LIMITS[name], (_smaller(wanted, current_hard), current_hard))
            log(f"{name} is limited to {current_hard} here")


def _larger(one: int, other: int) -> int:
    return resource.RLIM_INFINITY if resource.RLIM_INFINITY in (one, other) else max(one, other)


def _smaller(one: int, other: int) -> int:
    if one == resource.RLIM_INFINITY:
        return other
    return one if other == resource.RLIM_INFINITY else min(one, other)


def _make_parent(path: str | None) -> None:
    """Make a log file's missing folders, as launchd does: root's, 0744, so of no use to another user."""
    if path is None:
        return
    os.umask(0)
    missing = [folder for folder in Path(path).parents if not folder.exists()]
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o744)
        except OSError:  # the open that follows says what is wrong
            return


def _become(definition: Definition) -> None:
    user = None if definition.user is None else pwd.getpwnam(definition.user)
    if definition.group is not None:
        gid = grp.getgrnam(definition.group).gr_gid
    else:
        gid = os.getgid() if user is None else user.pw_gid
    if user is not None:
        os.initgroups(user.pw_name, gid)
    os.setgid(gid)
    if user is not None:
        os.setuid(user.pw_uid)


def _redirect(definition: Definition) -> None:
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    streams = ((definition.stdin, os.O_RDONLY), (definition.stdout, append), (definition.stderr, append))
    for target, (path, flags) in enumerate(streams):
        descriptor = os.open(path or os.devnull, flags, 0o666)
        if descriptor != target:
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.set_inheritable(target, True)


def _execute(definition: Definition) -> NoReturn:
    if not definition.program.startswith("/"):
        raise ValueError(f"{definition.program} is no absolute path")
    os.execve(definition.program, definition.arguments, environment(definition))
