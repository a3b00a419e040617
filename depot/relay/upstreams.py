"""Whom to ask for a parcel: its upstreams, nearest first, and what is known of each since the plan came."""

from __future__ import annotations

from collections import Counter
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
        # By position of a piece: how often it came damaged, and how many upstreams further up to ask for it.
        self._damaged: Counter[int] = Counter()
        self._further: Counter[int] = Counter()
        self._round_over = False

    def choose(self, position: int) -> Address:
        """Whom to ask for the piece at this position. Raises IndexError when there are no upstreams."""
        if not self.addresses:
            raise IndexError("no upstreams")
        if all(self._strikes[address] >= STRIKES for address in self.addresses):
            self._strikes.clear()
        while self._strikes[self.addresses[self._place]] >= STRIKES:
            self._advance()
        return self.addresses[(self._place + self._further[position]) % len(self.addresses)]

    def lost(self, position: int) -> None:
        """The one that was chosen for this position cannot be reached, or has fallen silent."""
        if self.was_damaged(position):
            self._go_further(position)
        else:
            self._advance()

    def damaged(self, address: Address, position: int) -> bool:
        """This upstream sent this piece damaged. False when all of them did so, again and again."""
        self._strikes[address] += 1
        self._damaged[position] += 1
        self._go_further(position)
        return self._damaged[position] < ROUNDS * len(self.addresses)

    def was_damaged(self, position: int) -> bool:
        """Whether the piece at this position came damaged, so that it is asked for alone."""
        return self._damaged[position] > 0

    def round_over(self) -> bool:
        """Whether the end of the list was reached since this was last asked: time to pause."""
        over, self._round_over = self._round_over, False
        return over

    def _advance(self) -> None:
        self._place = (self._place + 1) % len(self.addresses)
        self._round_over = self._round_over or self._place == 0

    def _go_further(self, position: int) -> None:
        self._further[position] += 1
        self._round_over = self._round_over or self._further[position] % len(self.addresses) == 0
