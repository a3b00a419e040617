"""The main job: after one converge every Mac answers, and only whom it should."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from harness import ADDRESSES, ROOT, answers, healthy, lab, on, processes, pyinfra, run


def test_the_converge_shows_the_plan_first_and_the_fleet_last(fleet: str) -> None:
    plan, table = fleet.index("Plan"), fleet.index("Endpoint")
    assert plan < fleet.index("Starting operation") < table
    for name, address in ADDRESSES.items():
        assert re.search(rf"{name}\s+.*{re.escape(address)}", fleet[table - 1500 :])


def test_the_printed_curl_line_works_when_pasted(fleet: str) -> None:
    line = next(line.strip() for line in fleet.splitlines() if line.strip().startswith("curl "))
    completion = json.loads(run("sh", "-c", line).stdout)
    assert completion["choices"][0]["message"]["role"] == "assistant"


@pytest.mark.parametrize("mac", ADDRESSES)
def test_the_openai_client_talks_through_each_mac(fleet: str, mac: str) -> None:
    said = answers(mac)
    assert said["models"] == ["tiny"]
    assert said["chat_role"] == "assistant"
    assert 1 <= said["chat_tokens"] <= 8
    assert said["stream_chunks"] >= 2
    assert 1 <= said["stream_tokens"] <= 8
    assert 1 <= said["text_tokens"] <= 8


def test_health_is_green_and_says_what_it_looked_at(fleet: str) -> None:
    assert healthy()
    printed = pyinfra("deploy/health.py")
    for word in ("jobs", "Ray nodes", "names", "versions", "generation"):
        assert word in printed.stdout + printed.stderr


PROBES = {
    "dashboard": "http://10.77.0.11:8265/api/version",
    "Jobs API": "http://10.77.0.11:8265/api/jobs/",
    "Serve API": "http://10.77.0.11:8265/api/serve/applications/",
    "jobs agent of beta": "http://10.77.0.12:6385/api/job_agent/jobs/",
}


@pytest.mark.parametrize("probe", PROBES)
def test_ray_answers_no_stranger_over_http(fleet: str, probe: str) -> None:
    done = lab(
        "client",
        "curl",
        "-s",
        "-m",
        "10",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        PROBES[probe],
        check=False,
    )
    assert done.stdout in {"000", "401", "403"}, f"{probe} answered {done.stdout}"


def test_the_gcs_answers_no_stranger(fleet: str) -> None:
    release = on("alpha", "ls -d /opt/raylab/releases/*").split()[0]
    script = (
        "import ray; from ray._raylet import GcsClient; "
        'print(GcsClient(address=\\"10.77.0.11:6379\\").get_all_node_info(timeout=10))'
    )
    # The LAN machine has no Ray of its own: one of the Macs' environments, without the token, is a stranger too.
    shell = f'cd /tmp; RAY_AUTH_MODE=token HOME=/tmp {release}/env/bin/python -c "{script}" 2>&1; echo status $?'
    said = lab("ssh", "gamma", shell, check=False).stdout
    assert "status 0" not in said
    assert re.search(r"(?i)auth|token", said), said


def test_the_store_wants_a_certificate(fleet: str) -> None:
    release = on("alpha", "ls -d /opt/raylab/releases/*").split()[0]
    ping = f"{release}/env/bin/valkey-cli -h 127.0.0.1 -p 6380 --tls --insecure ping"
    assert "PONG" not in on("alpha", f"{ping} 2>&1", check=False)
    assert lab("client", "bash", "-c", "exec 3<>/dev/tcp/10.77.0.11/6380", check=False).returncode != 0


def test_no_secret_shows_anywhere(fleet: str) -> None:
    folder = ROOT / ".lab" / "secrets"
    closed = ("ray-token", "store-cert.pem", "*-key.pem", "door/*-key.pem", "api-keys/*")
    files = [path for pattern in closed for path in folder.glob(pattern)]
    secrets = {str(path.relative_to(folder)): path.read_text().strip() for path in files}
    assert {"ray-token", "store-key.pem", "door-ca-key.pem", "door/alpha-key.pem", "api-keys/default"} <= set(secrets)
    for name, text in secrets.items():
        if name.endswith("-key.pem"):
            secrets[name] = text.splitlines()[1]
    places = {"pyinfra's output": fleet}
    for mac in ADDRESSES:
        places[f"{mac}: ps"] = on(mac, "ps -axww -o command=")
        places[f"{mac}: plists"] = on(mac, "cat /Library/LaunchDaemons/*.plist")
        places[f"{mac}: logs"] = on(
            mac,
            'cat /opt/raylab/log/*; find /opt/raylab/ray -name "*.log" -o -name "*.out" -o -name "*.err" | xargs cat',
        )
    for place, text in places.items():
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is in {place}"


def test_secrets_are_closed_files_on_both_ends(fleet: str) -> None:
    assert {oct(path.stat().st_mode & 0o777) for path in (ROOT / ".lab/secrets").rglob("*") if path.is_file()} == {
        "0o600"
    }
    modes = on(
        "alpha",
        'stat -f "%Lp %Su %Sg %N" /opt/raylab/etc/ray-token /opt/raylab/etc/store-key.pem /opt/raylab/etc/door-key.pem',
    )
    assert all(line.startswith("640 root _raylab") for line in modes.splitlines()), modes


def test_services_run_as_the_hidden_account(fleet: str) -> None:
    for mac in ADDRESSES:
        commands = " ".join(processes(mac).values())
        assert "raylet" in commands
        root = on(mac, "ps -axww -o user= -o command=")
        assert not [line for line in root.splitlines() if line.startswith("root") and "raylet" in line]


def test_fleet_specs_pass(fleet: str) -> None:
    run(str(Path(ROOT / ".venv/bin/pytest")), "-q", "tests/fleet", "--inventory", "inventory/lab.py")
