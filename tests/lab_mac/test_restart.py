"""A Mac that is told to restart by a deploy, which goes on when it is back: real pyinfra, real SSH."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Ran, World

DEPLOY = """
from pyinfra.operations import files, server

from macos.operations import boot

boot.restarted(patience=60, name="Restart")
files.file(name="After", path="/Users/admin/after", touch=True)
server.shell(name="Session", commands=["sysctl -n kern.bootsessionuuid > /Users/admin/session"])
"""
SESSION = "sysctl -n kern.bootsessionuuid"


@pytest.fixture
def project(macs: World, tmp_path: Path) -> Path:
    """A folder to run pyinfra in, with an inventory that is m5 alone."""
    data = {
        "node_ip": "10.77.0.15",
        "ssh_user": "admin",
        "ssh_key": str(macs.folder / "keys/id_ed25519"),
        "ssh_known_hosts_file": str(macs.folder / "known_hosts"),
    }
    (tmp_path / "inventory.py").write_text(f"macs = [('@mac/m5', {data!r})]\n")
    (tmp_path / "config.py").write_text(
        "from pyinfra import config\n\nconfig.SUDO = True\nconfig.CONNECT_TIMEOUT = 2\n"
    )
    (tmp_path / "deploy.py").write_text(DEPLOY)
    return tmp_path


def pyinfra(macs: World, project: Path, *options: str) -> Ran:
    """Run the deploy."""
    program = str(Path(sys.executable).parent / "pyinfra")
    return macs.run("env", "-C", str(project), program, "-y", *options, "inventory.py", "deploy.py")


def test_a_deploy_goes_on_when_the_mac_is_back(macs: World, project: Path) -> None:
    macs.mac("m5", "sudo sysctl iogpu.wired_limit_mb=9000; rm -f after session; echo > /dev/shm/gone")
    before = macs.mac("m5", SESSION).stdout
    ran = pyinfra(macs, project)
    assert ran.returncode == 0, ran.stderr
    assert "it has restarted" in ran.stderr
    after = macs.mac("m5", SESSION).stdout
    assert after != before
    # What follows ran on the new start, over the connection that found it.
    assert macs.mac("m5", "ls after; cat session; ls /dev/shm; sysctl -n iogpu.wired_limit_mb").stdout == (
        f"after\n{after}0\n"
    )
    # A Mac that restarts without being asked starts another session too.
    macs.ok("power-off", "m5")
    macs.ok("power-on", "m5")
    assert macs.mac("m5", SESSION).stdout not in (before, after)


def test_a_mac_that_does_not_come_back_stops_the_run_and_is_named(macs: World, project: Path) -> None:
    macs.mac("m5", "rm -f after")
    (project / "deploy.py").write_text(DEPLOY.replace("patience=60", "patience=8"))
    # It halts instead: whatever it is told, a Mac may stay dark.
    macs.mac("m5", "sudo mv /sbin/shutdown /sbin/shutdown.kept")
    macs.mac("m5", "printf '#!/bin/sh\\nexec /sbin/halt\\n' | sudo tee /sbin/shutdown; sudo chmod 755 /sbin/shutdown")
    ran = pyinfra(macs, project)
    assert ran.returncode == 1
    assert "not back after 8 s: 10.77.0.15 does not answer on port 22" in ran.stderr
    macs.ok("power-on", "m5")
    macs.mac("m5", "sudo mv /sbin/shutdown.kept /sbin/shutdown")
    assert "No such file" in macs.mac("m5", "ls after").stderr


def test_a_mac_that_cannot_tell_its_starts_apart_is_not_restarted(macs: World, project: Path) -> None:
    macs.mac("m5", "sudo mv /usr/sbin/sysctl /usr/sbin/sysctl.kept; echo > /dev/shm/stays")
    ran = pyinfra(macs, project)
    macs.mac("m5", "sudo mv /usr/sbin/sysctl.kept /usr/sbin/sysctl")
    assert ran.returncode == 1
    assert macs.mac("m5", "ls /dev/shm").stdout == "stays\n"
