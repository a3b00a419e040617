"""Damaged bytes, on a disk or from an upstream, never get a final name."""

from __future__ import annotations

from pathlib import Path

from relay_fleet import Fleet
from relay_harness import MIB, PIECE, Load, damage


def test_damage_in_a_partial_file_costs_the_damaged_pieces(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 4 * MIB)
    seed, mac = fleet.agent(0), fleet.agent(1)
    seed.hold(load, seed=True)
    mac.folder.mkdir()
    partial = mac.partial(load.sha256s[0])
    # As it is left behind: three quarters of it, of which two pieces are not what they were; and a torn end.
    partial.write_bytes(Path(load.objects[0]["path"]).read_bytes()[: 3 * MIB + 100])
    damage(partial, 1)
    damage(partial, 5 * PIECE + 77)
    assert mac.hold(load)["have"] == 3 * MIB - 2 * PIECE
    mac.fetch(load, seed)
    assert mac.wait("whole")["received"] == MIB + 2 * PIECE
    assert load.is_whole_at(mac)


def test_a_partial_file_that_is_too_long_is_cut(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    mac = fleet.agent(1)
    mac.folder.mkdir()
    mac.partial(load.sha256s[0]).write_bytes(Path(load.objects[0]["path"]).read_bytes() + b"more")
    assert mac.hold(load)["have"] == load.size
    assert load.is_whole_at(mac)


def test_a_damaged_relay_is_passed_over_and_repaired(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 4 * MIB, 3 * MIB)
    seed, relay, mac = fleet.start(2, load)
    relay.fetch(load, seed)
    relay.wait("whole")
    damaged = relay.at(load.sha256s[1])
    damage(damaged, 2 * PIECE, keep_time=True)
    # Something uses the object by another name.
    view = fleet.home / "view"
    view.hardlink_to(damaged)

    mac.fetch(load, relay, seed)
    told = mac.wait("damaged", sha256=load.sha256s[1])
    assert (told["piece"], told["from"]) == (2, f"{relay.address}:{relay.port}")
    mac.wait("whole")
    assert load.is_whole_at(mac)

    relay.say("recheck", parcel=load.name)
    # It asks the seed for that piece at once, maybe before it tells what it holds.
    assert relay.wait("holding")["have"] in (load.size - PIECE, load.size)
    relay.fetch(load, seed)
    assert relay.wait("whole")["received"] == load.size + PIECE
    assert load.is_whole_at(relay)
    assert not view.samefile(relay.at(load.sha256s[1]))


def test_a_relay_that_is_damaged_all_over_is_left_alone(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 8 * MIB)
    seed, relay, mac = fleet.start(2, load)
    relay.fetch(load, seed)
    relay.wait("whole")
    for piece in range(8 * MIB // PIECE):
        damage(relay.at(load.sha256s[0]), piece * PIECE, keep_time=True)
    mac.fetch(load, relay, seed)
    mac.wait("whole")
    assert load.is_whole_at(mac)
    assert {said["from"] for said in mac.heard("damaged")} == {f"{relay.address}:{relay.port}"}
    assert len(mac.heard("damaged")) <= 3


def test_damage_at_the_seed_is_the_end_of_it(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 2 * MIB)
    seed, mac = fleet.start(1, load)
    damage(Path(load.objects[0]["path"]), PIECE)
    mac.fetch(load, seed)
    assert "damaged from every upstream" in mac.wait("failed", parcel="model")["error"]
    assert not mac.at(load.sha256s[0]).exists()

    seed.say("recheck", parcel="model")
    assert load.objects[0]["path"] in seed.wait("failed")["error"]


def test_a_recheck_that_finds_nothing_says_so(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    seed, mac = fleet.start(1, load)
    mac.fetch(load, seed)
    mac.wait("whole")
    mac.say("recheck", parcel="model")
    assert mac.wait("holding")["have"] == load.size
    assert mac.wait("whole")["received"] == load.size
