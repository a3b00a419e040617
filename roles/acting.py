"""What an operation does by itself on a Mac while the run goes on: commands, and waits that tell what they wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import state

if TYPE_CHECKING:
    from pyinfra.api.arguments import ConnectorArguments
    from pyinfra.api.host import Host

POLL_S, SAY_EVERY_S = 2, 15
# What comes of a Mac that cannot be asked now: its connection is gone, or this run holds it no more.
UNREACHED = (PyinfraError, SSHException, OSError, EOFError)
SUDO: ConnectorArguments = {"_sudo": True}


def run(host: Host, command: PyinfraCommand) -> bool:
    """Whether it ended well; else what it said is shown."""
    done = command.execute(state, host, SUDO)
    status, output = done if isinstance(done, tuple) else (done, None)
    if not status and output is not None:
        for line in output.stderr_lines or output.stdout_lines:
            fail(host, line)
    return bool(status)


def tell(host: Host, line: str) -> None:
    """A line about this Mac, as progress."""
    host.log(line, logger.info)


def fail(host: Host, line: str) -> bool:
    """A line about what went wrong on this Mac. False, for those who end with it."""
    host.log_styled(line, fg="red", log_func=logger.error)
    return False


def until(
    host: Host,
    objection: Callable[[], str],
    patience: float,
    what: str,
    hopeless: Callable[[str], bool] = lambda _: False,
) -> bool:
    """Poll until nothing is objected any more, telling what is; False when that takes too long."""
    started = said = time.monotonic()
    while found := _objected(objection):
        waited = time.monotonic() - started
        if waited > patience or hopeless(found):
            return fail(host, f"{what}: not done after {waited:.0f} s: {found}")
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            tell(host, f"{what}, {waited:.0f} s: {found}")
        gevent.sleep(POLL_S)
    return True


def _objected(objection: Callable[[], str]) -> str:
    """What is objected; also when a Mac cannot be asked for it now."""
    try:
        return objection()
    except UNREACHED as error:
        return f"a Mac does not answer: {error}"
