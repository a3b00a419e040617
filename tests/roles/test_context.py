"""Facts of the whole fleet, asked of all Macs at once."""

from __future__ import annotations

from typing import Any

import gevent
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import make_state

from fleet.settings import Fleet
from macos.facts.contents import Manifests, Sums
from roles.context import everyone, goes, the_fleet


def test_to_know_what_to_ask_another_fact_may_be_asked_first(fleet: Fleet) -> None:
    def directories() -> dict[str, Any]:
        return {"directories": ["/a"]}

    def folders() -> dict[str, Any]:
        return {"folders": list(everyone(Sums, directories)[fleet.head.name])}

    state = make_state({"shasum": [f"{'a' * 64}  /a/x"], "manifest.json": ["## /a/x", '{"files": []}']})
    with (
        ctx_state.use(state),
        ctx_config.use(state.config),
        ctx_host.use(next(iter(state.inventory))),
        gevent.Timeout(30),
    ):
        assert everyone(Manifests, folders) == {fleet.head.name: {"/a/x": {"files": []}}}


def test_the_side_of_the_fleet_is_what_its_macs_run_with(fleet: Fleet) -> None:
    state = make_state({"io.raylab.ray": ["cluster --address=10.77.0.11:6879"]})
    with ctx_state.use(state), ctx_config.use(state.config), gevent.Timeout(30):
        assert (the_fleet().side, the_fleet().ports.serve_http) == (2, 8500)


def test_a_roll_is_about_the_fleet_on_another_side(fleet: Fleet) -> None:
    state = make_state({"io.raylab.ray": ["cluster --address=10.77.0.11:6379"]})
    with ctx_state.use(state), ctx_config.use(state.config), gevent.Timeout(30):
        assert the_fleet() == fleet
        goes(fleet.on_side(2))
        assert the_fleet().side == 2
