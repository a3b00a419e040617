"""Which Macs a rollback takes back. Pure: others look, and act.

Upgrades are numbered. What a Mac runs, and what it keeps to go back to, each have the number of the upgrade in whose
turn they came. So an upgrade that stopped half-way is taken back where it has come to, and a rollback that was
interrupted goes on with the Macs that it has not come to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Turned:
    """The turns of one Mac."""

    upgrade: int = 0
    """The number of the upgrade that brought what it runs; 0 when none did."""
    kept: int | None = None
    """That of what it keeps to go back to; None when it keeps nothing."""
    release: str = ""
    """The id of the release that it keeps."""


def last(turned: Mapping[str, Turned]) -> int:
    """The number of the fleet's last upgrade that is not taken back; `turned` is by Mac."""
    return max((mac.upgrade for mac in turned.values()), default=0)


def number(turned: Mapping[str, Turned], again: Collection[str]) -> int:
    """The number of an upgrade that begins or goes on; `again` are the Macs that have ended a turn and need another.

    It is the last one that goes on as long as those who have had their turn in it need none.
    """
    at = last(turned)
    return at + 1 if not at or any(turned[name].upgrade == at for name in again) else at


def goes_back(turned: Mapping[str, Turned]) -> tuple[str, ...]:
    """The Macs whose last turn was in the last upgrade, and that keep what they ran before it.

    None when a later upgrade has been taken back where it had come to: one rollback takes one upgrade back.
    """
    at = last(turned)
    if any(mac.kept is not None and mac.kept > at for mac in turned.values()):
        return ()
    return tuple(name for name, mac in turned.items() if mac.upgrade == at and mac.kept is not None and mac.kept < at)
