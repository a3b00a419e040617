"""The drill over three fake Macs, which restart when they are told to and come back step by step."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fleet_project import Project
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage

from depot.keys import key_hashes
from fleet.macfacts import MacFacts
from fleet.settings import Fleet
from macos.operations import boot
from roles import announce, context
from roles import drill as role

NAMES = ("@fake/alpha", "@fake/beta", "@fake/gamma")
ALPHA, BETA, GAMMA = NAMES


class Told(dict[str, Any]):
    """What a fake Mac answers, found out when it is asked."""

    def __init__(self, tell: Callable[[], list[str]]) -> None:
        super().__init__()
        self._tell = tell

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 (as dict's)
        return self._tell() if key == "stdout" else default


@dataclass
class Desk:
    """Three Macs on one desk, and how often the head was asked since the last restart."""

    fleet: Fleet
    restarts: list[str] = field(default_factory=list)
    filevault: str = ""
    lost: str = ""
    """The Mac that does not join Ray any more once it has restarted."""
    polls: int = 0

    def responses(self, name: str) -> dict[str, Any]:
        return {
            "/sbin/shutdown": Told(lambda: self._restart(name)),
            "kern.bootsessionuuid": Told(lambda: [f"session {name} {self.restarts.count(name)}"]),
            "raylab_report.py": Told(self._report),
            "/chat/completions": ["## tiny", *['{"usage": {"completion_tokens": 8}}', "200 0.1"] * 2],
            "@@raylab": Told(lambda: self._facts(name)),
        }

    def _restart(self, name: str) -> list[str]:
        self.restarts.append(name)
        self.polls = 0
        return []

    def _facts(self, name: str) -> list[str]:
        on = "On" if name == self.filevault else "Off"
        return ["@@raylab memory", str(64 * 2**30), "@@raylab filevault", f"FileVault is {on}."]

    def _report(self) -> list[str]:
        """At first a restarted Mac looks as before; then its node is gone, then there is another one, then all runs."""
        self.polls += 1
        last = self.restarts[-1] if self.restarts else ""
        nodes, replicas = [], []
        for mac in self.fleet.macs:
            starts = self.restarts.count(mac.name)
            if mac.name == last and self.polls < 3:
                starts -= 1
            away = mac.name == last and (self.polls == 3 or (self.polls > 3 and mac.name == self.lost))
            node = f"{mac.name} {starts}"
            nodes.append(
                {"ip": mac.node_ip, "id": node, "state": "DEAD" if away else "ALIVE", "resources": {"mlx": 64}}
            )
            if not (mac.name == last and self.polls == 4):
                replicas.append({"node": node, "state": "RUNNING"})
        deployed = {"status": "RUNNING", "message": "", "deployments": {"x": {"replicas": replicas}}}
        head = {"nodes": nodes, "applications": {"llm": deployed, "model:tiny": deployed}, "error": ""}
        return [json.dumps({"python": "3.12", "versions": {}, "resolves": {}, "memory_free": 1, "head": head})]


class Door(BaseHTTPRequestHandler):
    """The endpoint of each Mac."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"usage": {"completion_tokens": 4}})

    def _answer(self, content: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    read = Project(tmp_path / "project").load()
    macs = tuple(
        replace(mac, name=name, node_ip=f"127.0.0.{11 + number}")
        for number, (name, mac) in enumerate(zip(NAMES, read.macs, strict=True))
    )
    with ThreadingHTTPServer(("0.0.0.0", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ports = read.ports.with_overrides({"door": server.server_port})
        secrets = tmp_path / "secrets"
        fleet = replace(read, macs=macs, ports=ports, depot=tmp_path / "depot", secrets=secrets, tls="off")
        key_hashes(secrets, fleet.api_keys)
        context.remember(fleet)
        # The hold of a run and the drain before a restart have tests of their own.
        monkeypatch.setattr(role.lock, "taken", lambda: None)
        monkeypatch.setattr(role.lock, "let_go", lambda mac: None)
        monkeypatch.setattr(role.lock, "take_again", lambda mac: True)
        monkeypatch.setattr(role.drain, "drain", lambda state, host: True)
        for module in (role, boot):
            monkeypatch.setattr(module, "POLL_S", 0.01)
        yield Desk(fleet)
        server.shutdown()
    atexit.unregister(role._tell)
    context._fleets.clear()
    context._answers.clear()
    for kept in (role._turns, role._checked, announce._ended):
        kept.clear()


def run(desk: Desk, limit: str = "", **data: str) -> State:
    """What deploy/drill.py does, up to where pyinfra stops."""
    quick = {"fake_delay": 0.0, "fake_delay_jitter": 0.0, **data}
    hosts = [(name, {**quick, "fake_responses": desk.responses(name)}) for name in NAMES]
    inventory = Inventory((hosts, {}))
    state = State()
    state.init(inventory, Config(SUDO=True), initial_limit=[inventory.get_host(limit)] if limit else None)
    state.current_stage = StateStage.Connect
    connect_all(state)
    state.current_stage = StateStage.Prepare
    add_deploy(state, role.macs)
    state.current_stage = StateStage.Execute
    run_ops(state)
    return state


def test_each_mac_restarts_when_the_one_before_serves_again(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(desk).failed_hosts
    assert desk.restarts == [BETA, GAMMA, ALPHA]
    # The old node that looked alive, the missing one and the copy that was not back yet were waited for.
    assert [turn.missing for turn in role._turns] == ["", "", ""]
    assert all(list(turn.seconds) == ["SSH back", "Ray joined", "generation"] for turn in role._turns)
    role._tell()
    said = capsys.readouterr().err
    assert f"Drill of lab: {BETA}, then {GAMMA}, then {ALPHA}" in said
    assert said.count("nobody") == 3


def test_the_first_mac_that_does_not_come_back_is_the_last_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(role, "PATIENCE_S", 1)
    desk.lost = GAMMA
    with pytest.raises(PyinfraError, match="Over 0%"):
        run(desk)
    assert desk.restarts == [BETA, GAMMA]
    role._tell()
    assert f"error: {GAMMA} did not get to “Ray joined”, and no Mac after it was restarted" in capsys.readouterr().err


def test_a_mac_with_filevault_ends_the_run_before_any_restart(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.filevault = BETA
    with pytest.raises(SystemExit) as ended:
        run(desk)
    assert (ended.value.code, desk.restarts) == (2, [])
    said = capsys.readouterr().err
    assert f"error: {BETA}: FileVault is on" in said
    assert said.endswith("No Mac was restarted.\n")


def test_with_somebody_there_it_may(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.filevault = BETA
    run(desk, filevault="1")
    assert desk.restarts == [BETA, GAMMA, ALPHA]
    assert f"warning: {BETA}: FileVault is on: unlock it" in capsys.readouterr().err


def test_a_limit_restarts_one_mac_and_asks_the_head_all_the_same(desk: Desk) -> None:
    # Of Macs that a run leaves out, the plan knows what they said before.
    announce.remembered_memory({mac.name: MacFacts.parse(f"@@raylab memory\n{64 * 2**30}") for mac in desk.fleet.macs})
    run(desk, limit=BETA)
    assert desk.restarts == [BETA]
    assert [turn.missing for turn in role._turns] == [""]


def test_a_head_that_says_nothing_in_between_stops_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    report = desk._report
    monkeypatch.setattr(desk, "_report", lambda: ["{}"] if role._turns and not role._turns[-1].missing else report())
    with pytest.raises(PyinfraError, match="Over 0%"):
        run(desk)
    assert desk.restarts == [BETA]
