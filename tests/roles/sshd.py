"""A real sshd on loopback, for what travels over SSH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port


@dataclass(frozen=True)
class Server:
    port: int
    key: Path
    host_key: Path


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@contextmanager
def running(folder: Path, programs: Path | None = None) -> Iterator[Server]:
    """Lets in whoever has the key. `programs` is a folder whose programs come before all others."""
    key, host_key = make_key(folder / "user"), make_key(folder / "host")
    shutil.copy(f"{key}.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    config = folder / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if programs:
        with config.open("a") as file:
            file.write(f"SetEnv PATH={programs}:/usr/bin:/bin\n")
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield Server(port, key, host_key)
    finally:
        sshd.terminate()
        sshd.wait()
