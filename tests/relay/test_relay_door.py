"""Who is let in: peers, with a request that was signed now; with TLS, also with a certificate of this run."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from relay_fleet import Fleet, chain
from relay_harness import MIB, SECRET, Agent, Load

from depot.certificates import certificate_pair

STRANGER = "127.0.3.99"


@pytest.fixture
def load(fleet: Fleet) -> Load:
    return Load.made(fleet.home, "model", MIB)


@contextmanager
def connection(agent: Agent, source: str) -> Iterator[socket.socket]:
    """From this address to an agent."""
    with socket.create_connection((agent.address, agent.port), timeout=5, source_address=(source, 0)) as made:
        yield made


def request(path: str, span: str, nonce: str, secret: str = SECRET) -> bytes:
    """A request, signed."""
    signed = f"GET\n{path}\n{span}\n{nonce}".encode()
    signature = hmac.new(bytes.fromhex(secret), signed, "sha256").hexdigest()
    head = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: raylab {nonce} {signature}"]
    return "\r\n".join([*head, *([f"Range: {span}"] if span else []), "", ""]).encode()


def answer(agent: Agent, asked: bytes, source: str) -> tuple[int, bytes]:
    """Status and body; 0 when the connection ends without an answer."""
    data = b""
    with connection(agent, source) as there:
        try:
            there.sendall(asked)
            while more := there.recv(65536):
                data += more
        except ConnectionError:
            pass
    head, _, body = data.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


def test_a_peer_with_a_signed_request_is_served(fleet: Fleet, load: Load) -> None:
    seed, mac = fleet.start(1, load)
    status, body = answer(seed, request("/model", "bytes=1000-1999", "once"), mac.address)
    assert (status, body) == (206, Path(load.objects[0]["path"]).read_bytes()[1000:2000])
    status, body = answer(mac, request("/model/status", "", "once"), seed.address)
    assert (status, json.loads(body)) == (200, {"have": 0, "total": load.size})


def test_a_stranger_is_closed_before_a_byte(fleet: Fleet, load: Load) -> None:
    seed, _ = fleet.start(1, load)
    with connection(seed, STRANGER) as there:
        # It has not asked for anything, and would be waited for if it were a peer.
        assert there.recv(1) == b""
    assert answer(seed, request("/model", "bytes=0-9", "right"), STRANGER) == (0, b"")
    assert seed.stats()["refused"] == 2


def test_a_nonce_is_good_once(fleet: Fleet, load: Load) -> None:
    seed, mac = fleet.start(1, load)
    asked = request("/model", "bytes=0-9", "n1")
    assert answer(seed, asked, mac.address)[0] == 206
    assert answer(seed, asked, mac.address) == (403, b"")


@pytest.mark.parametrize(
    "asked",
    [
        request("/model", "bytes=0-9", "n1", secret=secrets.token_hex(32)),
        request("/model", "bytes=0-9", "n1").replace(b"bytes=0-9", b"bytes=0-8"),
        request("/model", "bytes=0-9", "n1").replace(b" n1 ", b" n2 "),
        request("/model", "bytes=0-9", "n1").replace(b"GET /model", b"GET /other"),
        b"GET /model HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n",
        "GET /model HTTP/1.1\r\nHost: x\r\nAuthorization: raylab é ü\r\nRange: bytes=0-9\r\n\r\n".encode(),
    ],
    ids=["secret", "range", "nonce", "path", "unsigned", "letters"],
)
def test_a_request_that_is_not_signed_right_gets_nothing(fleet: Fleet, load: Load, asked: bytes) -> None:
    seed, mac = fleet.start(1, load)
    assert answer(seed, asked, mac.address) == (403, b"")
    assert seed.stats()["sent"] == 0


@pytest.mark.parametrize(
    ("path", "span", "status"),
    [
        ("/other", "bytes=0-9", 404),
        ("/model", "", 416),
        ("/model", f"bytes=0-{MIB}", 416),
        ("/model", "bytes=9-0", 416),
        ("/model", "bytes=-9", 416),
        ("/model/more", "bytes=0-9", 416),
    ],
)
def test_what_is_not_there_is_not_given(fleet: Fleet, load: Load, path: str, span: str, status: int) -> None:
    seed, mac = fleet.start(1, load)
    assert answer(seed, request(path, span, "n"), mac.address) == (status, b"")


def test_noise_on_a_connection_disturbs_nobody(fleet: Fleet, load: Load) -> None:
    seed, mac = fleet.start(1, load)
    for noise in (b"\x16\x03\x01\x00\xff" + bytes(range(256)), b"GET\r\n\r\n", b"\r\n" * 70_000, b""):
        with connection(seed, mac.address) as there:
            there.sendall(noise)
    mac.fetch(load, seed)
    mac.wait("whole")


def _tls() -> dict[str, str]:
    pair = certificate_pair("relay", [])
    return {"cert": pair.cert, "key": pair.key, "ca": pair.ca}


def test_with_tls_a_chain_is_whole(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "private", 9 * MIB + 17, 0, 5, 300_000)
    agents = fleet.start(2, load, tls=_tls())
    chain(agents, load)
    for mac in agents[1:]:
        mac.wait("whole")
        assert load.is_whole_at(mac)


def test_with_tls_nobody_without_a_certificate_gets_anything(fleet: Fleet, load: Load) -> None:
    run, other = _tls(), _tls()
    seed, mac = fleet.start(1, load, tls=run)
    asked = request("/model", "bytes=0-9", "n1")
    assert answer(seed, asked, mac.address) == (0, b"")
    assert _over_tls(fleet.home, seed, mac.address, None) == b""
    assert _over_tls(fleet.home, seed, mac.address, other) == b""
    assert _over_tls(fleet.home, seed, mac.address, run).startswith(b"HTTP/1.1 206 ")


def _over_tls(home: Path, agent: Agent, source: str, certificate: dict[str, str] | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        (home / "pem").write_text(certificate["cert"] + certificate["key"])
        context.load_cert_chain(home / "pem")
    try:
        with connection(agent, source) as bare, context.wrap_socket(bare) as there:
            there.sendall(request("/model", "bytes=0-9", secrets.token_hex(8)))
            return there.recv(65536)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_an_agent_of_another_run_is_no_upstream(fleet: Fleet, load: Load) -> None:
    seed = fleet.agent(0, tls=_tls())
    seed.hold(load, seed=True)
    mac = fleet.agent(1, tls=_tls())
    mac.hold(load)
    mac.fetch(load, seed)
    assert mac.wait("progress", starved=True)["received"] == 0
