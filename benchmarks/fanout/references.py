"""What one would use instead: scp, one Mac after another, and pyinfra's files.put; and the network itself."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fanout import macs
from lab import network
from lab.paths import key_file, known_hosts

TARGET = "/Users/admin/benchmark.bin"
PYINFRA = macs.WORK / "pyinfra"
SECONDS = 5


def scp(file: Path, names: Sequence[str]) -> float:
    """Seconds for all, one after another."""
    began = time.monotonic()
    for name in names:
        macs.run("scp", *macs.scp_options(name), str(file), f"{macs.admin(name)}:{TARGET}")
    return time.monotonic() - began


def pyinfra(file: Path, names: Sequence[str]) -> float:
    """Seconds of `pyinfra -y` with that single operation: its own SSH, all Macs at once."""
    PYINFRA.mkdir(exist_ok=True)
    access = {
        "ssh_user": "admin",
        "ssh_key": str(key_file()),
        "ssh_known_hosts_file": str(known_hosts()),
        "ssh_strict_host_key_checking": "yes",
    }
    hosts = [(macs.address(name), access) for name in names]
    (PYINFRA / "inventory.py").write_text(f"macs = {hosts!r}\n")
    (PYINFRA / "deploy.py").write_text(
        f"from pyinfra.operations import files\n\nfiles.put(src={str(file)!r}, dest={TARGET!r})\n"
    )
    began = time.monotonic()
    macs.run(str(macs.BIN / "pyinfra"), "-y", "inventory.py", "deploy.py", folder=PYINFRA)
    return time.monotonic() - began


def iperf3(name: str) -> float:
    """Bytes per second of one TCP stream from this machine into a Mac's namespace."""
    there = ["ip", "netns", "exec", network.namespace(name)]
    server = subprocess.Popen([*there, "iperf3", "-s", "-1", "--forceflush"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        while "listening" not in server.stdout.readline():
            if server.poll() is not None:
                raise SystemExit("iperf3 does not listen")
        shown = json.loads(macs.run("iperf3", "-c", macs.address(name), "-t", str(SECONDS), "-J"))
    finally:
        server.kill()
        server.wait()
    return float(shown["end"]["sum_received"]["bits_per_second"]) / 8
