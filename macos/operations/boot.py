"""A restart of the Mac, and waiting for it to be back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.util import clear_askpass_cache
from pyinfra.context import host

from macos.facts import Boot
from macos.quiet import Commands, mac_operation

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# A Mac first stops its jobs, for minutes if they take their time; macOS may have an update to finish.
RESTART_S = 900
POLL_S = 2
# A Mac that goes away in the middle of an answer says nothing more.
ANSWER_S = 15
# Only after the session that asks for it has ended: pyinfra waits for that. A Mac that cannot tell its starts apart
# is not restarted, as nobody could see when it is back.
_RESTART = (
    'test -n "$(sysctl -n kern.bootsessionuuid)" && '
    "{ ( sleep 1; exec /sbin/shutdown -r now ) </dev/null >/dev/null 2>&1 & }"
)


@mac_operation("boot.restarted", is_idempotent=False)
def restarted(patience: int = RESTART_S) -> Commands:
    """The Mac restarts as by its Apple menu, its jobs stopped first, and answers SSH again. Always acts.

    Fails its Mac, saying how far it got, when that takes longer than `patience` seconds.
    """
    before = host.get_fact(Boot).session
    yield StringCommand(_RESTART)
    yield FunctionCommand(_is_back, [before, patience], {})


def _is_back(state: State, host: Host, before: str, patience: int) -> bool:
    """Wait for another start of the Mac; later operations use the connection that found it."""
    started, seen = time.monotonic(), ""
    while (waited := time.monotonic() - started) < patience:
        gevent.sleep(POLL_S)
        try:
            session = _session(host)
        except (ConnectError, SSHException, EOFError, OSError) as error:
            seen = str(error)
            continue
        if session not in ("", before):
            host.log(f"it has restarted, {waited:.0f} s", logger.info)
            return True
        seen = "it answers, but has not restarted"
    host.log_styled(f"not back after {patience} s: {seen}", fg="red", log_func=logger.error)
    return False


def _session(host: Host) -> str:
    """Which start of the Mac this is, over a new connection. Raises when the Mac does not answer."""
    with gevent.Timeout(ANSWER_S, TimeoutError(f"no answer within {ANSWER_S} s")):
        # What pyinfra has laid there for sudo is gone with the restart.
        clear_askpass_cache(host)
        host.connector.disconnect()
        host.connector.connect()
        _, output = host.run_shell_command(StringCommand(Boot().command()))
        return Boot().process(output.stdout_lines).session
