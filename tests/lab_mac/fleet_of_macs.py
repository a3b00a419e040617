"""A fleet of two simulated Macs on which pyinfra runs for real, without a release; and what is on their disks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import disk
from lab.paths import REPOSITORY

from .conftest import Ran, World

PYINFRA = Path(sys.executable).parent / "pyinfra"
INVENTORY = """\
head = [("@mac/m4", {"node_ip": "10.77.0.14", "thunderbolt": ["en2"]})]
workers = [("@mac/m5", {"node_ip": "10.77.0.15", "thunderbolt": ["en3"]})]
"""
SETTINGS = """\
ssh_user = "admin"
ssh_key = "{folder}/keys/id_ed25519"
ssh_known_hosts_file = "{folder}/known_hosts"
platform = "linux-64"
locks = "{locks}"
depot = "{folder}/depot"
secrets = "{folder}/secrets"
models = []
"""
# What a converge does before it needs a release, on Macs whose models need a higher limit.
LAY = """\
from dataclasses import replace

from roles import announce, code, limits, network, relay
from roles import host as the_mac

made = announce.plan()
announce._plans[:] = [replace(made, macs=tuple(replace(row, wired_limit_mb=9000) for row in made.macs))]
the_mac.settings()
network.resolved_names()
network.cabled()
limits.gpu_memory()
relay.agent()
code.copied()
"""


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 60) -> float:
    """Seconds until the condition holds. Fails when it does not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - began


@dataclass(frozen=True)
class FleetOfMacs:
    """m4, the head, and m5."""

    world: World

    def write(self) -> None:
        """The files of a control machine."""
        folder = self.world.folder / "project"
        (folder / "group_data").mkdir(parents=True, exist_ok=True)
        (folder / "fleet.py").write_text(INVENTORY)
        locks = REPOSITORY / ".lab/artifacts/locks"
        (folder / "group_data/all.py").write_text(SETTINGS.format(folder=self.world.folder, locks=locks))
        (folder / "lay.py").write_text(LAY)

    def command(self, deploy: str, *options: str) -> list[str]:
        """What a person types."""
        return [str(PYINFRA), "-y", *options, str(self.world.folder / "project/fleet.py"), deploy]

    def pyinfra(self, deploy: str, *options: str) -> Ran:
        return self.world.run(*self.command(deploy, *options))

    def lay(self) -> None:
        """A converge's first parts, which must succeed."""
        done = self.pyinfra(str(self.world.folder / "project/lay.py"))
        assert done.returncode == 0, done.stderr

    def starts(self, deploy: str, *options: str) -> subprocess.Popen[str]:
        """The same, without waiting for its end."""
        enter = ["nsenter", "-t", str(self.world.pid), "--net", "--mount", f"--wdns={REPOSITORY}"]
        return subprocess.Popen(
            [*enter, *self.command(deploy, *options)],
            env={**os.environ, "RAYLAB_LAB": str(self.world.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def seen(self, name: str, path: str) -> Path:
        """A path of a Mac that is on, as its processes see it."""
        pid = int((self.world.folder / f"macs/{name}/init.pid").read_text())
        return Path(f"/proc/{pid}/root") / path.lstrip("/")

    def touched(self, name: str) -> set[str]:
        """Every path of the Mac's own layer: what it has changed since it came out of its box."""
        return disk.touched(self.world.folder / f"macs/{name}/upper")

    def disk(self, name: str, paths: set[str]) -> disk.Disk:
        """What each of these paths is, without those that are not there."""
        return disk.states(self.seen(name, ""), paths)

    def new(self, name: str, paths: set[str]) -> disk.Disk:
        """The same as on a Mac that was never switched on."""
        base = str(self.world.folder / "base").lstrip("/")
        return disk.states(Path(f"/proc/{self.world.pid}/root") / base, paths)
