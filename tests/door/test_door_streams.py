"""Long answers: each part arrives when it is written, and neither time nor a change of settings ends them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path

import pytest
from door_lab import CHAT, Door, curl, make, opened, until
from upstreams import PART

from fleet import gateway

WHOLE = "".join(PART.format(number=number) for number in range(5)).encode()


def parts(response: HTTPResponse) -> Iterator[tuple[float, bytes]]:
    """Each part, and when it came."""
    while part := response.read1(1000):
        yield time.monotonic(), part


def test_each_part_arrives_when_it_is_written(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour, mac.pause = "stream", 1.0
    connection, response = door.open("POST", CHAT, b"{}")
    with contextlib.closing(connection):
        came = list(parts(response))
    assert b"".join(part for _, part in came) == WHOLE
    assert came[-1][0] - came[0][0] > 2


@pytest.mark.parametrize("times", [1, 3])
def test_a_stream_outlives_a_reload(door: Door, times: int) -> None:
    for mac in door.macs:
        mac.behaviour, mac.pause = "stream", 0.8
    connection, response = door.open("POST", CHAT, b"{}")
    with contextlib.closing(connection):
        assert response.read1(1000)
        for number in range(times):
            door.fleet = replace(door.fleet, api_keys=(f"other-{number}",))
            door.reload()
        assert door.ask("GET", "/v1/models").status == 200
        assert WHOLE.endswith(response.read())


def test_a_stream_outlives_the_end_of_caddy(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour, mac.pause = "stream", 0.5
    connection, response = door.open("POST", CHAT, b"{}")
    with contextlib.closing(connection):
        assert response.read1(1000)
        assert door.process
        door.process.send_signal(signal.SIGTERM)
        until("a closed door", lambda: not _open(door))
        assert WHOLE.endswith(response.read())
    assert door.process.wait(10) == 0


def _open(door: Door) -> bool:
    try:
        door.connect().connect()
    except OSError:
        return False
    return True


def test_a_configuration_that_is_wrong_changes_nothing(door: Door) -> None:
    change, door.change = door.change, lambda text: text + "nonsense {\n"
    loaded = door.loaded()
    with pytest.raises(AssertionError, match="waiting for the new configuration"):
        _reload(door)
    assert "failed to reload config from file" in door.errors()
    assert door.chat().status == 200
    assert door.loaded() == loaded
    door.change = change
    door.reload()


def _reload(door: Door) -> None:
    door.fleet = replace(door.fleet, api_keys=("default", "x"))
    door.write()
    assert door.process
    door.process.send_signal(signal.SIGUSR1)
    until("a word of Caddy's", lambda: "failed to reload" in door.errors())
    raise AssertionError("waiting for the new configuration")


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("behaviour", ["late", "stream"])
def test_an_answer_may_take_any_time(tmp_path: Path, version: str, behaviour: str) -> None:
    with opened(make(tmp_path)) as door:
        for mac in door.macs:
            mac.behaviour, mac.pause, mac.parts = behaviour, 3, 2
        done = curl(door, f"--http{version}", "-d", "{}")
        assert done.returncode == 0
        assert done.stdout.endswith(f"{version} 200")


def test_caddys_own_timeouts_would_end_a_stream(tmp_path: Path) -> None:
    """Why the configuration says NEVER: a stream that pauses for longer than that breaks off."""
    door = make(tmp_path)
    door.change = lambda text: text.replace(f"_idle {gateway.NEVER}", "_idle 1s")
    with opened(door):
        for mac in door.macs:
            mac.behaviour, mac.pause, mac.parts = "stream", 3, 2
        assert curl(door, "--http1.1", "-d", "{}").returncode != 0


def test_clients_that_leave_do_not_fill_the_log(door: Door) -> None:
    for mac in door.macs:
        mac.behaviour, mac.pause = "stream", 1.0
    asked = gateway.SAID_AN_HOUR + 10
    for _ in range(asked):
        connection, response = door.open("POST", CHAT, b"{}")
        with contextlib.closing(connection):
            assert response.read1(1000)
    until("every request in the access log", lambda: len(door.log()) == asked)
    assert door.errors().count("aborting with incomplete response") == gateway.SAID_AN_HOUR


def test_http_1_and_2_answer(door: Door) -> None:
    for version in ("1.1", "2"):
        assert curl(door, f"--http{version}", "-d", "{}").stdout.endswith(f"{version} 200")
