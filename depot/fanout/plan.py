"""Who fetches from whom: pure decisions, made anew whenever a Mac comes, goes, or proves slow.

The shape is a chain: control machine → Mac → Mac → …, each passing on what it has verified. Macs that hold
everything already each start a chain of their own, and then the control machine sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Below this share of its upstream's rate a Mac holds up everybody behind it.
SLOW = 0.7
# Up to so many pieces behind its upstream a Mac may just be waiting for the next one,
WAITING_PIECES = 3
# and what its upstream says may be newer by so many seconds.
REPORT_S = 0.5
# Seconds that a measured rate covers, and that must be left for a change of order to pay.
WINDOW_S = 2.0
WORTH_S = 8.0


@dataclass(frozen=True)
class Standing:
    """One Mac's progress with one parcel."""

    name: str
    have: int
    """Verified bytes."""
    total: int
    rate: float = 0.0
    """Bytes per second that its `have` grew by lately."""
    fast: bool = False
    """Whether it is on the faster network of the inventory, too."""
    source: str | None = None
    """The Mac that it is fetching from now."""

    @property
    def whole(self) -> bool:
        """Whether it holds everything."""
        return self.have >= self.total


def order(macs: Sequence[Standing], earlier: Sequence[str], demoted: Sequence[str]) -> list[Standing]:
    """The fetching Macs, first to last: as they stood `earlier`, since a change of upstream costs a piece or two.

    After those the new ones, fast links first, then those that hold most; the demoted last of all.
    """
    place = {name: index for index, name in enumerate(earlier)}
    last = {name: index for index, name in enumerate(demoted, 1)}
    fetching = [mac for mac in macs if not mac.whole]

    def key(mac: Standing) -> tuple[int, int, bool, int]:
        return last.get(mac.name, 0), place.get(mac.name, len(place)), not mac.fast, -mac.have

    return sorted(fetching, key=key)


def chains(macs: Sequence[Standing], earlier: Sequence[str] = (), demoted: Sequence[str] = ()) -> list[list[str]]:
    """The chains by name, each beginning with a Mac that holds everything, if there is one.

    Without such a Mac there is one chain, whose first Mac fetches from the control machine.
    """
    holders = [mac.name for mac in macs if mac.whole]
    fetching = [mac.name for mac in order(macs, earlier, demoted)]
    if not holders:
        return [fetching] if fetching else []
    count = min(len(holders), len(fetching))
    return [[holders[index], *fetching[index::count]] for index in range(count)]


def upstreams(
    macs: Sequence[Standing], seed: str, earlier: Sequence[str] = (), demoted: Sequence[str] = ()
) -> dict[str, list[str]]:
    """For each fetching Mac whom it asks, nearest first; the control machine is everybody's last resort."""
    holders = [mac.name for mac in macs if mac.whole]
    found = {}
    for chain in chains(macs, earlier, demoted):
        for index, name in enumerate(chain):
            if name in holders:
                continue
            nearest = chain[:index][::-1]
            found[name] = [*nearest, *(holder for holder in holders if holder not in nearest), seed]
    return found


def laggard(macs: Sequence[Standing], earlier: Sequence[str], demoted: Sequence[str], piece: int) -> str | None:
    """The Mac that holds up those behind it, and has not been moved to the end before; `piece` in bytes.

    When a chain's first Mac is the slow one, all behind it move at its rate and nobody can tell: so it
    changes places once, which costs a piece or two.
    """
    by_name = {mac.name: mac for mac in macs}
    fetching = order(macs, earlier, demoted)
    # Whom nobody fetches from delays nobody.
    followed = {mac.source for mac in fetching} - set(demoted)
    for mac in fetching:
        # Who sends to it now, not who shall: a Mac is not to blame for a dead upstream.
        ahead = by_name.get(mac.source or "")
        if mac.name not in followed or not ahead or ahead.whole:
            continue
        behind = ahead.have - mac.have - REPORT_S * ahead.rate
        if behind > WAITING_PIECES * piece and mac.rate < SLOW * ahead.rate:
            return mac.name
    for chain in chains(macs, earlier, demoted):
        rest = [by_name[name] for name in chain if not by_name[name].whole]
        if len(rest) > 1 and not any(mac.name in demoted for mac in rest) and _worth_a_try(rest[0]):
            return rest[0].name
    return None


def _worth_a_try(first: Standing) -> bool:
    return first.rate > 0 and (first.total - first.have) / first.rate > WORTH_S


def address_for(asking: str, asked: str, addresses: Mapping[str, str], fast: Mapping[str, str]) -> str:
    """By which address one Mac reaches another: on the faster network where both are on it."""
    return fast[asked] if asking in fast and asked in fast else addresses[asked]
