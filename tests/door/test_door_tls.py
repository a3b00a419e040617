"""What the door shows its clients: the fleet's certificates, the user's own, or nothing."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from cryptography import x509
from door_lab import ALPHA, BETA, Door, curl, make, opened

from depot.certificates import leaf, new_authority
from fleet import gateway
from roles.gateway import days_left


def shown(door: Door, context: ssl.SSLContext, name: str | None) -> ssl.SSLSocket:
    """The handshake of a client that asks for this name."""
    raw = socket.create_connection((ALPHA, door.fleet.ports.door), timeout=10)
    return context.wrap_socket(raw, server_hostname=name)


def test_clients_that_trust_the_fleets_ca_reach_it_by_every_name(tmp_path: Path) -> None:
    with opened(make(tmp_path, door_names=("llm.example.org", "192.0.2.7"))) as door:
        for name in (ALPHA, "alpha", "alpha.local", "llm.example.org", "192.0.2.7"):
            with shown(door, door.context(), name) as client:
                assert client.version() == "TLSv1.3"
        for name in (BETA, "beta", "elsewhere.example.org"):
            with pytest.raises(ssl.SSLCertVerificationError, match=r"[Mm]ismatch"):
                shown(door, door.context(), name)


def test_others_do_not_trust_it(door: Door) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(door, ssl.create_default_context(), ALPHA)


def test_nothing_older_than_tls_1_2(door: Door) -> None:
    context = door.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with shown(door, context, ALPHA) as client:
        assert client.version() == "TLSv1.2"
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shown(door, context, ALPHA)


def test_apples_systems_accept_the_certificate(door: Door) -> None:
    """Their conditions: https://support.apple.com/103769."""
    with shown(door, door.context(), ALPHA) as client:
        cert = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
    assert cert.not_valid_after_utc - cert.not_valid_before_utc <= datetime.timedelta(days=825)
    usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH in usage


def test_a_certificate_of_the_users_own(tmp_path: Path) -> None:
    authority = new_authority("somebody else's")
    pair = leaf(authority, ["llm.example.org"])
    door = make(tmp_path, door_names=("llm.example.org",))
    door.certificate = (pair.cert, pair.key)
    with opened(door):
        theirs = ssl.create_default_context(cadata=authority.ca)
        with shown(door, theirs, "llm.example.org") as client:
            assert client.version() == "TLSv1.3"
        # By address, without a name of a host: it is shown all the same.
        theirs.check_hostname = False
        with shown(door, theirs, None) as client:
            assert client.version() == "TLSv1.3"
        # A new one is taken without a restart.
        other = leaf(authority, ["llm.example.org"])
        door.certificate = (other.cert, other.key)
        door.reload()
        with shown(door, theirs, "llm.example.org") as client:
            seen = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
        assert seen == x509.load_pem_x509_certificate(other.cert.encode())


@pytest.mark.parametrize("days", [20, 0])
def test_how_long_the_certificate_holds_is_told(tmp_path: Path, days: int) -> None:
    door = make(tmp_path, secrets=str(tmp_path / "secrets"))
    with mock.patch("depot.certificates.DOOR_VALID_FOR", datetime.timedelta(days=days)), opened(door):
        left = days_left(door.fleet, door.fleet.head)
        assert left == pytest.approx(days, abs=0.1)


def test_who_speaks_no_tls_has_no_certificate_that_ends(tmp_path: Path) -> None:
    fleet = make(tmp_path, tls="off").fleet
    assert days_left(fleet, fleet.head) is None


def test_plain_http_because_somebody_asked_for_it(tmp_path: Path) -> None:
    with opened(make(tmp_path, tls="off")) as door:
        assert door.url == f"http://{ALPHA}:{door.fleet.ports.door}"
        assert door.chat().status == 200
        assert door.ask("GET", "/v1/models", None, {"Authorization": ""}).status == 401
        assert not door.ca.exists()


def test_a_client_that_speaks_no_tls_is_told(door: Door) -> None:
    plain = replace(door.fleet, tls="off")
    with contextlib.closing(socket.create_connection((ALPHA, door.fleet.ports.door), timeout=10)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 400")
    assert gateway.url(plain, plain.head).startswith("http://")


def test_caddy_asks_nobody_on_the_internet(door: Door) -> None:
    assert curl(door, "--http2", "-d", "{}").stdout.endswith("2 200")
    kept = (door.root / "raylab/state/gateway").iterdir()
    assert {path.name for path in kept} <= {"instance.uuid", "last_clean.json", "locks"}
