"""Where the lab keeps things on this machine, and where they are inside a simulated Mac."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

INSIDE = "/usr/local/libexec/simulated-mac"
"""Everything of ours inside a Mac."""
PYTHON = f"{INSIDE}/python"
"""The interpreter of the stand-ins."""
PYTHON_HOME = f"{INSIDE}/python-home"
"""Where that interpreter's folder is shown, when it is not in /usr itself."""
LIBRARY = f"{INSIDE}/lib"
"""Its modules."""
REAL = f"{INSIDE}/real"
"""Linux programs that stand-ins call, kept out of PATH."""
STATE = "/var/db/simulated-mac"
"""What the stand-ins remember over a reboot."""

CLOCK = "/run/simulated-mac-clock"
"""By how many seconds its clock differs from this machine's, eight bytes; only on a Mac with a clock of its own."""
CLOCK_LIBRARY = f"{CLOCK}.so"
"""What its programs ask for the time."""


def lab_dir() -> Path:
    """The folder of everything that the lab makes: RAYLAB_LAB, or `.lab` in the repository."""
    return Path(os.environ.get("RAYLAB_LAB") or REPOSITORY / ".lab").resolve()


def key_file() -> Path:
    """The SSH key that opens every simulated Mac for its user admin."""
    return lab_dir() / "keys" / "id_ed25519"


def known_hosts() -> Path:
    """The host keys of the Macs that exist now."""
    return lab_dir() / "known_hosts"


@dataclass(frozen=True)
class MacPaths:
    """The files of one Mac on this machine."""

    name: str

    @property
    def home(self) -> Path:
        """All of it."""
        return lab_dir() / "macs" / self.name

    @property
    def upper(self) -> Path:
        """Its disk: what differs from the layers below."""
        return self.home / "upper"

    @property
    def work(self) -> Path:
        """Overlayfs's own folder."""
        return self.home / "work"

    @property
    def root(self) -> Path:
        """Where its disk is mounted, in its own mount namespace only."""
        return self.home / "root"

    @property
    def power_pid(self) -> Path:
        """Pid of its power supply, the process on this machine that boots it; locked while that lives."""
        return self.home / "power.pid"

    @property
    def init_pid(self) -> Path:
        """Pid, on this machine, of its PID 1."""
        return self.home / "init.pid"

    @property
    def console(self) -> Path:
        """What PID 1 and the power supply say."""
        return self.home / "console.log"

    @property
    def bare(self) -> Path:
        """There when the Mac is without the layer that the others share, as it came out of its box."""
        return self.home / "bare"

    @property
    def link(self) -> Path:
        """Its cable: cut or not, and the rate it is shaped to."""
        return self.home / "link.json"

    @property
    def clock(self) -> Path:
        """Its clock, when that is not this machine's."""
        return self.home / "clock"

    @property
    def host_key(self) -> Path:
        """Its SSH host key."""
        return self.home / "ssh_host_ed25519_key"
