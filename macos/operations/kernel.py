"""Settings of the kernel, which it forgets when the Mac restarts."""

from __future__ import annotations

import re

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.facts import LaunchdJob
from macos.facts.kernel import KernelSetting
from macos.quiet import Commands, mac_operation


def _check(setting: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_.]*", setting):
        raise OperationValueError(f"{setting!r} is not a setting of the kernel")


@mac_operation("kernel.setting")
def setting(setting: str, value: int) -> Commands:
    """The setting has this value, until the next restart. Fails its Mac when this macOS does not have the setting."""
    _check(setting)
    if host.get_fact(KernelSetting, setting=setting) == str(value):
        host.noop(f"{setting} is {value}")
        return
    yield StringCommand("sysctl", f"{setting}={value}")


@mac_operation("kernel.given_up")
def given_up(setting: str, label: str) -> Commands:
    """The setting is 0, macOS's own choice, once the job `label` that set it at every start is about to go.

    Without that job it is not ours: whatever it is, it stays.
    """
    _check(setting)
    job = host.get_fact(LaunchdJob, label=label)
    if not (job.loaded or job.plist) or host.get_fact(KernelSetting, setting=setting) in ("", "0"):
        host.noop(f"{setting} is left alone")
        return
    yield StringCommand("sysctl", f"{setting}=0")
