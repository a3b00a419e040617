"""MacConnector, against a real sshd on loopback."""

from __future__ import annotations

import errno
import getpass
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from free_ports import free_port
from pyinfra.api.config import Config
from pyinfra.api.connectors import get_execution_connectors
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from sshd import Server, make_key, running

from macos.connector import MacConnector


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sshd")) as started:
        yield started


def make_host(server: Server, tmp_path: Path, **data: object) -> Host:
    given = {
        "node_ip": "127.0.0.1",
        "ssh_port": server.port,
        "ssh_user": getpass.getuser(),
        "ssh_key": str(server.key),
        "ssh_known_hosts_file": str(tmp_path / "known_hosts"),
        **data,
    }
    inventory = Inventory((["@mac/alpha"], given))
    State(inventory, Config(CONNECT_TIMEOUT=3))
    return next(iter(inventory))


def error_of(host: Host) -> str:
    with pytest.raises(ConnectError) as raised:
        host.connector.connect()
    message = str(raised.value.args[0])
    assert "\n" not in message
    return message


def test_the_connector_is_registered() -> None:
    assert get_execution_connectors()["mac"] is MacConnector


def test_the_host_has_the_bare_name() -> None:
    assert list(MacConnector.make_names_data("alpha")) == [("alpha", {}, [])]
    with pytest.raises(PyinfraError, match="@mac/NAME"):
        list(MacConnector.make_names_data(None))


def test_connects_to_the_node_ip_without_nagle(server: Server, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    host = make_host(server, tmp_path)
    assert host.name == "alpha"
    host.connect(raise_exceptions=True)
    try:
        transport = host.connector.client.get_transport()
        assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        status, output = host.run_shell_command("echo hello", print_output=False, print_input=False)
        assert (status, output.stdout) == (True, "hello")
    finally:
        host.connector.client.close()


def test_ssh_hostname_comes_before_the_node_ip(server: Server, tmp_path: Path) -> None:
    host = make_host(server, tmp_path, node_ip="192.0.2.1", ssh_hostname="127.0.0.1")
    assert host.connector.data["ssh_hostname"] == "127.0.0.1"


def test_a_macs_own_commands_come_before_those_of_its_owner(tmp_path: Path) -> None:
    """Who has Nix or Homebrew's gnubin in .zshenv has another stat."""
    (tmp_path / "known_hosts").touch()
    (programs := tmp_path / "gnubin").mkdir()
    (programs / "stat").write_text("#!/bin/sh\necho another\n")
    (programs / "stat").chmod(0o755)
    (folder := tmp_path / "sshd").mkdir()
    with running(folder, programs) as server:
        host = make_host(server, tmp_path)
        host.connect(raise_exceptions=True)
        try:
            found = [
                host.run_shell_command(command, print_output=False, print_input=False)[1].stdout
                for command in ("command -v stat", "command -v sysctl")
            ]
        finally:
            host.connector.client.close()
    assert found == ["/usr/bin/stat", "/usr/sbin/sysctl"]


def test_a_terminal_that_may_not_use_the_network_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert "Local Network" not in error_of(make_host(server, tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Local Network" in error_of(make_host(server, tmp_path))


def test_nothing_listens(server: Server, tmp_path: Path) -> None:
    port = free_port()
    message = error_of(make_host(server, tmp_path, ssh_port=port))
    assert f"127.0.0.1 does not answer on port {port}" in message
    assert "Remote Login" in message


def test_a_refused_key(server: Server, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    other = make_key(tmp_path / "other")
    message = error_of(make_host(server, tmp_path, ssh_key=str(other)))
    assert "127.0.0.1 refused the key" in message
    assert str(other) in message
    assert "authorized_keys" in message


def test_a_changed_host_key(server: Server, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "stranger")
    entry = f"[127.0.0.1]:{server.port}"
    public = stranger.with_suffix(".pub").read_text()
    (tmp_path / "known_hosts").write_text(f"{entry} {public}")
    message = error_of(make_host(server, tmp_path))
    assert "shows another host key than the known one" in message
    assert message.endswith(f"ssh-keygen -R '{entry}' -f {tmp_path}/known_hosts")


def test_an_unknown_host_key_when_checking_is_strict(server: Server, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    message = error_of(make_host(server, tmp_path, ssh_strict_host_key_checking="yes"))
    assert "has no known host key" in message


def test_a_missing_key_file_fails_this_mac_only(server: Server, tmp_path: Path) -> None:
    message = error_of(make_host(server, tmp_path, ssh_key=str(tmp_path / "gone")))
    assert str(tmp_path / "gone") in message


def test_a_name_that_does_not_resolve(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    message = error_of(make_host(server, tmp_path, ssh_hostname="alpha.local"))
    assert "alpha.local does not resolve" in message
