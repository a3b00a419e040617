"""Whom to ask for a parcel: its upstreams, nearest first, and what is known of each since the plan came."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from .wire import Address

# Damaged pieces after which an upstream is passed over until a new plan comes.
STRIKES = 3
# How often every upstream may send the same piece damaged before there is no use in asking again.
ROUNDS = 3


class Upstreams:
    """One plan. A lost upstream is passed over until the end of the list is reached or a new plan comes."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = tuple(addresses)
        self._place = 0
        self._strikes: Counter[Address] = Counter()
        # By position of a piece that came damaged: how often, and who was asked for it in this round.
        self._damaged: Counter[int] = Counter()
        self._asked: defaultdict[int, set[Address]] = defaultdict(set)
        self._round_over = False

    def choose(self, position: int) -> Address:
        """Whom to ask for the piece at this position. There must be upstreams."""
        order = self.addresses[self._place :] + self.addresses[: self._place]
        left = [address for address in order if address not in self._asked[position]]
        return next((address for address in left if self._strikes[address] < STRIKES), left[0])

    def lost(self, address: Address, position: int) -> None:
        """This upstream, asked for what begins here, cannot be reached or has fallen silent."""
        if self.was_damaged(position):
            self._cross_off(address, position)
            return
        self._place = (self.addresses.index(address) + 1) % len(self.addresses)
        self._round_over = self._round_over or self._place == 0

    def damaged(self, address: Address, position: int) -> bool:
        """This upstream sent this piece damaged. False when all of them did so, again and again."""
        self._strikes[address] += 1
        self._damaged[position] += 1
        self._cross_off(address, position)
        return self._damaged[position] < ROUNDS * len(self.addresses)

    def was_damaged(self, position: int) -> bool:
        """Whether the piece at this position came damaged, so that it is asked for alone."""
        return self._damaged[position] > 0

    def round_over(self) -> bool:
        """Whether the end of the list was reached since this was last asked: time to pause."""
        over, self._round_over = self._round_over, False
        return over

    def _cross_off(self, address: Address, position: int) -> None:
        asked = self._asked[position]
        asked.add(address)
        if asked >= set(self.addresses):
            asked.clear()
            self._round_over = True
