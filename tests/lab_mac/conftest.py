"""Simulated Macs for these tests, in namespaces of their own: a lab that is up is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.paths import REPOSITORY

Ran = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class World:
    """A machine of its own, as far as networks, mounts and /run go, with a lab in `folder`."""

    pid: int
    folder: Path

    def run(self, *command: str, stdin: str | None = None) -> Ran:
        """Run a command there."""
        enter = ["nsenter", "-t", str(self.pid), "--net", "--mount", f"--wdns={REPOSITORY}"]
        environment = {**os.environ, "RAYLAB_LAB": str(self.folder)}
        return subprocess.run(
            [*enter, *command],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def lab(self, *arguments: str, stdin: str | None = None) -> Ran:
        """Run `lab` there."""
        return self.run(sys.executable, "-m", "lab.cli", *arguments, stdin=stdin)

    def mac(self, name: str, script: str) -> Ran:
        """Run a shell script on a Mac, as admin."""
        return self.lab("ssh", name, "sh", "-s", stdin=script)

    def ok(self, *arguments: str) -> str:
        """Run `lab`, which must succeed; its output."""
        ran = self.lab(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """An empty lab; everything in it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="raylab-test-"))
    script = "mount -t tmpfs none /run && ip link set lo up && echo ready && exec sleep infinity"
    command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        made = World(holder.pid, folder)
        try:
            yield made
        finally:
            made.lab("down")
            holder.kill()
    shutil.rmtree(folder)


@pytest.fixture
def macs(world: World) -> World:
    """Two Macs that are on: m4 (16 GB mini, Thunderbolt 4) and m5 (512 GB Studio, Thunderbolt 5)."""
    world.ok("up", "m4", "m5")
    return world
