"""The connector `@mac/NAME`: pyinfra's SSH, without Nagle's algorithm and with errors that say what to do."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paramiko import AuthenticationException, BadHostKeyException, SSHException
from paramiko.ssh_exception import NoValidConnectionsError
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.connectors.ssh import SSHConnector

from macos.lease import Lease
from macos.shell import PATH

if TYPE_CHECKING:
    from pyinfra.api.command import StringCommand
    from pyinfra.api.host import Host
    from pyinfra.api.state import State
    from pyinfra.connectors.base import BaseConnector
    from pyinfra.connectors.util import CommandOutput


class MacConnector(SSHConnector):
    """SSH to a Mac of the inventory, as host NAME; its address is `ssh_hostname` or else `node_ip`.

    A remote command is several small packets, and paramiko leaves Nagle on: 47 ms a command instead of 4 ms.
    """

    def __init__(self, state: State, host: Host) -> None:
        super().__init__(state, host)
        if not self.data["ssh_hostname"]:
            self.data["ssh_hostname"] = host.data.get("node_ip") or host.name
        self.lease: Lease | None = None
        """The run's hold on this Mac, once it has one: without it no command goes there any more."""

    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """The one host of `@mac/NAME`. Raises PyinfraError for `@mac` alone."""
        if not name:
            raise PyinfraError("@mac: write @mac/NAME, with the Mac's name")
        yield name, {}, []

    def connect(self) -> None:
        """Connects. Raises ConnectError, which fails this Mac alone: one line, what is wrong, what to do."""
        try:
            super().connect()
        except PyinfraError as error:
            raise ConnectError(self._advice(error)) from error
        transport = self.client.get_transport() if self.client else None
        # A jump host or a proxy command puts something else than a socket here.
        if transport and isinstance(transport.sock, socket.socket):
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def disconnect(self) -> None:
        """Ends the connection, also one to a Mac that is gone; pyinfra's own leaves it open. The Mac is free then."""
        if self.lease:
            self.lease.release()
        super().disconnect()
        if self.client:
            self.client.close()

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,  # noqa: ANN401 (pyinfra's own)
    ) -> tuple[bool, CommandOutput]:
        """As pyinfra does, with the Mac's own commands, unless the run holds the Mac no more."""
        if self.lease:
            self.lease.check()
        arguments["_env"] = {"PATH": PATH, **(arguments.get("_env") or {})}
        return super().run_shell_command(command, print_output, print_input, **arguments)

    def _advice(self, error: PyinfraError) -> str:
        address = self.data["ssh_hostname"]
        port = self.data["ssh_port"] or 22
        cause = error.__context__
        reason = f"{cause}" or type(cause).__name__
        if isinstance(cause, AuthenticationException):
            user = self.data["ssh_user"] or "the local user's name"
            key = self.data["ssh_key"] or "the agent or ~/.ssh"
            return (
                f"{address} refused the key ({reason}): user {user}, key from {key}; "
                "put the public key into that user's ~/.ssh/authorized_keys, or set ssh_user and ssh_key"
            )
        if isinstance(cause, BadHostKeyException):
            entry = address if int(port) == 22 else f"[{address}]:{port}"
            file = self.data["ssh_known_hosts_file"]
            return (
                f"{address} shows another host key than the known one: another machine answers, or "
                f"the Mac was erased; only if you know why: ssh-keygen -R '{entry}'" + (f" -f {file}" if file else "")
            )
        if isinstance(cause, SSHException) and "found in known_hosts" in reason:
            return (
                f"{address} has no known host key, and ssh_strict_host_key_checking is on: log in once with "
                "ssh, compare the fingerprint, accept it, run again"
            )
        if isinstance(cause, socket.gaierror):
            return f"the name {address} does not resolve: set node_ip or ssh_hostname to the Mac's address"
        if isinstance(cause, (OSError, EOFError)):
            hint = ""
            tried = [cause, *(cause.errors.values() if isinstance(cause, NoValidConnectionsError) else [])]
            if sys.platform == "darwin" and errno.EHOSTUNREACH in [getattr(each, "errno", None) for each in tried]:
                hint = " Or may this terminal not use it (Privacy & Security > Local Network)? Apple's Terminal may"
            return (
                f"{address} does not answer on port {port} ({reason}): is the Mac on, on this network, and "
                f"is Remote Login on (System Settings > General > Sharing)?{hint}"
            )
        return f"{address}: {error}"


@contextmanager
def new_connection(state: State, host: Host) -> Iterator[BaseConnector]:
    """A connection of its own to a Mac that is connected already. Raises ConnectError when it does not answer.

    A Mac that is not reached over SSH has only the one.
    """
    if not isinstance(host.connector, SSHConnector):
        yield host.connector
        return
    connector = type(host.connector)(state, host)
    connector.connect()
    try:
        yield connector
    finally:
        if connector.client:
            connector.client.close()
