"""The simulated Macs of this benchmark: a lab of its own, with disks in memory, so that only the network counts."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import cli, hardware, machine, network
from lab.paths import PYTHON, PYTHON_HOME

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SHARED = ROOT / ".lab" / "factory"
WORK = ROOT / ".lab" / "bench" / "fanout"
LAB = WORK / "lab"
NAMES = ("alpha", "beta", "gamma", "m4", "m5", "m6", "m7", "m8")
AGENT_FOLDER = "/Users/admin/agent"
MIB = 1024 * 1024
RATE = 200_000_000
"""Bits per second of every link, each way."""
RATE_TEXT = f"{RATE // 10**6}mbit"
UNMOUNT_S = 20.0


def run(*command: str, folder: Path = ROOT) -> str:
    """A command; its output. Raises SystemExit, with what it said, when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def lab(*words: str) -> None:
    """The command `lab`, for this benchmark's lab."""
    if cli.main(words):
        raise SystemExit(1)


@contextmanager
def booted(size: int, *, bare: bool) -> Iterator[None]:
    """All Macs, up, with room for `size` bytes on all disks together. Whatever happens, nothing is left of them."""
    if os.geteuid():
        raise SystemExit("this makes namespaces and mounts: run it as root")
    os.environ["RAYLAB_LAB"] = str(LAB)
    if WORK.is_mount():  # an earlier run was killed
        _take_down()
    if set(network.namespaces()) - {network.LAN, network.namespace(hardware.CLIENT)}:
        raise SystemExit("a lab is up: lab down")
    needed = size + 2048 * MIB
    if _free_memory() < needed:
        raise SystemExit(f"{needed / 1e9:.0f} GB of free memory are needed: set SIZE_MIB")
    WORK.mkdir(parents=True, exist_ok=True)
    # The relay leaves a gigabyte free on every disk, and all disks are this one.
    run("mount", "-t", "tmpfs", "-o", f"size={needed + 1024 * MIB}", "raylab-bench", str(WORK))
    try:
        LAB.mkdir()
        if SHARED.is_dir() and not bare:
            (LAB / "factory").symlink_to(SHARED)
        lab("up", *(["--bare"] if bare else []), *NAMES)
        _use_cubic("ip", network.HOST_LINK, network.HOST_ADDRESS)
        for name in NAMES:
            _prepare(name)
            run("scp", "-r", *scp_options(name), str(ROOT / "depot" / "relay"), f"{admin(name)}:{AGENT_FOLDER}/")
        yield
    finally:
        _take_down()


def _take_down() -> None:
    try:
        lab("down")
    finally:
        # The kernel takes a moment to let go of the Macs' disks.
        machine.wait_until(f"{WORK} is unmounted", UNMOUNT_S, _unmounted)
        shutil.rmtree(WORK)


def _unmounted() -> bool:
    return not subprocess.run(["umount", str(WORK)], capture_output=True, check=False).returncode


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _prepare(name: str) -> None:
    _use_cubic("ip", "-n", network.namespace(name), "en0", address(name))
    inside(name, "mkdir", "-p", AGENT_FOLDER)


def _use_cubic(*where: str) -> None:
    """As Macs do, whatever this machine prefers. `where` is ip(8), the device, and the address on it."""
    *ip, device, own = where
    run(*ip, "route", "replace", network.SUBNET, "dev", device, "src", own, "scope", "link", "congctl", "cubic")


def power_on(name: str) -> None:
    """`lab power-on`."""
    lab("power-on", name)
    _prepare(name)


def shape(names: Sequence[str], rate: str) -> None:
    """Give these Macs' links and this machine's own a rate, or `none`."""
    for name in ("host", *names):
        lab("shape", name, rate)


def address(name: str) -> str:
    """A Mac's address."""
    return hardware.find(name).address


def admin(name: str) -> str:
    """USER@ADDRESS of a Mac."""
    return f"admin@{address(name)}"


def ssh(name: str, *command: str) -> list[str]:
    """The command that runs a command on a Mac, as admin."""
    return machine.ssh_command(hardware.find(name), [shlex.join(command)])


def scp_options(name: str) -> list[str]:
    """The same keys as ssh's."""
    return machine.ssh_command(hardware.find(name), [])[1:-1]


def inside(name: str, *command: str) -> str:
    """Run a command on a Mac, as admin; its output."""
    return run(*ssh(name, *command))


def python() -> list[str]:
    """The interpreter that agents run under: the shared release's, else that of the lab's own commands."""
    found = sorted((LAB / "factory").glob("opt/raylab/releases/*/env/bin/python"))
    if found:
        return [f"/{found[-1].relative_to(LAB / 'factory')}"]
    # Should it have been built outside /usr, its library is beside it.
    return ["env", f"LD_LIBRARY_PATH={PYTHON_HOME}/lib", PYTHON]


def check_and_remove(names: Sequence[str], path: str, sha256: str) -> None:
    """Raises SystemExit unless each Mac has that file with that content; then removes it."""
    command = ["sudo", "-n", "openssl", "dgst", "-sha256", "-r", path]
    running = {name: subprocess.Popen(ssh(name, *command), stdout=subprocess.PIPE, text=True) for name in names}
    wrong = [name for name, process in running.items() if not process.communicate()[0].startswith(sha256)]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)}: {path} is not what was sent")
    remove(names, path)


def remove(names: Sequence[str], path: str) -> None:
    """Remove a file or folder from Macs."""
    for name in names:
        inside(name, "sudo", "-n", "rm", "-rf", path)


def random_file(name: str, size: int) -> tuple[Path, str]:
    """A file of random bytes on this machine, and its sha256."""
    path, digest = WORK / name, hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


def sent_by_control() -> int:
    """Bytes that have left this machine for the LAN."""
    return _transmitted("ip", device=network.HOST_LINK)


def received_by(name: str) -> int:
    """Bytes that have come down a Mac's cable since it was switched on."""
    return _transmitted("ip", "-n", network.LAN, device=name)


def _transmitted(*ip: str, device: str) -> int:
    shown = json.loads(run(*ip, "-s", "-j", "link", "show", device))
    return int(shown[0]["stats64"]["tx"]["bytes"])


def cpu_seconds() -> float:
    """What this machine has computed since it was started, in all processes and in the kernel."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")
