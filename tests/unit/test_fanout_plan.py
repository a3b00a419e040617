"""Who fetches from whom: the chain's order, its holders, and who moves to its end."""

from __future__ import annotations

from depot.fanout.plan import Standing, address_for, chains, laggard, upstreams

MIB = 2**20
TOTAL = 100 * MIB


def mac(name: str, have: int = 0, rate: float = 0.0, source: str | None = None, *, fast: bool = False) -> Standing:
    return Standing(name, have * MIB, TOTAL, rate * MIB, fast, source)


def test_macs_that_hold_nothing_form_one_chain_from_the_control_machine() -> None:
    assert upstreams([mac("a"), mac("b"), mac("c")], "seed") == {
        "a": ["seed"],
        "b": ["a", "seed"],
        "c": ["b", "a", "seed"],
    }


def test_every_holder_starts_a_chain_and_the_control_machine_is_the_last_resort() -> None:
    macs = [mac("a", 100), mac("b"), mac("c", 100), mac("d"), mac("e")]
    assert chains(macs) == [["a", "b", "e"], ["c", "d"]]
    assert upstreams(macs, "seed") == {
        "b": ["a", "c", "seed"],
        "e": ["b", "a", "c", "seed"],
        "d": ["c", "a", "seed"],
    }


def test_more_holders_than_fetchers_start_no_empty_chains() -> None:
    assert chains([mac("a", 100), mac("b", 100), mac("c")]) == [["a", "c"]]


def test_nothing_is_planned_for_macs_that_have_everything() -> None:
    assert upstreams([mac("a", 100)], "seed") == {}
    assert chains([]) == []


def test_fast_links_come_first_then_those_that_hold_most_then_the_demoted_in_their_order() -> None:
    macs = [mac("a"), mac("b", 50), mac("c", fast=True), mac("d"), mac("e")]
    assert chains(macs, demoted=["d", "a"]) == [["c", "b", "e", "d", "a"]]


def test_those_that_are_on_their_way_keep_their_places_and_the_new_come_after_them() -> None:
    macs = [mac("a", 30), mac("b", 31), mac("c", 32), mac("d", 90), mac("e", 95)]
    assert chains(macs, ["a", "b", "c"]) == [["a", "b", "c", "e", "d"]]
    assert chains(macs, ["a", "b", "c"], ["a"]) == [["b", "c", "e", "d", "a"]]


def test_a_mac_that_holds_up_those_behind_it_is_found() -> None:
    macs = [mac("a", 60, 20), mac("b", 40, 5, "a"), mac("c", 39, 5, "b")]
    assert laggard(macs, ["a", "b", "c"], ["x"], MIB) == "b"


def test_a_mac_that_waits_for_its_upstream_is_not_slow() -> None:
    macs = [mac("a", 60, 20), mac("b", 58, 5, "a"), mac("c", 57, 5, "b")]
    assert laggard(macs, ["a", "b", "c"], ["a"], MIB) is None


def test_what_the_upstream_reports_may_be_newer() -> None:
    macs = [mac("a", 60, 20), mac("b", 48, 13, "a"), mac("c", 47, 13, "b")]
    assert laggard(macs, ["a", "b", "c"], ["a"], MIB) is None


def test_a_mac_whose_upstream_is_dead_is_not_slow() -> None:
    macs = [mac("a", 60, 20), mac("b", 40, 20, "a"), mac("c", 39, 2, "b"), mac("d", 38, 2, "c")]
    assert laggard(macs, ["a", "b", "c", "d"], ["a"], MIB) is None


def test_the_last_one_may_be_slow() -> None:
    assert laggard([mac("a", 60, 20), mac("b", 20, 5, "a")], ["a", "b"], ["a"], MIB) is None


def test_nobody_is_moved_twice() -> None:
    macs = [mac("a", 60, 20), mac("b", 40, 5, "a"), mac("c", 39, 5, "b")]
    assert laggard(macs, ["a", "b", "c"], ["b", "c"], MIB) is None


def test_the_first_one_changes_places_once_because_nobody_could_tell_that_it_is_slow() -> None:
    macs = [mac("a", 20, 5), mac("b", 19, 5, "a"), mac("c", 18, 5, "b")]
    assert laggard(macs, ["a", "b", "c"], [], MIB) == "a"
    assert laggard(macs, ["b", "c", "a"], ["a"], MIB) is None


def test_the_first_one_stays_when_little_is_left() -> None:
    assert laggard([mac("a", 90, 5), mac("b", 89, 5, "a")], ["a", "b"], [], MIB) is None


def test_a_lone_mac_is_left_alone() -> None:
    assert laggard([mac("a", 20, 5)], ["a"], [], MIB) is None


def test_two_macs_on_the_faster_network_use_it() -> None:
    addresses = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}
    fast = {"a": "10.99.0.1", "b": "10.99.0.2"}
    assert address_for("a", "b", addresses, fast) == "10.99.0.2"
    assert address_for("c", "b", addresses, fast) == "10.0.0.2"
    assert address_for("a", "c", addresses, fast) == "10.0.0.3"
