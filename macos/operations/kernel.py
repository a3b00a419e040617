"""Settings of the kernel, which it forgets when the Mac restarts."""

from __future__ import annotations

import re

from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from fleet.before import KERNEL, Record
from macos.facts import LaunchdJob
from macos.facts.before import Before
from macos.facts.kernel import KernelSetting
from macos.operations.before import changing
from macos.quiet import Commands, mac_operation


def _check(setting: str) -> None:
    if not re.fullmatch(r"[a-z_][a-z0-9_.]*", setting):
        raise OperationValueError(f"{setting!r} is not a setting of the kernel")


@mac_operation("kernel.setting")
def setting(setting: str, value: int) -> Commands:
    """The setting has this value, until the next restart. Fails its Mac when this macOS does not have the setting.

    What it was before is recorded first.
    """
    _check(setting)
    now = host.get_fact(KernelSetting, setting=setting)
    if now == str(value):
        host.noop(f"{setting} is {value}")
        return
    command = ["sysctl", f"{setting}={value}"]
    yield changing([["kept", f"{KERNEL}{setting}", now, str(value)], command], command)


@mac_operation("kernel.given_up")
def given_up(setting: str, label: str) -> Commands:
    """The setting is what it was before, once the job `label` that set it at every start is about to go.

    Without a record of that it is 0, macOS's own choice; without the job as well, it is not ours, and stays. The
    record stays too, until the job is gone: see before.forgotten.
    """
    _check(setting)
    record = host.get_fact(Before).get(f"{KERNEL}{setting}")
    job = host.get_fact(LaunchdJob, label=label)
    now = host.get_fact(KernelSetting, setting=setting)
    ours = not record.changed_since(now) if record else bool(job.loaded or job.plist)
    was = (record or Record("0", "")).was
    if not ours or now in ("", was):
        host.noop(f"{setting} is left alone")
        return
    yield changing([["sysctl", f"{setting}={was}"]], ["sysctl", f"{setting}={was}"])
