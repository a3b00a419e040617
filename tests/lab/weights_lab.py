"""A fleet that gets a model too large to arrive in an instant, for tests that disturb it on its way."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import BIN, ROOT, lab, on

HOME = ROOT / ".lab" / "tests"
MIB = 2**20
SIZE = 256 * MIB
NUMBERS = {"alpha": 11, "beta": 12, "gamma": 13, "m4": 14}
SENT = re.compile(r"relay: of ([\d.]+) MB this machine sent ([\d.]+) MB; received: (.*)")


@dataclass
class Run:
    """A finished deploy."""

    status: int
    output: str

    @property
    def sent(self) -> float:
        """MB that the control machine sent, as the run says."""
        found = SENT.search(self.output)
        assert found, self.output
        return float(found[2])

    def received(self, mac: str) -> float:
        """MB that a Mac received, as the run says."""
        found = SENT.search(self.output)
        assert found, self.output
        return float(dict(part.rsplit(" ", 2)[:2] for part in found[3].split(", "))[mac])


def padded_model(revision: str = "one") -> Path:
    """The tiny model with 256 MiB of random weights beside its own, which differ by revision."""
    folder = HOME / "models" / "padded"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / ".lab/artifacts/models/tiny", folder)
    noise = random.Random("padding")
    with (folder / "padding.safetensors").open("wb") as padding:
        for _ in range(SIZE // MIB):
            padding.write(noise.randbytes(MIB))
    (folder / "more.safetensors").write_bytes(random.Random(revision).randbytes(4 * MIB))
    return folder


def inventory(*macs: str, thunderbolt: bool = False, models: tuple[str, ...] = ("tiny", "padded")) -> str:
    """An inventory of these Macs, the first one the head; with their addresses on the second network, if told."""
    group_data = HOME / "group_data"
    group_data.mkdir(parents=True, exist_ok=True)
    for name in ("all.py", "simulated.py"):
        shutil.copyfile(ROOT / "inventory/group_data" / name, group_data / name)
    sources = {"tiny": ".lab/artifacts/models/tiny", "padded": str(HOME / "models/padded")}
    entries = [{"id": name, "source": sources[name], "context": 512, "replicas": "all"} for name in models]
    (group_data / "lab.py").write_text(f"models = {entries!r}\n")
    hosts = []
    for mac in macs:
        data = {"node_ip": f"10.77.0.{NUMBERS[mac]}"}
        if thunderbolt:
            data["thunderbolt_ip"] = f"10.99.0.{NUMBERS[mac]}"
        hosts.append((f"@mac/{mac}", data))
    path = HOME / "lab.py"
    path.write_text(f"head = {hosts[:1]!r}\nworkers = {hosts[1:]!r}\nsimulated = head + workers\n")
    return str(path)


def command(path: str, deploy: str, *options: str) -> list[str]:
    """What a person types."""
    return [str(BIN / "pyinfra"), "-y", *options, path, deploy]


def deploy(path: str, *options: str, name: str = "deploy/weights.py") -> Run:
    """Run a deploy to its end, whatever that is."""
    done = subprocess.run(command(path, name, *options), cwd=ROOT, capture_output=True, text=True, timeout=600)
    return Run(done.returncode, done.stdout + done.stderr)


@contextmanager
def deploying(path: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A deploy that runs meanwhile; killed at the end if it still does."""
    log = (HOME / "deploy.log").open("w+")
    process = subprocess.Popen(
        command(path, "deploy/weights.py", *options), cwd=ROOT, stdout=log, stderr=log, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def finished(process: subprocess.Popen[str], seconds: float = 300) -> Run:
    """Wait for the deploy's own end."""
    status = process.wait(seconds)
    return Run(status, (HOME / "deploy.log").read_text())


def until(what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def delivered(mac: str, bridge: str = "") -> int:
    """Bytes that the switch has delivered to a Mac since it booted; `tb-` for the second network."""
    link = f"{bridge}{mac}"
    shown = subprocess.run(
        ["ip", "-n", "raylab-lan", "-s", "-j", "link", "show", link], capture_output=True, text=True, check=True
    )
    return int(json.loads(shown.stdout)[0]["stats64"]["tx"]["bytes"])


@contextmanager
def small_disk(mac: str, folder: str) -> Iterator[None]:
    """A disk of 64 MB at a folder of a running Mac, put there from outside: a Mac has no mount(8) of Linux."""
    where = f"/proc/{(ROOT / '.lab/macs' / mac / 'init.pid').read_text()}"
    enter = (
        "import ctypes, os, sys; from lab import namespaces as ns;"
        f"root = os.open('{where}/root', os.O_RDONLY); inside = os.open('{where}/ns/mnt', os.O_RDONLY);"
        "assert ctypes.CDLL(None).setns(inside, ns.NEW_MOUNTS) == 0; os.fchdir(root); os.chroot('.');"
    )
    mount = f"ns.mount('tmpfs', '{folder}', 'tmpfs', options='size=64m')"
    subprocess.run([sys.executable, "-c", enter + mount], cwd=ROOT, check=True)
    try:
        yield
    finally:
        subprocess.run([sys.executable, "-c", enter + f"ns.unmount('{folder}', ns.DETACH)"], cwd=ROOT, check=True)


def sums(mac: str) -> dict[str, str]:
    """The sha256 of every file of the padded model on a Mac, by name."""
    text = on(mac, "cd /opt/raylab/weights/padded/* && shasum -a 256 *.safetensors", check=False)
    return {line.split()[1]: line.split()[0] for line in text.splitlines()}


def forget(*macs: str) -> None:
    """Take the padded model off these Macs again."""
    for mac in macs:
        lab("ssh", mac, "sudo", "sh", "-c", "'rm -rf /opt/raylab/weights/padded'")
        large = "find /opt/raylab/depot -type f -size +1000k -links 1"
        lab("ssh", mac, "sudo", "sh", "-c", f"'{large} -exec rm -f {{}} +; rm -f /opt/raylab/depot/*.partial'")
