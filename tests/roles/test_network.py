"""The cables of a fleet: what is asked, remembered, and complained about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import Responses, make_state
from thunderbolt_macs import MINI, Desk

from fleet.cables import PortReport, find_cables
from fleet.settings import Fleet, Mac
from roles import context, network

ALPHA, BETA = "@fake/alpha", "beta"
DESK = Desk({ALPHA: MINI, BETA: MINI}, cables=[(ALPHA, 1, BETA, 2)])


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two Macs that hand over two ports each; only the first is reached."""
    macs = (
        Mac(ALPHA, "head", "192.168.1.20", thunderbolt=("en2", "en3")),
        Mac(BETA, "worker", "192.168.1.21", thunderbolt=("en2", "en3")),
    )
    made = Fleet(macs, name="lab", depot=tmp_path / "depot")
    context.remember(made)
    yield made
    context._fleets.clear()
    context._answers.clear()


def answer(desk: Desk) -> Responses:
    parts = {
        "profiler": desk.profiler(ALPHA),
        "ports": desk.hardware_ports(ALPHA),
        "interfaces": desk.ifconfig(ALPHA),
        "rdma": desk.rdma_ctl(),
        "devices": desk.ibv_devices(ALPHA),
    }
    return {"SPThunderboltDataType": "".join(f"## {name}\n{text}\n" for name, text in parts.items()).splitlines()}


def asked(responses: Responses) -> dict[str, PortReport]:
    context._answers.clear()
    state = make_state(responses)
    with ctx_state.use(state), ctx_config.use(state.config), ctx_host.use(next(iter(state.inventory))):
        return network.port_reports()


def test_a_fleet_without_thunderbolt_is_not_asked(fleet: Fleet) -> None:
    context.remember(replace(fleet, macs=tuple(replace(mac, thunderbolt=()) for mac in fleet.macs)))
    assert asked({}) == {}


def test_a_mac_that_is_left_out_is_known_from_the_last_time(fleet: Fleet) -> None:
    kept = Path(fleet.depot, "cables.json")
    kept.parent.mkdir()
    kept.write_text(json.dumps({"lab": {BETA: DESK.report(BETA).to_remember(), "gone": {}}, "other": {"x": {}}}))
    reports = asked(answer(DESK))
    assert reports[ALPHA] == DESK.report(ALPHA)
    assert len(find_cables(reports)) == 1
    known = json.loads(kept.read_text())
    assert set(known["lab"]) == {ALPHA, BETA}
    assert known["other"] == {"x": {}}


def test_a_mac_that_was_never_asked_is_unknown(fleet: Fleet) -> None:
    assert list(asked(answer(DESK))) == [ALPHA]
    # Nothing new is not written again.
    kept = Path(fleet.depot, "cables.json")
    before = kept.stat().st_mtime_ns
    asked(answer(DESK))
    assert kept.stat().st_mtime_ns == before
