"""Changes of a Mac's network settings that undo themselves when they lock everybody out."""

from __future__ import annotations

import plistlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent
from pyinfra import logger
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.context import host as this_host
from pyinfra.context import state

from fleet.layout import UNDO, UNDO_LABEL, log_path, plist_path
from macos.connector import new_connection
from macos.quiet import Commands
from macos.shell import script_command, script_program

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# Seconds after a step of a change until it is undone.
GRACE_S = 60
_POLL_S = 1
_ANSWER_S = 20
Calls = Sequence[Sequence[str]]
Variables = Mapping[str, str | int]


@dataclass(frozen=True)
class Step:
    """One part of a change, at most half of GRACE_S long, and what undoes it, also when it is only half done."""

    calls: Calls
    undo: Calls


def undoing(scripts: Sequence[str], steps: Sequence[Step], subjects: Sequence[str], variables: Variables) -> Commands:
    """Make the steps. Unless a new connection then reaches the Mac within GRACE_S, it undoes them by itself."""
    if state.is_executing:
        this_host.log(f"should the change cut this Mac off, it undoes it within {GRACE_S} s", logger.info)
    back = [call for step in reversed(steps) for call in step.undo]
    program = script_program([*scripts, "undo"], "watched", back, {**variables, **_variables()})
    calls: list[Sequence[str]] = [["armed", program, plistlib.dumps(_JOB).decode()]]
    for step in steps:
        calls += [["extended"], *step.calls]
    command = script_command([*scripts, "undo"], [*calls, ["extended"]], subjects, {**variables, **_variables()})
    # A connection that is cut off says nothing.
    command.connector_arguments["_timeout"] = GRACE_S * (len(steps) + 1)
    yield command
    yield from confirmed()


def confirmed() -> Commands:
    """A change that waits to be confirmed stays, if a new connection reaches the Mac; otherwise that fails the Mac."""
    yield FunctionCommand(_confirm, [], {})


_JOB = {
    "Label": UNDO_LABEL,
    "ProgramArguments": ["/bin/sh", f"{UNDO}/program"],
    "RunAtLoad": True,
    "StandardOutPath": log_path(UNDO_LABEL),
    "StandardErrorPath": log_path(UNDO_LABEL),
}


def _variables() -> dict[str, str | int]:
    return {"undo": UNDO, "label": UNDO_LABEL, "plist": plist_path(UNDO_LABEL), "grace": GRACE_S}


def confirmation() -> StringCommand:
    """The command that keeps a change."""
    return script_command(["files", "undo"], [["confirmed"]], [], _variables())


def _confirm(state: State, host: Host) -> bool:
    """Log in anew, and say that the change stays."""
    command = confirmation()
    deadline = time.monotonic() + GRACE_S
    while True:
        try:
            with new_connection(state, host) as connector:
                done, output = connector.run_shell_command(
                    command,
                    print_output=state.print_output,
                    print_input=state.print_input,
                    _sudo=state.config.SUDO,
                    _stdin=command.connector_arguments["_stdin"],
                    _timeout=_ANSWER_S,
                )
            for line in output.stderr_lines:
                host.log_styled(line, fg="red", log_func=logger.error)
            return done
        except (ConnectError, OSError) as error:
            if time.monotonic() > deadline:
                host.log_styled(
                    f"after the change of its network settings this Mac lets nobody in ({error}); it undoes the change "
                    f"by itself: run this again in a minute, and see {log_path(UNDO_LABEL)} there",
                    fg="red",
                    log_func=logger.error,
                )
                return False
        gevent.sleep(_POLL_S)
