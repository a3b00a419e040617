"""One simulated Mac as this machine sees it: started, looked at, rebooted, unplugged, wiped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

from lab import cables, image, network
from lab.errors import LabError
from lab.hardware import Hardware
from lab.paths import REPOSITORY, MacPaths, key_file, known_hosts, lab_dir

BOOT_SECONDS = 30.0
HALT_SECONDS = 150.0
"""Jobs may take their whole ExitTimeOut (Ray: 120 s) when a Mac halts."""


class Power(Enum):
    """Whether a Mac runs."""

    OFF = "off"
    BOOTING = "booting"
    ON = "on"


def wait_until(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    """Poll `condition`. Raises LabError saying `what` did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)


def _has_power(name: str) -> bool:
    """Whether a power supply holds the lock."""
    with contextlib.suppress(FileNotFoundError), open(MacPaths(name).power_pid) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _pid(path: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return None


def init_pid(name: str) -> int:
    """The pid of a Mac's PID 1, here. Raises LabError when it is off."""
    pid = _pid(MacPaths(name).init_pid)
    if pid is None or not _has_power(name):
        raise LabError(f"{name} is off: lab power-on {name}")
    return pid


def sshd_answers(mac: Hardware) -> bool:
    """Whether sshd greets inside the Mac, whatever its cable."""
    pid = _pid(MacPaths(mac.name).init_pid)
    if pid is None:
        return False
    with contextlib.suppress(OSError):
        # 0A in the state column is a listening socket; 0016 is port 22.
        return any(
            line.split()[1].endswith(":0016") and line.split()[3] == "0A"
            for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        )
    return False


def power(mac: Hardware) -> Power:
    """Off, booting, or on (sshd listens)."""
    if not _has_power(mac.name):
        return Power.OFF
    return Power.ON if sshd_answers(mac) else Power.BOOTING


def create(mac: Hardware, bare: bool = False) -> None:
    """Make the folders and the host key of a Mac that is new; a bare one is without the shared layer."""
    paths = MacPaths(mac.name)
    if bare and not paths.upper.exists():
        paths.home.mkdir(parents=True)
        paths.bare.touch()
    for folder in (paths.upper, paths.work, paths.root, lab_dir() / "factory"):
        folder.mkdir(parents=True, exist_ok=True)
    if not paths.host_key.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", mac.name, "-f", str(paths.host_key)]
        subprocess.run(command, check=True)


def write_known_hosts(macs: Iterable[Hardware]) -> None:
    """The host keys of every Mac that exists, so that a fresh lab never meets the keys of an older one."""
    lines = []
    for mac in macs:
        public = MacPaths(mac.name).host_key.with_suffix(".pub")
        if public.exists():
            kind, key, *_ = public.read_text().split()
            lines.append(f"{mac.name},{mac.address} {kind} {key}\n")
    known_hosts().write_text("".join(lines))


def start(macs: list[Hardware]) -> None:
    """Boot every Mac that is off, together, and wait for their sshd. Raises LabError with the console."""
    supplies = {mac.name: _power_supply(mac) for mac in macs if not _has_power(mac.name)}

    def settled(mac: Hardware) -> bool:
        supply = supplies.get(mac.name)
        return power(mac) is Power.ON or (supply is not None and supply.poll() is not None)

    for mac in macs:
        wait_until(f"{mac.name} boots", BOOT_SECONDS, lambda mac=mac: settled(mac))  # type: ignore[misc]
        if power(mac) is not Power.ON:
            console = MacPaths(mac.name).console
            last = console.read_text(errors="replace").splitlines()[-5:]
            raise LabError("\n  ".join([f"{mac.name} does not boot; its console ({console}) ends with", *last]))


def _power_supply(mac: Hardware) -> subprocess.Popen[bytes]:
    create(mac)
    with open(MacPaths(mac.name).console, "ab") as console:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.boot", mac.name],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def pull_plug(mac: Hardware) -> None:
    """End a Mac without a warning, to itself or to its peers. Does nothing when it is off."""
    if not _has_power(mac.name):
        return
    network.go_silent(mac)
    with contextlib.suppress(LabError, ProcessLookupError):
        os.kill(init_pid(mac.name), signal.SIGKILL)
    with contextlib.suppress(LabError):
        wait_until(f"{mac.name} is off", 5, lambda: not _has_power(mac.name))
        return
    # Unplugged between two boots, or stuck: its power supply takes what is left with it.
    supply = _pid(MacPaths(mac.name).power_pid)
    if supply is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supply, signal.SIGKILL)
    wait_until(f"{mac.name} is off", 10, lambda: not _has_power(mac.name))
    network.unplug(mac)
    cables.follow(mac.name)
    MacPaths(mac.name).init_pid.unlink(missing_ok=True)


def _tell_launchd(mac: Hardware, command: str) -> None:
    """Send PID 1 one line, past the Mac's own commands."""
    path = f"/proc/{init_pid(mac.name)}/root/run/launchd.sock"
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
            client.sendall(json.dumps({"command": command}).encode() + b"\n")
            client.recv(4096)
        except OSError as error:
            raise LabError(f"{mac.name}: launchd does not answer: {error}") from error


def halt(mac: Hardware) -> None:
    """Shut a Mac down as `shutdown -h now` does, and wait. Does nothing when it is off."""
    if _has_power(mac.name):
        _tell_launchd(mac, "halt")
        wait_until(f"{mac.name} halts", HALT_SECONDS, lambda: not _has_power(mac.name))


def reboot(mac: Hardware) -> None:
    """Restart a Mac as `shutdown -r now` does, and wait until it is on again."""
    before = init_pid(mac.name)
    _tell_launchd(mac, "reboot")
    wait_until(f"{mac.name} shuts down", HALT_SECONDS, lambda: _pid(MacPaths(mac.name).init_pid) != before)
    wait_until(f"{mac.name} boots", BOOT_SECONDS, lambda: power(mac) is Power.ON)


def run(name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a Mac as root, without SSH; output captured."""
    return subprocess.run(
        [*_enter(name), *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def _enter(name: str) -> list[str]:
    inside = ["env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/var/root", "USER=root"]
    flags = ["-t", str(init_pid(name)), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/"]
    return ["nsenter", *flags, *inside]


def ssh_command(mac: Hardware, command: list[str]) -> list[str]:
    """ssh(1) to a Mac as admin, with the lab's key and host keys."""
    options = [
        f"UserKnownHostsFile={known_hosts()}",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "LogLevel=ERROR",
    ]
    flags = [part for option in options for part in ("-o", option)]
    return ["ssh", "-F", "/dev/null", "-i", str(key_file()), *flags, f"admin@{mac.address}", *command]


def wipe(mac: Hardware) -> None:
    """Forget a Mac: its disk, its host key, its cables. Raises LabError while it is on."""
    if _has_power(mac.name):
        raise LabError(f"{mac.name} is on: lab power-off {mac.name} first")
    home = MacPaths(mac.name).home
    if home.exists():
        shutil.rmtree(home)
    cables.forget(mac.name)


def wipe_shared() -> None:
    """Forget the shared layer."""
    factory = lab_dir() / "factory"
    if factory.exists():
        shutil.rmtree(factory)


def mount_base() -> None:
    """Build the image if it is old and mount it over this machine's root, the layer below every Mac."""
    base, work = lab_dir() / "base", lab_dir() / "base-work"
    if os.path.ismount(base):
        if image.is_current():
            return
        if any(_has_power(path.name) for path in (lab_dir() / "macs").glob("*")):
            print("lab: the image is older than its sources; `lab down` and `lab up` renew it", file=sys.stderr)
            return
        unmount_base()
    image.build()
    for folder in (base, work):
        folder.mkdir(exist_ok=True)
    layers = f"lowerdir=/,upperdir={lab_dir() / 'image'},workdir={work},index=off,metacopy=off,xino=off"
    subprocess.run(["mount", "-t", "overlay", "raylab", "-o", f"ro,{layers}", str(base)], check=True)


def unmount_base() -> None:
    """Undo mount_base."""
    if os.path.ismount(lab_dir() / "base"):
        subprocess.run(["umount", str(lab_dir() / "base")], check=True)
