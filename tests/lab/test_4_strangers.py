"""Who is not of the fleet, and what answers them: every port of every Mac, without a key and with a wrong one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ADDRESSES, CA, KEY, ROLLING, ROOT, copied, healthy, lab, pyinfra

KNOCK = ("curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", str(CA))
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
PATHS = ("/v1/models", "/v1/chat/completions", "/", "/docs", "/-/routes", "/config", "/ready", "/metrics")
# SSH is the Mac's own.
SSH, DOOR = 22, 8443
# The system chooses ports from here on; on macOS from 49152.
CHOSEN = 32768


@pytest.fixture
def guests(serves: None) -> Iterator[Path]:
    """The fleet's inventory with a second API key, `guest`; the key's file stays when its name goes."""
    inventory = copied("guests")
    settings = ROOT / inventory.parent / "group_data/rolling.py"
    kept = settings.read_text()
    settings.write_text(kept + '\napi_keys = ["default", "guest"]\n')
    pyinfra("deploy/cluster.py", inventory=str(inventory))
    settings.write_text(kept)
    yield inventory
    (KEY.parent / "guest").unlink()


def status(mac: str, path: str, key: str = "") -> str:
    """What a door answers to somebody on the LAN."""
    header = ("-H", f"Authorization: Bearer {key}") if key else ()
    body = ("-H", "Content-Type: application/json", "-d", json.dumps(ASK)) if path.endswith("completions") else ()
    return lab("client", *KNOCK, *header, *body, f"https://{ADDRESSES[mac]}:{DOOR}{path}").stdout


def test_a_revoked_key_opens_nothing_and_nobody_else_notices(guests: Path) -> None:
    guest, own = (KEY.parent / "guest").read_text().strip(), KEY.read_text().strip()
    assert {status(mac, "/v1/chat/completions", guest) for mac in ADDRESSES} == {"200"}
    with pytest.raises(ValueError, match="it has other keys or settings than this machine"):
        healthy(ROLLING)
    pyinfra("deploy/cluster.py", inventory=str(guests))
    wrong = {"no key": "", "a wrong key": own[:-4] + "AAAA", "a revoked key": guest, "another word": "hello"}
    for mac in ADDRESSES:
        for path in PATHS:
            assert {who: status(mac, path, key) for who, key in wrong.items()} == dict.fromkeys(wrong, "401")
        assert status(mac, "/v1/chat/completions", own) == "200"
        assert status(mac, "/healthz") == "200"
    assert healthy(ROLLING)


def unauthenticated(address: str, port: int, message: Path) -> bool:
    """Whether a gRPC server there refuses a call without a token: status 16."""
    call = ("-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", f"@{message}")
    url = f"http://{address}:{port}/ray.serve.ASGIService/HandleRequest"
    answer = lab("client", "curl", "-s", "-m", "20", "-D", "-", "--http2-prior-knowledge", *call, url).stdout
    return "grpc-status: 16" in answer.splitlines()


def test_of_65535_ports_ssh_and_the_door_answer_a_stranger(
    serves: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As gRPC writes it: not compressed, of no length.
    message = tmp_path / "message"
    message.write_bytes(bytes(5))
    script = str(ROOT / "tests/lab/strangers.py")
    found = json.loads(lab("client", sys.executable, script, "--json", *ADDRESSES.values()).stdout)
    assert set(found) == set(ADDRESSES.values())
    for address, seen in found.items():
        known, others = seen["answers"][:2], seen["answers"][2:]
        assert known == [SSH, DOOR]
        # Serve's replicas, one of the entry and one of the model, on ports that the system has chosen.
        assert len(others) == 2
        assert all(port >= CHOSEN and unauthenticated(address, port, message) for port in others)
        with capsys.disabled():
            print(f"\n  {address}: {known} answer a stranger, {others} refuse without the token, all others refuse")
