"""The power supply of one simulated Mac: `python -m lab.boot NAME` boots it, and boots it again on a reboot.

It ends, and the Mac is off, when the Mac halts itself, when its PID 1 is killed (the plug), or crashes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import plistlib
import signal
import socket
import stat
import sys
import time
from pathlib import Path

from lab import cables, clock, network
from lab import namespaces as ns
from lab.commands import bridges, services
from lab.hardware import Hardware, find
from lab.paths import INSIDE, LIBRARY, PYTHON, PYTHON_HOME, STATE, MacPaths, lab_dir

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
TTY_GROUP = 4
INIT = (PYTHON, "-I", "-S", f"{LIBRARY}/launchd/entry.py", "init")


def main() -> int:
    """Hold the lock, boot until the Mac is off."""
    mac = find(sys.argv[1])
    paths = MacPaths(mac.name)
    # Opened for good: the lock on it says that the Mac has power.
    lock = open(paths.power_pid, "a+")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    try:
        while _run(mac, paths) == signal.SIGHUP:
            print("restarting", flush=True)
    finally:
        network.unplug(mac)
        cables.follow(mac.name)
        paths.init_pid.unlink(missing_ok=True)
        lock.truncate(0)
    return 0


def _run(mac: Hardware, paths: MacPaths) -> int:
    """Boot once and wait for the end: SIGHUP for a reboot, SIGINT for a halt, else another signal or 0."""
    network.plug_in(mac)
    cables.follow(mac.name)
    middle = os.fork()
    if middle == 0:
        os._exit(_middle(mac, paths))
    _, status = os.waitpid(middle, 0)
    ended = os.waitstatus_to_exitcode(status)
    stamp = time.strftime("%H:%M:%S")
    print(f"{stamp} {mac.name}: PID 1 ended: {_describe(ended)}", flush=True)
    return ended


def _describe(ended: int) -> str:
    known = {signal.SIGHUP: "reboot", signal.SIGINT: "halt", signal.SIGKILL: "plug pulled"}
    return {int(number): text for number, text in known.items()}.get(ended, f"crash ({ended})")


def _middle(mac: Hardware, paths: MacPaths) -> int:
    """Between the power supply and PID 1, because a PID namespace begins with a child.

    Returns the signal that ended PID 1, or 128 + its exit status.
    """
    ns.die_with_parent(signal.SIGKILL)
    ns.enter_network(network.namespace(mac.name))
    ns.unshare(ns.NEW_MOUNTS | ns.NEW_UTS | ns.NEW_IPC | ns.NEW_PIDS)
    init = os.fork()
    if init == 0:
        try:
            _become(mac, paths)
        except BaseException as error:
            print(f"{mac.name} cannot boot: {error!r}", flush=True)
        os._exit(1)
    paths.init_pid.write_text(str(init))
    _, status = os.waitpid(init, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 128 + os.WEXITSTATUS(status)


def _become(mac: Hardware, paths: MacPaths) -> None:
    """Turn this process into the Mac's PID 1."""
    ns.die_with_parent(signal.SIGKILL)
    os.setsid()
    ns.mount("none", "/", flags=ns.RECURSIVE | ns.PRIVATE)
    root = paths.root
    base, factory = lab_dir() / "base", lab_dir() / "factory"
    below = base if paths.bare.exists() else f"{factory}:{base}"
    layers = f"lowerdir={below},upperdir={paths.upper},workdir={paths.work}"
    ns.mount("overlay", root, "overlay", options=f"{layers},index=off,metacopy=off,redirect_dir=on,xino=off")
    _mount_kernel(root)
    clock.show(paths, root)
    _show_python(root)
    _own_files(mac, paths, root)
    ns.pivot_into(root)
    socket.sethostname(_boot_name(mac))
    # Imported before the pivot: this machine's files are out of reach by now.
    services.apply()
    os.umask(0o022)
    os.environ.clear()
    os.execve(INIT[0], INIT, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})


def _mount_kernel(root: Path) -> None:
    """/proc, /sys, /dev and /run: what the kernel gives."""
    quiet = ns.NO_SUID | ns.NO_DEVICES | ns.NO_EXEC
    ns.mount("proc", root / "proc", "proc", quiet)
    # Kernel settings are this machine's: the root of a Mac must not change them.
    for path in (root / "proc/sys", root / "proc/sysrq-trigger"):
        if path.exists():
            ns.bind_read_only(str(path), path)
    ns.mount("sysfs", root / "sys", "sysfs", quiet | ns.READ_ONLY)
    ns.mount("tmpfs", root / "run", "tmpfs", ns.NO_SUID | ns.NO_DEVICES, "mode=755")
    for name in ("sshd", "sudo", "lock"):
        (root / "run" / name).mkdir(mode=0o755)
    dev = root / "dev"
    ns.mount("tmpfs", dev, "tmpfs", ns.NO_SUID | ns.NO_EXEC, "mode=755")
    for name, (major, minor) in DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    terminals = f"newinstance,ptmxmode=666,mode=620,gid={TTY_GROUP}"
    ns.mount("devpts", dev / "pts", "devpts", ns.NO_SUID | ns.NO_EXEC, terminals)
    ns.mount("tmpfs", dev / "shm", "tmpfs", ns.NO_SUID | ns.NO_DEVICES, "mode=1777")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")


def _show_python(root: Path) -> None:
    """The home of the stand-ins' interpreter, which may be in a folder that Macs do not see."""
    if sys.base_prefix != "/usr":
        ns.bind_read_only(sys.base_prefix, root / PYTHON_HOME.lstrip("/"))


def _own_files(mac: Hardware, paths: MacPaths, root: Path) -> None:
    """What differs between Macs from the first boot on."""
    inside = root / INSIDE.lstrip("/")
    (inside / "hardware.json").write_text(json.dumps(mac.as_json(), indent=1))
    ssh = root / "etc/ssh"
    for source, mode in ((paths.host_key, 0o600), (paths.host_key.with_suffix(".pub"), 0o644)):
        target = ssh / source.name
        if not target.exists():
            target.write_bytes(source.read_bytes())
            target.chmod(mode)
    settings = root / bridges.PREFERENCES.lstrip("/")
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_bytes(plistlib.dumps(bridges.on_a_new_mac(mac.interfaces), fmt=plistlib.FMT_BINARY))
    names = root / STATE.lstrip("/") / "names.json"
    if not names.exists():
        names.write_text(json.dumps({"ComputerName": mac.name, "LocalHostName": mac.name}))


def _boot_name(mac: Hardware) -> str:
    """The host name set with scutil, else NAME.local."""
    with contextlib.suppress(OSError, ValueError):
        names = json.loads(Path(STATE, "names.json").read_text())
        return str(names.get("HostName") or f"{names['LocalHostName']}.local")
    return f"{mac.name}.local"


if __name__ == "__main__":
    sys.exit(main())
