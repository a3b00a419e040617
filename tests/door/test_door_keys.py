"""Who gets in, and what the door tells those who do not."""

from __future__ import annotations

import base64
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
from door_lab import CHAT, Door, make, opened, until


def test_the_right_key_opens_and_goes_no_further(door: Door) -> None:
    answer = door.ask("POST", CHAT, b"{}", {"X-Raylab-Key": "somebody"})
    assert answer.status == 200
    [request] = [request for mac in door.macs for request in mac.posts]
    assert "authorization" not in request.headers
    assert request.headers["x-raylab-key"] == "default"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_may_be_written_otherwise(door: Door, scheme: str) -> None:
    assert door.ask("POST", CHAT, b"{}", {"Authorization": f"{scheme} {door.key}"}).status == 200


def wrong_keys(key: str) -> dict[str, str]:
    secret = base64.b64decode(key).decode().partition(":")[2]
    return {
        "none": "",
        "nonsense": "Bearer nonsense",
        "a name alone": f"Bearer {base64.b64encode(b'default:').decode()}",
        "another secret": f"Bearer {base64.b64encode(b'default:' + b'x' * len(secret)).decode()}",
        "another name": f"Bearer {base64.b64encode(b'nobody!:' + secret.encode()).decode()}",
        "one letter less": f"Bearer {key[:-1]}",
        "one letter more": f"Bearer {key}A",
        "two keys": f"Bearer {key} {key}",
        "as a password": f"Basic {key}",
    }


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/", "/healthz/", "/%68ealthz/../v1/models", "/hello/x"])
def test_nothing_opens_without_a_key(door: Door, path: str) -> None:
    for header in wrong_keys(door.key).values():
        answer = door.ask("POST", path, b"{}", {"Authorization": header})
        assert answer.status == 401, header
        assert answer.error["code"] == "invalid_api_key"
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["Www-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/json"
    assert not [request for mac in door.macs for request in mac.posts]


def test_a_key_is_of_letters_and_digits_and_closed(door: Door) -> None:
    assert door.key.isalnum()
    assert {path.stat().st_mode & 0o777 for path in (door.secrets / "api-keys").iterdir()} == {0o600}


def test_keys_come_and_go_without_a_restart(tmp_path: Path) -> None:
    with opened(make(tmp_path, api_keys=("chat", "laptop"))) as door:
        lost = {"Authorization": f"Bearer {door.key_of('laptop')}"}
        assert door.ask("POST", CHAT, b"{}", lost).status == 200
        door.fleet = replace(door.fleet, api_keys=("chat", "a-new.one_2"))
        pid = door.process.pid if door.process else 0
        door.reload()
        assert door.ask("POST", CHAT, b"{}", lost).status == 401
        for name in door.fleet.api_keys:
            assert door.ask("POST", CHAT, b"{}", {"Authorization": f"Bearer {door.key_of(name)}"}).status == 200
        assert door.process
        assert door.process.pid == pid
        assert door.process.poll() is None


def test_a_browser_asks_first_without_a_key(door: Door) -> None:
    asks = {
        "Authorization": "",
        "Origin": "https://chat.example.org",
        "Access-Control-Request-Method": "POST",
        "X-Raylab-Key": "somebody",
    }
    answer = door.ask("OPTIONS", CHAT, None, asks)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://chat.example.org"
    [request] = [request for mac in door.macs for request in mac.requests if request.method == "OPTIONS"]
    assert "x-raylab-key" not in request.headers
    assert door.ask("OPTIONS", CHAT, None, {"Authorization": ""}).status == 401


def test_healthz_is_open_and_says_whether_some_mac_serves(door: Door) -> None:
    answer = door.ask("GET", "/healthz", None, {"Authorization": ""})
    assert (answer.status, answer.body) == (200, b"ok")
    assert "x-raylab-key" not in {name for mac in door.macs for each in mac.requests for name in each.headers}


def test_the_log_says_who_asked_what_and_never_what_was_said(door: Door) -> None:
    door.ask("POST", f"{CHAT}?api_key=hunter2", b'{"messages": "my secret prompt"}', {"Cookie": "hunter3"})
    door.ask("POST", "/v1/x?q=hunter4", b"my secret prompt", {"Authorization": "Bearer hunter5"})
    # Each line is written once its answer is on its way.
    until("two lines", lambda: len(door.log()) == 2)
    right, wrong = sorted(door.log(), key=itemgetter("status"))
    assert (right["request"]["method"], right["request"]["uri"], right["status"]) == ("POST", CHAT, 200)
    assert right["user_id"] == "default"
    assert right["upstream"].endswith(f":{door.fleet.ports.serve_http}")
    assert right["duration"] > 0
    assert (wrong["status"], wrong["user_id"]) == (401, "")
    for text in (str(door.log()), door.errors()):
        assert "hunter" not in text
        assert "secret prompt" not in text
        assert door.key not in text
