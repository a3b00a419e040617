"""What is true of every Mac of a converged fleet. Looks only: safe to run on one that serves."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from fleet import gateway, layout
from fleet.settings import Fleet, Mac
from roles.gateway import client_context, key_file, trusted


def labels(mac: Mac) -> tuple[str, ...]:
    return layout.labels(mac.is_head)


def test_the_release_is_complete(on: Host, mac: Mac, fleet: Fleet) -> None:
    folder = layout.release_dir(fleet.release(mac).id)
    assert on.file(f"{folder}/complete").exists
    manifest = json.loads(on.check_output(f"cat {folder}/manifest.json"))
    assert manifest["id"] == fleet.release(mac).id


def test_python_is_the_locked_one(on: Host, mac: Mac, fleet: Fleet) -> None:
    release = fleet.release(mac)
    said = on.check_output(f"{layout.env_dir(release.id)}/bin/python --version")
    assert said == f"Python {release.python}"


def test_jobs_run(on: Host, mac: Mac) -> None:
    for label in labels(mac):
        printed = on.check_output(f"launchctl print system/{label}")
        assert "\n\tstate = running\n" in printed, label
        assert f"\n\tusername = {layout.ACCOUNT}\n" in printed, label


def test_plists_are_root_s_and_closed_to_writers(on: Host, mac: Mac) -> None:
    for label in labels(mac):
        assert on.check_output(f"stat -f '%Su:%Sg %Lp' {layout.plist_path(label)}") == "root:wheel 644"


def test_secrets_are_closed(on: Host, mac: Mac, fleet: Fleet) -> None:
    secrets = [
        layout.RAY_TOKEN,
        layout.GATEWAY_CONFIG,
        *([layout.DOOR_KEY] if gateway.is_encrypted(fleet) else []),
        *([layout.STORE_KEY] if mac.is_head else []),
    ]
    for path in secrets:
        assert on.check_output(f"stat -f '%Su:%Sg %Lp' {path}") == f"root:{layout.ACCOUNT} 640"
    assert on.check_output(f"stat -f '%Lp' {layout.ETC}") == "750"


def test_the_account_is_hidden(on: Host) -> None:
    assert on.check_output(f"id -u {layout.ACCOUNT}") == str(layout.ACCOUNT_UID)
    assert "IsHidden: 1" in on.check_output(f"dscl . -read /Users/{layout.ACCOUNT} IsHidden")


def test_every_name_is_in_the_hosts_file(on: Host, fleet: Fleet) -> None:
    lines = [line.split() for line in on.check_output("cat /etc/hosts").splitlines()]
    for other in fleet.macs:
        if other.host_name:
            assert [other.node_ip, other.host_name] in lines


def test_weights_are_whole(on: Host, fleet: Fleet) -> None:
    for model in fleet.models:
        manifest = json.loads(on.check_output(f"cat {model.path}/manifest.json"))
        for file in manifest["files"]:
            assert on.check_output(f"stat -f %z {model.path}/{file['path']}") == str(file["size"])


def test_it_never_sleeps(on: Host) -> None:
    settings = on.check_output("pmset -g").splitlines()
    assert any(line.split()[:2] == ["sleep", "0"] for line in settings)


@pytest.fixture
def url(mac: Mac, fleet: Fleet) -> str:
    return f"{gateway.url(fleet, mac)}/v1"


@pytest.fixture
def answer(fleet: Fleet) -> Callable[..., Any]:
    """Asks as any client of the fleet, and gives what came."""
    trust = trusted(fleet)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key_file(fleet).read_text().strip()}"}

    def ask(url: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        data = None if body is None else json.dumps(body).encode()
        context = client_context(trust) if trust else None
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=180, context=context) as response:
            return json.load(response)

    return ask


def test_it_lists_every_model(url: str, answer: Callable[..., Any], fleet: Fleet) -> None:
    assert {model["id"] for model in answer(f"{url}/models")["data"]} == {model.id for model in fleet.models}


def test_it_answers(url: str, answer: Callable[..., Any], fleet: Fleet) -> None:
    for model in fleet.models:
        body = {"model": model.id, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
        assert answer(f"{url}/chat/completions", body)["usage"]["completion_tokens"] >= 1
