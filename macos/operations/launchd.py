"""Launchd jobs of the system domain."""

from __future__ import annotations

import hashlib
import plistlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.diff import show_change
from macos.facts import JobState, LaunchdJob
from macos.facts.launchd import plist_path
from macos.facts.traces import Traces
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

DIGEST = "RAYLAB_DIGEST"
"""The environment variable that says what a job was started with; `launchctl print` shows it."""

_DEFAULT_THROTTLE = 10
_DEFAULT_EXIT_TIMEOUT = 20
_PATIENCE = 60


def job_plist(label: str, plist: Mapping[str, Any], depends: Sequence[str] = ()) -> dict[str, Any]:
    """`plist` with its Label and with the digest over itself and `depends`. Raises OperationValueError."""
    if plist.get("Label", label) != label:
        raise OperationValueError(f"{label}: the plist says Label {plist['Label']}")
    arguments = plist.get("ProgramArguments")
    if not arguments or not str(arguments[0]).startswith("/"):
        raise OperationValueError(f"{label}: ProgramArguments must start with an absolute path")
    environment = plist.get("EnvironmentVariables", {})
    for key, value in environment.items():
        if not isinstance(value, str):
            raise OperationValueError(f"{label}: launchd ignores {key}, as it is no string")
    complete = {**plist, "Label": label}
    # Hashes of parts of equal length: no two different lists of parts read the same.
    parts = [plistlib.dumps(complete, sort_keys=True), *(text.encode() for text in depends)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    return {**complete, "EnvironmentVariables": {**environment, DIGEST: digest}}


def _command(
    label: str,
    calls: Sequence[Sequence[str]],
    logs: Sequence[str],
    exit_timeout: int | None,
    settle: int,
    patience: int,
) -> StringCommand:
    variables: dict[str, str | int] = {
        "label": label,
        "plist": plist_path(label),
        "drain": (_DEFAULT_EXIT_TIMEOUT if exit_timeout is None else exit_timeout) + 10,
        "settle": settle,
        "patience": patience,
        "logs": "\n".join(logs),
    }
    verbs = [call[0] for call in calls]
    return script_command(["files", "launchd"], calls, [label, *verbs], variables)


def _state(label: str) -> JobState:
    return host.get_fact(LaunchdJob, label=label)


def _settle(throttle: int | None, settle: int | None) -> int:
    """A pid that is the same beyond the throttle interval was not restarted by launchd."""
    if settle is not None:
        return settle
    return (_DEFAULT_THROTTLE if throttle is None else throttle) + 1


def _job_calls(label: str, content: str, digest: str, keep_alive: bool, found: JobState) -> list[list[str]]:
    """What makes the job as found the job that is wanted; nothing if it is."""
    path = plist_path(label)
    file = found.plist
    same_bytes = file is not None and file.sha256 == hashlib.sha256(content.encode()).hexdigest()
    same_owner = file is not None and (file.owner, file.group, file.mode) == ("root", "wheel", 0o644)
    # A launchd that prints no environment leaves the plist's bytes as the only witness.
    same_digest = not found.environment or found.environment.get(DIGEST) == digest
    same_job = found.loaded and found.path == path and same_digest and same_bytes
    well = found.pid is not None or (not keep_alive and found.last_exit in ("0", "(never exited)"))
    if same_job and same_owner and well and not found.disabled:
        return []

    calls: list[list[str]] = []
    if not (same_bytes and same_owner):
        calls.append(["file", path, "root", "wheel", "0644", content])
    calls.append(["enable"])
    if not found.loaded:
        calls.append(["load"])
    elif not same_job or (not keep_alive and not well):
        # The second: what launchd says of the last run is only of this run after a fresh load.
        calls += [["unload"], ["load"]]
    return [*calls, ["stays_up" if keep_alive else "finishes"]]


@mac_operation("launchd.job")
def job(
    label: str,
    plist: Mapping[str, Any],
    depends: Sequence[str] = (),
    settle: int | None = None,
    patience: int = _PATIENCE,
) -> Commands:
    """The job is installed, loaded as this plist says, and well.

    `depends`: contents of what the job reads when it starts; when they change, it restarts, also when an
    earlier run was interrupted in between. Only a digest of them ever leaves this machine.
    A job with KeepAlive is well when its pid stays the same for `settle` seconds (ThrottleInterval + 1 unless
    given), reached within `patience` more; one without, when it ended with 0 or still runs after `patience`.
    A job that is not well fails its Mac, with the last lines of its log.
    """
    wanted = job_plist(label, plist, depends)
    content = plistlib.dumps(wanted, sort_keys=True).decode()
    found = _state(label)
    keep_alive = bool(plist.get("KeepAlive"))
    calls = _job_calls(label, content, wanted["EnvironmentVariables"][DIGEST], keep_alive, found)
    if not calls:
        host.noop(f"{label} is as it should be")
        return
    if calls[0][0] == "file":
        show_change(plist_path(label), content, exists=found.plist is not None)
    # The job that is loaded is the one to wait for, and it may have been given longer.
    exit_timeout = max(found.exit_timeout or 0, int(plist.get("ExitTimeOut", _DEFAULT_EXIT_TIMEOUT)))
    logs = dict.fromkeys(str(plist[key]) for key in ("StandardErrorPath", "StandardOutPath") if key in plist)
    yield _command(label, calls, list(logs), exit_timeout, _settle(plist.get("ThrottleInterval"), settle), patience)


@mac_operation("launchd.absent")
def absent(label: str) -> Commands:
    """The job is not loaded, has no plist, and is not disabled: that would outlive it."""
    found = _state(label)
    calls: list[list[str]] = []
    if found.loaded:
        calls.append(["unload"])
    if found.plist:
        calls.append(["remove"])
    if found.disabled:
        calls.append(["enable"])
    if not calls:
        host.noop(f"{label} is not there")
        return
    yield _command(label, calls, found.logs, found.exit_timeout, 0, 0)


@mac_operation("launchd.all_absent")
def all_absent(first: Sequence[str], besides: Collection[str] = ()) -> Commands:
    """No job of raylab is there, whatever this version of it knows; those of `first` go first. `besides` may stay."""
    found = [label for label in host.get_fact(Traces).jobs if label not in besides]
    if not found:
        host.noop("no job is there")
        return
    for label in [*(label for label in first if label in found), *(label for label in found if label not in first)]:
        yield from absent._inner(label)  # type: ignore[attr-defined]  # pyinfra's way to nest operations


@mac_operation("launchd.stop")
def stop(label: str) -> Commands:
    """The job is installed but does not run, also not after a reboot, until `start` or `job`."""
    found = _state(label)
    if not (found.loaded or found.plist):
        host.noop(f"{label} is not there")
        return
    calls: list[list[str]] = []
    if not found.disabled:
        # First: if the power goes now, it is stopped all the same.
        calls.append(["disable"])
    if found.loaded:
        calls.append(["unload"])
    if not calls:
        host.noop(f"{label} is stopped")
        return
    yield _command(label, calls, found.logs, found.exit_timeout, 0, 0)


@mac_operation("launchd.start")
def start(label: str, settle: int | None = None, patience: int = _PATIENCE) -> Commands:
    """An installed job with KeepAlive runs, now and after a reboot. Fails its Mac if it is not installed."""
    found = _state(label)
    if found.pid and not found.disabled:
        host.noop(f"{label} runs")
        return
    calls = [["start"], ["stays_up"]]
    yield _command(label, calls, found.logs, found.exit_timeout, _settle(found.throttle, settle), patience)


@mac_operation("launchd.restart", is_idempotent=False)
def restart(label: str, settle: int | None = None, patience: int = _PATIENCE) -> Commands:
    """A loaded job with KeepAlive is started anew from what launchd has loaded, and well. Always acts."""
    found = _state(label)
    calls = [["restart"], ["stays_up"]]
    yield _command(label, calls, found.logs, found.exit_timeout, _settle(found.throttle, settle), patience)


@mac_operation("launchd.reload", is_idempotent=False)
def reload(label: str, settle: int | None = None, patience: int = _PATIENCE) -> Commands:
    """A job with KeepAlive is loaded anew from the plist that is on the disk, and well. Always acts."""
    found = _state(label)
    calls = [["enable"], *([["unload"]] if found.loaded else []), ["load"], ["stays_up"]]
    yield _command(label, calls, found.logs, found.exit_timeout, _settle(found.throttle, settle), patience)
