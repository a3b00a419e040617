"""Where launchd finds and keeps things. Every place can be moved by an environment variable, for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SOCKET = "/var/run/launchd.sock"


def socket_path() -> str:
    """The control socket: LAUNCHD_SOCKET, or the one of a Mac."""
    return os.environ.get("LAUNCHD_SOCKET", SOCKET)


@dataclass(frozen=True)
class Config:
    """Places and times of one launchd.

    `daemons`: folders whose plists are loaded at boot, in this order (LAUNCHD_DAEMONS, colon-separated).
    `state`: folder of disabled.json and faults.json, which outlive a reboot (LAUNCHD_STATE).
    `log`: launchd's own log (LAUNCHD_LOG).
    `patience`: seconds that bootout waits for the process before it answers 36.
    `settle`: seconds after a stopped job's last process during which its label cannot be bootstrapped.
    """

    daemons: tuple[Path, ...]
    socket: Path
    state: Path
    log: Path
    patience: float = 1.0
    settle: float = 0.5

    @classmethod
    def from_environment(cls) -> Config:
        """The places of a Mac, moved where the environment says so."""
        get = os.environ.get
        daemons = get("LAUNCHD_DAEMONS", "/System/Library/LaunchDaemons:/Library/LaunchDaemons")
        return cls(
            daemons=tuple(Path(folder) for folder in daemons.split(":")),
            socket=Path(socket_path()),
            state=Path(get("LAUNCHD_STATE", "/var/db/simulated-mac")),
            log=Path(get("LAUNCHD_LOG", "/var/log/com.apple.xpc.launchd/launchd.log")),
        )
