"""A Mac's Serve goes over to the ports of the other side, and no door is told: each asks, and finds it there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection

from door_lab import ALPHA, BETA, Door, until
from upstreams import Upstream

from fleet import gateway, layout
from fleet.ports import APART


def ready(door: Door, side: int) -> int:
    """What alpha tells a door that asks about its Serve on that side."""
    upstream = f"{ALPHA}:{door.fleet.tables[side - 1].serve_http}"
    connection = HTTPConnection(ALPHA, door.fleet.ports.door_ready, timeout=5)
    connection.request("GET", gateway.READY_PATH, headers={gateway.UPSTREAM_HEADER: upstream})
    return connection.getresponse().status


def go_over(mac: Upstream, by: int = APART) -> None:
    mac.stop()
    mac.serve_port += by
    mac.start()


def served_by(door: Door, asked: int = 12) -> set[str]:
    return {door.chat().by for _ in range(asked)}


def test_only_the_side_on_which_serve_answers_is_ready(door: Door) -> None:
    assert (ready(door, 1), ready(door, 2)) == (200, 503)
    go_over(door.macs[0])
    assert (ready(door, 1), ready(door, 2)) == (503, 200)


def test_a_mac_that_drains_is_ready_on_neither_side(door: Door) -> None:
    other = replace(door.macs[0], serve_port=door.macs[0].serve_port + APART, servers=[])
    other.start()
    try:
        assert (ready(door, 1), ready(door, 2)) == (200, 200)
        door.path(layout.DRAINING).touch()
        assert (ready(door, 1), ready(door, 2)) == (503, 503)
    finally:
        other.stop()


def test_where_a_cluster_is_only_growing_its_side_is_not_ready(door: Door) -> None:
    go_over(door.macs[0])
    growing = door.path(layout.growing(door.macs[0].serve_port))
    growing.touch()
    assert ready(door, 2) == 503
    growing.unlink()
    assert ready(door, 2) == 200


def test_a_door_of_an_older_raylab_asks_about_side_one(door: Door) -> None:
    assert door.ready(gateway.READY_PATH)[0] == 200
    go_over(door.macs[0])
    assert door.ready(gateway.READY_PATH)[0] == 503


def test_a_port_of_neither_side_is_not_ready(door: Door) -> None:
    connection = HTTPConnection(ALPHA, door.fleet.ports.door_ready, timeout=5)
    connection.request("GET", gateway.READY_PATH, headers={gateway.UPSTREAM_HEADER: f"{ALPHA}:22"})
    assert connection.getresponse().status == 404


def test_macs_go_over_and_back_and_no_request_fails(door: Door) -> None:
    config = door.loaded()
    with ThreadPoolExecutor(4) as pool:
        for mac in (*door.macs, *reversed(door.macs)):
            by = APART if mac.serve_port == door.fleet.ports.serve_http else -APART
            asked = [pool.submit(door.chat) for _ in range(8)]
            assert {each.result().status for each in asked} == {200}
            go_over(mac, by)
            assert {door.chat().status for _ in range(8)} == {200}
            until("both Macs again", lambda: served_by(door) == {ALPHA, BETA})
    assert door.loaded() == config
