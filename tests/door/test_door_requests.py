"""Which Mac a request goes to, what happens when that one fails, and what the door itself refuses."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import IncompleteRead
from pathlib import Path

import pytest
from door_lab import ALPHA, BETA, CADDY, CHAT, Door, curl, make, opened, until

from fleet import gateway, layout

PROMPT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hello " * 20000}]}).encode()


@pytest.mark.parametrize("broken", [0, 1])
def test_a_request_goes_elsewhere_when_a_mac_closes_before_an_answer(door: Door, broken: int) -> None:
    door.macs[broken].behaviour = "close"
    other = door.macs[1 - broken]
    for _ in range(4):
        answer = door.chat(PROMPT)
        assert (answer.status, answer.by) == (200, other.address)
    assert {request.body for request in other.posts} == {PROMPT}


def test_a_request_goes_elsewhere_when_a_mac_is_not_there(door: Door) -> None:
    door.macs[1].stop()
    for _ in range(6):
        assert door.chat(PROMPT).by == ALPHA


def test_what_an_application_of_the_users_does_is_not_done_twice(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour = "close"
    answer = door.ask("POST", "/hello/x", b"{}")
    assert answer.status == 502
    assert answer.error["code"] == "mac_failed"
    assert answer.error["type"] == "server_error"
    assert answer.headers["Retry-After"] == "5"
    assert sum(len(mac.posts) for mac in door.macs) == 1


def test_nothing_is_sent_again_after_the_first_byte(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour = "half"
    connection, response = door.open("POST", CHAT, PROMPT)
    with contextlib.closing(connection):
        assert response.read1(1000) == b"data: part 0\n\n"
        with pytest.raises((OSError, IncompleteRead)):
            response.read()
    assert sum(len(mac.posts) for mac in door.macs) == 1


def test_a_mac_that_is_full_says_so_itself(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour = "busy"
    answer = door.chat()
    assert (answer.status, answer.headers["Retry-After"], answer.error["code"]) == (503, "7", "queue_full")
    assert sum(len(mac.posts) for mac in door.macs) == 1


def test_the_mac_with_the_fewest_requests_is_next(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour = "wait"
    with ThreadPoolExecutor(10) as pool:
        asked = []
        for number in range(1, 11):
            # Caddy counts a request a moment after it has chosen for it.
            asked.append(pool.submit(door.chat))
            until(f"request {number}", lambda number=number: sum(len(mac.posts) for mac in door.macs) == number)
        assert [len(mac.posts) for mac in door.macs] == [5, 5]
        door.macs[0].go.set()
        until("alpha without work", lambda: sum(each.done() for each in asked) == 5)
        door.macs[0].behaviour = "reply"
        assert {door.chat().by for _ in range(5)} == {ALPHA}
        door.macs[1].go.set()
        assert {each.result().status for each in asked} == {200}


def test_a_mac_that_drains_gets_no_requests_and_then_some_again(door: Door) -> None:
    draining = door.path(layout.DRAINING)
    assert door.ready("/ready")[0] == 200
    draining.touch()
    assert door.ready("/ready")[0] == 503
    time.sleep(gateway.settle_seconds(door.fleet))
    assert {door.chat().by for _ in range(6)} == {BETA}
    draining.unlink()
    assert door.ready("/ready")[0] == 200
    time.sleep(gateway.settle_seconds(door.fleet))
    assert {door.chat().by for _ in range(20)} == {ALPHA, BETA}


def test_a_mac_whose_serve_is_away_is_not_ready(door: Door) -> None:
    assert door.ready("/ready")[0] == 200
    door.macs[0].stop()
    assert door.ready("/ready")[0] == 503
    assert door.ready("/v1/models")[0] == 404


def test_a_request_waits_for_a_mac_and_then_is_told(door: Door) -> None:
    alpha, beta = door.macs
    beta.ready = False
    door.path(layout.DRAINING).touch()
    until("healthz to say so", lambda: door.ask("GET", "/healthz", None, {"Authorization": ""}).status == 503, 40)
    started = time.monotonic()
    answer = door.chat()
    assert 8 < time.monotonic() - started < 16
    assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "no_mac_ready", "5")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(door.chat)
        beta.ready = True
        assert waiting.result().by == BETA
    assert not alpha.posts


# Of one that does not say its size, much more than that would end in a closed connection, before the answer is read.
@pytest.mark.parametrize(("header", "bytes_more"), [("", 1), ("", 1_000_000), ("Transfer-Encoding: chunked", 1)])
def test_a_request_that_is_too_large(door: Door, tmp_path: Path, header: str, bytes_more: int) -> None:
    (tmp_path / "large").write_bytes(b"x" * (gateway.LARGEST_BYTES + bytes_more))
    done = curl(door, "--http1.1", *(["-H", header] if header else []), "--data-binary", f"@{tmp_path}/large")
    body, _, status = done.stdout.rpartition("}")
    assert status == "1.1 413"
    assert json.loads(body + "}")["error"]["code"] == "request_too_large"
    assert not [request for mac in door.macs for request in mac.posts]


@pytest.mark.parametrize("header", ["", "Transfer-Encoding: chunked"])
def test_a_large_request_is_let_in(door: Door, tmp_path: Path, header: str) -> None:
    (tmp_path / "large").write_bytes(b"x" * gateway.LARGEST_BYTES)
    done = curl(door, "--http1.1", *(["-H", header] if header else []), "--data-binary", f"@{tmp_path}/large")
    assert done.stdout.endswith("1.1 200")
    assert [len(request.body) for mac in door.macs for request in mac.posts] == [gateway.LARGEST_BYTES]


def test_large_headers_are_refused(door: Door) -> None:
    assert door.ask("POST", CHAT, b"{}", {"X-Large": "x" * 40000}).status == 431


def test_a_client_that_goes_away_while_it_sends_harms_nobody(door: Door) -> None:
    for _ in range(3):
        connection = door.connect()
        connection.putrequest("POST", CHAT)
        connection.putheader("Authorization", f"Bearer {door.key}")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"half of it")
        connection.close()
    started = time.monotonic()
    assert {door.chat().by for _ in range(20)} == {ALPHA, BETA}
    assert time.monotonic() - started < gateway.FAIL_S


def test_a_mac_that_serves_only_itself_opens_its_door_to_itself(door: Door) -> None:
    """It has 127.77.0.11 here; a Mac has 127.0.0.1 and its address on the LAN."""
    assert door.chat().status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((BETA, door.fleet.ports.door), timeout=5)


def test_a_caddy_is_asked_whether_it_takes_the_configuration(door: Door) -> None:
    """As macos.operations.gateway.valid does, before a door is touched."""
    config = door.path(layout.GATEWAY_CONFIG)
    command = [str(CADDY), "validate", "--config", str(config), "--adapter", "caddyfile"]
    valid = partial(subprocess.run, command, env={"HOME": str(door.root)}, capture_output=True, text=True)
    assert valid().returncode == 0, valid().stderr
    config.write_text(config.read_text() + "nonsense {\n")
    assert valid().returncode == 1
    assert door.chat().status == 200
    door.write()


def test_a_client_that_says_nothing_is_closed(tmp_path: Path) -> None:
    door = make(tmp_path, tls="off")
    door.change = lambda text: text.replace("read_header 10s", "read_header 1s")
    with opened(door), socket.create_connection((ALPHA, door.fleet.ports.door), timeout=10) as silent:
        silent.sendall(b"POST /v1/x HTTP/1.1\r\nHost:")
        while silent.recv(1000):
            pass
