"""What a person sees while artifacts travel: one line a Mac, on a terminal alive, elsewhere every ten seconds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from depot.fanout.coordinator import Fanout
from depot.fanout.members import Mac

SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Row:
    """One Mac's line."""

    mac: str
    what: str
    """The parcel that is on its way to it."""
    have: int
    total: int
    rate: float
    """Bytes per second."""
    doing: str
    """From whom it fetches, or what it waits for."""

    @property
    def left(self) -> str:
        """Time left, as minutes and seconds."""
        if self.rate <= 0:
            return "?"
        seconds = int((self.total - self.have) / self.rate + 0.5)
        return f"{seconds // 60}:{seconds % 60:02}"

    def text(self) -> str:
        """The line without a bar."""
        amounts = f"{self.have / 1e6:.0f} of {self.total / 1e6:.0f} MB, {self.rate / 1e6:.1f} MB/s, {self.left} left"
        return f"  {self.mac}: {self.what}: {amounts}, {self.doing}" if self.total else f"  {self.mac}: {self.doing}"


def rows(fanout: Fanout) -> list[Row]:
    """A line for each Mac that does not have everything yet."""
    found = []
    for mac in fanout.macs.values():
        wanted = [parcel for parcel in fanout.parcels if mac.member.name in parcel.macs]
        waiting = [parcel for parcel in wanted if parcel.id not in mac.shares or not mac.shares[parcel.id].whole]
        if mac.failed or not waiting:
            continue
        share = mac.shares.get(waiting[0].id)
        have, rate = (share.have, share.rate) if share else (0, 0.0)
        rate = 0.0 if mac.silent else rate
        total = share.total if share else 0
        found.append(Row(mac.member.name, waiting[0].title, have, total, rate, _doing(fanout, mac, waiting[0].id)))
    return found


def _doing(fanout: Fanout, mac: Mac, parcel: str) -> str:
    if not mac.port:
        return "starting its agent"
    if parcel not in mac.shares:
        return "looking at what its disk holds"
    share = mac.shares[parcel]
    if mac.silent:
        return "it does not answer"
    if not share.source:
        return "waiting for its turn" if not share.sent_plan else "connecting"
    name = fanout.name_at(share.source)
    return f"waiting for {name}" if share.starved else f"from {name}"


class Display:
    """Shows a fan-out on stderr; give its `show` to the Fanout."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._said = time.monotonic()

    def show(self, fanout: Fanout, waiting: bool) -> None:
        """The state of things; nothing is drawn while nobody waits, since something else is being shown then."""
        if not self._console.is_terminal:
            self._say(fanout, waiting)
        elif waiting:
            if not self._live:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(_table(rows(fanout)), refresh=True)
        elif self._live:
            self._live.stop()
            self._live = None

    def _say(self, fanout: Fanout, waiting: bool) -> None:
        if waiting and time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            for row in rows(fanout):
                print(row.text(), file=sys.stderr)


def _table(lines: list[Row]) -> Table:
    table = Table.grid(padding=(0, 2))
    for line in lines:
        bar = ProgressBar(total=line.total or 1, completed=line.have, width=24)
        amounts = f"{line.have / 1e6:.0f}/{line.total / 1e6:.0f} MB"
        table.add_row(f"  {line.mac}", line.what, bar, amounts, f"{line.rate / 1e6:.1f} MB/s", line.left, line.doing)
    return table
