"""What is known of each agent while artifacts travel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from depot.fanout.channel import Channel, Line
from depot.fanout.parcel import Parcel
from depot.fanout.plan import WINDOW_S, Standing
from fleet.layout import DEPOT

GB = 10**9
# What stays free on a Mac's disk.
SPARE_BYTES = 10**9
# Whoever has received nothing for so many seconds can reach nobody.
UNREACHED_S = 20.0


@dataclass(frozen=True)
class Member:
    """A Mac that takes part: it wants something, or holds what others want."""

    name: str
    address: str
    """Where the other Macs reach its agent."""
    control: str
    """By which address it reaches the control machine."""
    open: Callable[[], Channel] = field(repr=False)
    """Starts the agent there."""
    fast: str | None = None
    """Its address on the faster network, such as Thunderbolt, that some of the Macs share."""
    folder: str = DEPOT
    """Where it keeps objects."""


@dataclass(frozen=True)
class Sent:
    """What a fan-out cost, in bytes."""

    by_seed: int
    received: dict[str, int]
    """By Mac, what came off the wire."""
    cpu: float
    """CPU seconds of all agents."""


@dataclass
class Share:
    """One parcel on one Mac."""

    total: int
    have: int = 0
    needs: int = 0
    received: int = 0
    source: str | None = None
    """The upstream it is fetching from, as address:port."""
    starved: bool = False
    sent_plan: list[list[object]] = field(default_factory=list)
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    grew_at: float = field(default_factory=time.monotonic)

    @property
    def whole(self) -> bool:
        return self.have >= self.total

    def progressed(self, have: int, now: float, source: str | None = None) -> None:
        """Remember what it has now, and from whom it fetches: another one may be faster or slower."""
        if have > self.have:
            self.grew_at = now
        if source != self.source:
            self.samples.clear()
        self.source = source
        self.have = have
        self.samples.append((now, have))
        while len(self.samples) > 2 and now - self.samples[1][0] >= WINDOW_S:
            self.samples.popleft()

    @property
    def measured(self) -> bool:
        """Whether its rate covers long enough to judge by."""
        return bool(self.samples) and self.samples[-1][0] - self.samples[0][0] > 0.7 * WINDOW_S

    @property
    def rate(self) -> float:
        """Bytes per second over the last seconds."""
        if len(self.samples) < 2:
            return 0.0
        (began, first), (ended, last) = self.samples[0], self.samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


@dataclass
class Mac:
    """One member's agent."""

    member: Member
    line: Line | None = None
    port: int = 0
    free: int = 0
    shares: dict[str, Share] = field(default_factory=dict)
    """By parcel id, since it said what it holds."""
    heard_at: float = field(default_factory=time.monotonic)
    silent: bool = False
    failed: str = ""
    """Why it takes no further part; empty while it does."""

    @property
    def listening(self) -> bool:
        return bool(self.port) and not self.failed

    def ready(self, parcels: list[Parcel]) -> bool:
        """Whether it has said what it holds of everything that it wants."""
        mine = [parcel.id for parcel in parcels if self.member.name in parcel.macs]
        return self.listening and all(parcel in self.shares for parcel in mine)

    def standing(self, parcel: str) -> Standing:
        """For the plan."""
        share = self.shares[parcel]
        return Standing(self.member.name, share.have, share.total, share.rate, self.member.fast is not None)

    def shortage(self) -> str:
        """What its disk lacks for all its parcels, as a sentence; empty when it has room."""
        needs = sum(share.needs for share in self.shares.values())
        short = needs + SPARE_BYTES - self.free
        if not needs or short <= 0:
            return ""
        return (
            f"its disk has {self.free / GB:.1f} GB free, and {needs / GB:.1f} GB are to come (1 GB stays free):"
            f" {short / GB:.1f} GB short. Free some there; nothing was sent to it"
        )

    def unreached(self, now: float) -> str:
        """That it gets nothing from anybody whom it was told to ask, as a sentence; empty while it does, or may yet."""
        share = next(iter(self.unfinished()), None)
        if not share or not share.sent_plan or share.source is not None or now - share.grew_at <= UNREACHED_S:
            return ""
        tried = ", ".join(f"{host}:{port}" for host, port in share.sent_plan)
        return (
            f"for {UNREACHED_S:.0f} s it reached none of {tried}. If a firewall is on there, let"
            " connections in for Python, or turn it off while this runs"
        )

    def unfinished(self) -> list[Share]:
        """The parcels that are still to come, in the order in which they do."""
        return [share for share in self.shares.values() if not share.whole]
