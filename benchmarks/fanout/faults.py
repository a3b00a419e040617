"""The relay chain when something goes wrong: four Macs, of which one in the middle of the chain is the victim."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout import chain, macs

NAMES = macs.NAMES[:4]
VICTIM = NAMES[2]
OTHERS = tuple(name for name in NAMES if name != VICTIM)
SLOW = "50mbit"


@dataclass(frozen=True)
class Row:
    """What a fault did: times as parts of the limit, bytes as parts of the file. None where there is none."""

    what: str
    others: float
    """When the last of the others had the file."""
    victim: float | None
    received: float | None
    """What came down the victim's cable in all."""
    control: float
    """What this machine sent in all."""
    control_bytes: int

    def line(self) -> str:
        """For the terminal."""
        victim = "   –" if self.victim is None else f"{self.victim:.2f}"
        received = "   –" if self.received is None else f"{self.received:.2f}x"
        return f"{self.what:<56}  others {self.others:.2f}  victim {victim}, receives {received:>5}  " + (
            f"control sends {self.control:.2f}x ({self.control_bytes / 1e6:.1f} MB)"
        )


class Faults:
    """All of them, on one file."""

    def __init__(self, file: Path, sha256: str) -> None:
        self._file, self._sha256, self._size = file, sha256, file.stat().st_size
        self._limit = self._size * 8 / macs.RATE
        self._sent = self._received = 0

    def rows(self) -> Iterator[Row]:
        """Measure one after another; a victim that is switched off or frozen is well again after it."""
        trials: list[Callable[[], Row]] = [self._back, self._dead, self._frozen, self._slow, self._killed, self._added]
        for trial in trials:
            macs.remove(NAMES, chain.target(""))
            yield trial()

    def _back(self) -> Row:
        transfer = self._begun()
        self._pause(transfer, 0.5)
        before = macs.received_by(VICTIM)
        macs.lab("power-off", VICTIM)
        time.sleep(2)
        macs.power_on(VICTIM)
        self._received -= before  # its counter began anew
        seconds = transfer.finish().seconds
        again = chain.Transfer(self._file, self._sha256, NAMES)
        again.begin()
        late = again.finish().seconds[VICTIM] + again.began - transfer.began
        return self._row("loses power at 50 %, is on after 2 s; then run again", {VICTIM: late, **seconds}, NAMES)

    def _dead(self) -> Row:
        transfer = self._begun()
        self._pause(transfer, 0.4)
        macs.lab("power-off", VICTIM)
        seconds = transfer.finish(OTHERS).seconds
        macs.power_on(VICTIM)
        return self._row("loses power at 40 %, for good", seconds, OTHERS)

    def _frozen(self) -> Row:
        transfer = self._begun()
        pid = chain.agent_pid(VICTIM)
        self._pause(transfer, 0.4)
        macs.inside(VICTIM, "sudo", "-n", "kill", "-STOP", pid)
        seconds = transfer.finish(OTHERS).seconds
        macs.inside(VICTIM, "sudo", "-n", "kill", "-KILL", pid)
        return self._row("freezes at 40 %, for good", seconds, OTHERS)

    def _slow(self) -> Row:
        macs.lab("shape", VICTIM, SLOW)
        try:
            seconds = self._begun().finish().seconds
        finally:
            macs.lab("shape", VICTIM, macs.RATE_TEXT)
        return self._row(f"has a link of {SLOW} from the start (its own limit: 4)", seconds, NAMES)

    def _killed(self) -> Row:
        self._count()
        command = [sys.executable, "-m", chain.__name__, str(self._file), self._sha256, *NAMES]
        first = subprocess.Popen(command, cwd=macs.ROOT, stdout=subprocess.PIPE, text=True)
        assert first.stdout
        try:
            if first.stdout.readline() != "begun\n":
                raise SystemExit(f"{' '.join(command)} does not begin")
            began = time.monotonic()
            time.sleep(self._limit / 2)
        finally:
            first.kill()
            first.wait()
        again = chain.Transfer(self._file, self._sha256, NAMES)
        again.begin()
        lost = again.began - began
        seconds = {name: lost + later for name, later in again.finish().seconds.items()}
        return self._row("kill -9 of the control process at 50 %; then run again", seconds, NAMES)

    def _added(self) -> Row:
        chain.send(self._file, self._sha256, OTHERS)
        seconds = self._begun().finish().seconds
        return self._row("is added to three that have the file", seconds, NAMES)

    def _begun(self) -> chain.Transfer:
        self._count()
        transfer = chain.Transfer(self._file, self._sha256, NAMES)
        transfer.begin()
        return transfer

    def _count(self) -> None:
        self._sent, self._received = macs.sent_by_control(), macs.received_by(VICTIM)

    def _pause(self, transfer: chain.Transfer, part: float) -> None:
        time.sleep(max(0.0, transfer.began + part * self._limit - time.monotonic()))

    def _row(self, what: str, seconds: dict[str, float], whole: Sequence[str]) -> Row:
        """`whole` must have the file now, and have it removed."""
        if missing := [name for name in whole if name not in seconds]:
            raise SystemExit(f"{what}: {', '.join(missing)} did not get the file")
        sent = macs.sent_by_control() - self._sent
        received = macs.received_by(VICTIM) - self._received if VICTIM in whole else None
        macs.check_and_remove(whole, chain.target(self._sha256), self._sha256)
        return Row(
            f"{VICTIM} {what}" if "control" not in what else what,
            max(seconds[name] for name in OTHERS) / self._limit,
            seconds[VICTIM] / self._limit if VICTIM in whole else None,
            received / self._size if received is not None else None,
            sent / self._size,
            sent,
        )
