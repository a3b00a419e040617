"""Programs of this Debian machine as conda packages: the state store and the one command that vLLM calls."""

import re
import shutil
import subprocess
from pathlib import Path

from lab.artifacts.archive import CondaPackage, Content


class MissingProgramError(Exception):
    """This machine lacks a program that the lab packs."""


def valkey_package() -> CondaPackage:
    """Debian 12 has no valkey; its Redis 7.0 is what valkey was forked from, protocol and options alike."""
    server = _program("redis-server", "redis-server")
    version = _version([str(server), "--version"], r"v=([\d.]+)")
    files = {
        "bin/valkey-server": Content(server.read_bytes(), executable=True),
        "bin/valkey-cli": Content(_program("redis-cli", "redis-tools").read_bytes(), executable=True),
    }
    return CondaPackage("valkey", version, "redis_0", files, license="BSD-3-Clause")


def util_linux_package() -> CondaPackage:
    """vLLM's CPU platform runs lscpu, which no Mac has; with vllm-metal nothing does."""
    lscpu = _program("lscpu", "util-linux")
    version = _version([str(lscpu), "--version"], r"util-linux ([\d.]+)")
    files = {"bin/lscpu": Content(lscpu.read_bytes(), executable=True)}
    return CondaPackage("util-linux", version, "lab_0", files, license="GPL-2.0-or-later")


def _program(name: str, debian_package: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise MissingProgramError(f"no {name} on this machine: apt-get install {debian_package}")
    return Path(found)


def _version(command: list[str], pattern: str) -> str:
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(pattern, printed)
    if not match:
        raise MissingProgramError(f"{command[0]} printed no version: {printed.strip()!r}")
    return match[1]
