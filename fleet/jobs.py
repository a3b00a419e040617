"""The launchd jobs of a Mac, each as the content of its plist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleet import layout
from fleet.firewall import ANCHOR
from fleet.gateway import GRACE_S, program
from fleet.ray import (
    base_environment,
    client_environment,
    dashboard_url,
    next_arguments,
    ray_arguments,
    ray_environment,
)
from fleet.release import Release
from fleet.settings import Fleet, Mac

# launchd's own figure, written down because a job's health is judged by it: seconds between two starts.
THROTTLE_S = 10
# Engines hold one file per shard and sockets by the hundred; macOS gives a job 256.
OPEN_FILES = 65536
# The memory that the GPU may wire, in MB; 0 leaves it to macOS.
WIRED_LIMIT = "iogpu.wired_limit_mb"
# The program that loads the firewall's rules, with its arguments.
FIREWALL = (f"{layout.LIBEXEC}/raylab-firewall", ANCHOR, layout.FIREWALL_RULES, layout.FIREWALL_TOKEN)


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
    store = _store(layout.STORE_LABEL, release, layout.LIBEXEC, layout.STORE_CONFIG)
    arguments, environment = ray_arguments(fleet, mac, memory), ray_environment(fleet, mac, release)
    ray = _ray(layout.RAY_LABEL, layout.LIBEXEC, arguments, environment)
    serve = _serve(layout.SERVE_LABEL, fleet, release, layout.LIBEXEC, layout.SERVE_CONFIG)
    gateway = gateway_job(release)
    return [store, ray, serve, gateway] if mac.is_head else [ray, gateway]


def next_jobs(fleet: Fleet, release: Release) -> list[Job]:
    """The head of a cluster that is coming, in starting order: beside the jobs of that Mac, which serves elsewhere."""
    environment = ray_environment(fleet, fleet.head, release)
    return [
        _store(layout.NEXT_STORE_LABEL, release, layout.NEXT_LIBEXEC, layout.NEXT_STORE_CONFIG),
        _ray(layout.NEXT_RAY_LABEL, layout.NEXT_LIBEXEC, next_arguments(fleet), environment),
        _serve(layout.NEXT_SERVE_LABEL, fleet, release, layout.NEXT_LIBEXEC, layout.NEXT_SERVE_CONFIG),
    ]


def _store(label: str, release: Release, libexec: str, config: str) -> Job:
    return _job(label, [f"{libexec}/raylab-store", config], base_environment(release), exit_timeout=30)


def _ray(label: str, libexec: str, arguments: list[str], environment: dict[str, str]) -> Job:
    # Ray drains for up to 30 s, and an engine needs its time to give the memory back.
    return _job(label, [f"{libexec}/raylab-ray", *arguments], environment, exit_timeout=120)


def _serve(label: str, fleet: Fleet, release: Release, libexec: str, config: str) -> Job:
    environment = {**base_environment(release), **client_environment()}
    return _job(label, [f"{libexec}/raylab-serve", config, dashboard_url(fleet)], environment, exit_timeout=30)


def gateway_job(release: Release) -> Job:
    """The door. Nothing of it names the release, so that only another Caddy restarts it."""
    return _job(
        layout.GATEWAY_LABEL,
        [program(release), "run", "--config", layout.GATEWAY_CONFIG, "--adapter", "caddyfile"],
        {"HOME": layout.HOME, "LANG": "en_US.UTF-8"},
        # Streams may finish; a little more, so that Caddy ends by itself.
        exit_timeout=GRACE_S + 30,
    )


def limits_job(wired_limit_mb: int) -> Job:
    """What sets the limit of GPU memory at every start."""
    return _at_start(layout.LIMITS_LABEL, [f"{layout.LIBEXEC}/raylab-limits", f"{WIRED_LIMIT}={wired_limit_mb}"])


def firewall_job() -> Job:
    """What loads the firewall's rules at every start."""
    return _at_start(layout.FIREWALL_LABEL, list(FIREWALL))


def _at_start(label: str, arguments: list[str]) -> Job:
    """A job that needs root, ends at once, and belongs to no release."""
    log = layout.log_path(label)
    return Job(
        label,
        {
            "Label": label,
            "ProgramArguments": arguments,
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
