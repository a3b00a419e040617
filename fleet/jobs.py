"""The launchd jobs of a Mac, each as the content of its plist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleet import layout
from fleet.ray import base_environment, client_environment, dashboard_url, ray_arguments, ray_environment
from fleet.release import Release
from fleet.settings import Fleet, Mac

# launchd's own figure, written down because a job's health is judged by it: seconds between two starts.
THROTTLE_S = 10
# Engines hold one file per shard and sockets by the hundred; macOS gives a job 256.
OPEN_FILES = 65536
# The memory that the GPU may wire, in MB; 0 leaves it to macOS.
WIRED_LIMIT = "iogpu.wired_limit_mb"


@dataclass(frozen=True)
class Job:
    """One LaunchDaemon."""

    label: str
    plist: dict[str, Any]
    """For plistlib. It names its release by full path, so a running job never changes under its feet."""

    @property
    def path(self) -> str:
        """Where the plist is on a Mac."""
        return layout.plist_path(self.label)


def job(fleet: Fleet, mac: Mac, release: Release, label: str, memory: int | None = None) -> Job:
    """One job of a Mac. Raises KeyError for a label that this Mac does not have."""
    return {each.label: each for each in jobs(fleet, mac, release, memory)}[label]


def jobs(fleet: Fleet, mac: Mac, release: Release, memory: int | None = None) -> list[Job]:
    """The jobs of one Mac, in starting order. `memory` is the Mac's, in bytes, for ray_arguments."""
    store = _job(
        layout.STORE_LABEL,
        [f"{layout.LIBEXEC}/raylab-store", layout.STORE_CONFIG],
        base_environment(release),
        exit_timeout=30,
    )
    ray = _job(
        layout.RAY_LABEL,
        [f"{layout.LIBEXEC}/raylab-ray", *ray_arguments(fleet, mac, memory)],
        ray_environment(fleet, mac, release),
        # Ray drains for up to 30 s, and an engine needs its time to give the memory back.
        exit_timeout=120,
    )
    serve = _job(
        layout.SERVE_LABEL,
        [f"{layout.LIBEXEC}/raylab-serve", layout.SERVE_CONFIG, dashboard_url(fleet)],
        {**base_environment(release), **client_environment()},
        exit_timeout=30,
    )
    return [store, ray, serve] if mac.is_head else [ray]


def limits_job(wired_limit_mb: int) -> Job:
    """What sets the limit of GPU memory at every start. It needs root, ends at once, and belongs to no release."""
    log = layout.log_path(layout.LIMITS_LABEL)
    return Job(
        layout.LIMITS_LABEL,
        {
            "Label": layout.LIMITS_LABEL,
            "ProgramArguments": [f"{layout.LIBEXEC}/raylab-limits", f"{WIRED_LIMIT}={wired_limit_mb}"],
            "RunAtLoad": True,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        },
    )


def _job(label: str, arguments: list[str], environment: dict[str, str], exit_timeout: int) -> Job:
    return Job(
        label,
        {
            "Label": label,
            "ProgramArguments": arguments,
            "UserName": layout.ACCOUNT,
            "GroupName": layout.ACCOUNT,
            "WorkingDirectory": layout.HOME,
            "EnvironmentVariables": environment,
            "StandardOutPath": layout.log_path(label),
            "StandardErrorPath": layout.log_path(label),
            "KeepAlive": True,
            "ThrottleInterval": THROTTLE_S,
            "ExitTimeOut": exit_timeout,
            # Standard jobs are slowed down in favour of somebody's windows.
            "ProcessType": "Interactive",
            "SoftResourceLimits": {"NumberOfFiles": OPEN_FILES},
            "HardResourceLimits": {"NumberOfFiles": OPEN_FILES},
        },
    )
