"""Which Macs a rollback takes back, and how upgrades are numbered."""

from __future__ import annotations

import pytest

from fleet.rollback import Turned, goes_back, number

# What a fleet is after three upgrades, of which the last has come to all Macs, to one, and to none.
ENDED = {"alpha": Turned(3, 2), "beta": Turned(3, 2), "gamma": Turned(3, 2)}
STOPPED = {"alpha": Turned(2, 1), "beta": Turned(3, 2), "gamma": Turned(2, 1)}
BEFORE = {"alpha": Turned(2, 1), "beta": Turned(2, 1), "gamma": Turned(2, 1)}
TAKEN_BACK = {"alpha": Turned(2, 3), "beta": Turned(2, 3), "gamma": Turned(2, 3)}


@pytest.mark.parametrize(
    ("turned", "macs"),
    [
        (ENDED, ("alpha", "beta", "gamma")),
        (STOPPED, ("beta",)),
        (BEFORE, ("alpha", "beta", "gamma")),
        # A rollback that was interrupted, and one that has ended: it never goes forward again.
        (ENDED | {"beta": Turned(2, 3)}, ("alpha", "gamma")),
        (TAKEN_BACK, ()),
        # One upgrade at a time: this one had stopped half-way, and what the others run came with the one before.
        (BEFORE | {"beta": Turned(2, 3)}, ()),
        # Two that others had since, of which the last is to go.
        ({"alpha": Turned(4, 3), "beta": Turned(2, 3)}, ("alpha",)),
        # A Mac that came after the upgrade, and a fleet that never had one.
        (ENDED | {"delta": Turned()}, ("alpha", "beta", "gamma")),
        ({"alpha": Turned(), "beta": Turned()}, ()),
        ({}, ()),
    ],
)
def test_those_go_back_that_the_last_upgrade_has_come_to(turned: dict[str, Turned], macs: tuple[str, ...]) -> None:
    assert goes_back(turned) == macs


@pytest.mark.parametrize(
    ("turned", "again", "expected"),
    [
        ({"alpha": Turned(), "beta": Turned()}, ["alpha", "beta"], 1),
        (ENDED, ["alpha", "beta", "gamma"], 4),
        # It was interrupted, and goes on.
        (STOPPED, ["alpha", "gamma"], 3),
        # It failed, and the settings have changed since.
        (STOPPED, ["alpha", "beta", "gamma"], 4),
        (STOPPED, ["beta"], 4),
        # After a rollback it comes again; so it does after one that was interrupted.
        (TAKEN_BACK, ["alpha", "beta", "gamma"], 3),
        (ENDED | {"beta": Turned(2, 3)}, ["beta"], 3),
    ],
)
def test_an_upgrade_that_goes_on_has_its_number(turned: dict[str, Turned], again: list[str], expected: int) -> None:
    assert number(turned, again) == expected
