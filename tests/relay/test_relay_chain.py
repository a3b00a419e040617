"""A parcel goes from the seed through a chain of agents, and what is there already stays."""

from __future__ import annotations

import os

from relay_fleet import Fleet, chain
from relay_harness import MIB, PIECE, Load, damage


def test_a_chain_of_four_ends_with_every_object_whole(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "wheels", 9 * MIB + 17, 0, 5, 300_000, PIECE, 3 * MIB, 1)
    seed, *macs = fleet.start(4, load)
    chain([seed, *macs], load)
    told = [mac.wait("whole", parcel="wheels") for mac in macs]
    assert all(load.is_whole_at(mac) for mac in macs)
    assert all(load.size <= said["received"] <= 1.05 * load.size for said in told)
    assert load.size <= seed.stats()["sent"] <= 1.05 * load.size
    assert sorted(said["sha256"] for said in macs[3].heard("object")) == sorted(set(load.sha256s) - _empty(load))


def _empty(load: Load) -> set[str]:
    return {entry["sha256"] for entry in load.objects if not entry["size"]}


def test_what_is_whole_is_not_read_again_unless_asked_to(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 2 * MIB)
    seed, mac = fleet.start(1, load)
    mac.fetch(load, seed)
    mac.wait("whole")
    assert mac.end() == 0
    damage(mac.at(load.sha256s[0]), PIECE + 1, keep_time=True)

    trusting = fleet.agent(1)
    assert trusting.hold(load)["have"] == load.size
    trusting.fetch(load, seed)
    assert trusting.wait("whole")["received"] == 0
    trusting.end()

    thorough = fleet.agent(1)
    held = thorough.hold(load, deep=True)
    assert (held["have"], held["needs"]) == (load.size - PIECE, PIECE)
    assert not thorough.at(load.sha256s[0]).exists()
    thorough.fetch(load, seed)
    assert thorough.wait("whole")["received"] == PIECE
    assert load.is_whole_at(thorough)


def test_a_file_that_was_touched_is_read_again_and_kept_when_right(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", 2 * MIB)
    seed, mac = fleet.start(1, load)
    mac.fetch(load, seed)
    mac.wait("whole")
    mac.end()
    os.utime(mac.at(load.sha256s[0]))
    mac = fleet.agent(1)
    held = mac.hold(load)
    assert (held["have"], held["needs"]) == (load.size, 0)
    assert load.is_whole_at(mac)


def test_two_parcels_share_an_object(fleet: Fleet) -> None:
    first = Load.made(fleet.home, "first", 2 * MIB, 3 * MIB)
    other = Load.made(fleet.home, "other", MIB)
    second = Load("second", (other.objects[0], first.objects[1]))
    seed, mac = fleet.start(1, first, second)
    mac.fetch(first, seed)
    mac.fetch(second, seed)
    mac.wait("whole", parcel="first")
    assert mac.wait("whole", parcel="second")["received"] == MIB
    assert mac.stats()["received"] == 6 * MIB
    assert all(mac.at(sha256).exists() for sha256 in first.sha256s + second.sha256s)


def test_two_agents_never_write_to_one_folder(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    _, mac = fleet.start(1, load)
    later = fleet.agent(2)
    later.order_hold(load, folder=mac.folder)
    later.say("stats")
    later.wait("stats")
    assert not later.heard("holding")
    mac.end()
    later.wait("holding")


def test_an_object_twice_in_a_parcel_is_refused(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    mac = fleet.agent(1)
    mac.order_hold(Load("twice", load.objects * 2))
    said = mac.wait("error", parcel="twice")
    assert load.sha256s[0] in said["error"]
    mac.say("fetch", parcel="twice", upstreams=[])
    mac.wait("error", parcel="twice")


def test_without_upstreams_it_waits_for_a_plan(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    seed, mac = fleet.start(1, load)
    mac.fetch(load)
    mac.wait("progress", **{"from": None, "starved": True})
    mac.fetch(load, seed)
    mac.wait("whole")


def test_when_all_upstreams_are_gone_it_waits_for_a_plan(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    seed, mac, *gone = fleet.start(3, load)
    for agent in gone:
        agent.kill()
    mac.fetch(load, *gone)
    mac.wait("progress", starved=True)
    mac.fetch(load, gone[0], seed)
    mac.wait("whole")
    assert not mac.heard("failed")


def test_links_are_not_followed(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB, 2 * MIB)
    seed, mac = fleet.agent(0), fleet.agent(1)
    mac.folder.mkdir()
    elsewhere = fleet.home / "elsewhere"
    elsewhere.write_bytes(b"not yours")
    mac.at(load.sha256s[0]).symlink_to(elsewhere)
    mac.partial(load.sha256s[1]).symlink_to(elsewhere)
    seed.hold(load, seed=True)
    assert mac.hold(load)["have"] == 0
    mac.fetch(load, seed)
    mac.wait("whole")
    assert load.is_whole_at(mac)
    assert elsewhere.read_bytes() == b"not yours"


def test_the_seed_says_when_a_file_is_not_what_it_should_be(fleet: Fleet) -> None:
    load = Load.made(fleet.home, "model", MIB)
    path = fleet.home / "files" / "model-0"
    path.write_bytes(path.read_bytes()[:-1])
    seed = fleet.agent(0)
    seed.order_hold(load, seed=True)
    assert str(path) in seed.wait("failed", parcel="model")["error"]
