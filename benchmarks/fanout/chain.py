"""raylab's relay chain, driven as a deploy drives it, through each Mac's own sshd.

As a program (`python -m benchmarks.fanout.chain FILE SHA256 MAC…`): a run to be killed half-way.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.fanout import macs
from depot.errors import DepotError
from depot.fanout.channel import ProcessChannel
from depot.fanout.coordinator import Fanout
from depot.fanout.members import Member, Sent, Share
from depot.fanout.parcel import Item, Parcel
from fleet.layout import DEPOT
from lab.network import HOST_ADDRESS

PORT = 7640
START_S = 30.0


@dataclass
class Outcome:
    """What became of one run."""

    sent: Sent
    starting: float
    """Seconds from the call until the first Mac was told whom to ask: logins, interpreters, a look at the disks."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By Mac, from then on until its file was whole, on its disk and under its name."""
    failed: dict[str, str] = field(default_factory=dict)


def _agent(folder: str) -> str:
    return f"import sys; sys.path.insert(0, {folder!r}); from relay.agent import main; main()"


def _member(name: str) -> Member:
    program, *rest = macs.ssh(name, "sudo", "-n", *macs.python(), "-I", "-c", _agent(macs.AGENT_FOLDER))
    # Else the ssh to a Mac without power would outlive this benchmark.
    command = [program, "-o", "ServerAliveInterval=5", *rest]
    return Member(name, macs.address(name), HOST_ADDRESS, partial(ProcessChannel, command))


def agent_pid(name: str) -> str:
    """The agent's pid on a Mac."""
    return macs.inside(name, "pgrep", "-o", "-f", f"^{macs.python()[-1]} -I -c import sys").strip()


def target(sha256: str) -> str:
    """The file on a Mac."""
    return f"{DEPOT}/{sha256}"


class Transfer:
    """One file to some Macs. `begin`, then `finish`."""

    def __init__(self, file: Path, sha256: str, names: Sequence[str], *, private: bool = False) -> None:
        item = Item(file.name, sha256, file.stat().st_size, file)
        self._parcel = Parcel("file", (item,), tuple(names), private)
        # The depot knows a file's pieces from when it fetched it.
        self._parcel.described(macs.WORK / "depot", with_paths=True)
        seed = ProcessChannel([sys.executable, "-I", "-c", _agent(str(macs.ROOT / "depot"))])
        members = [_member(name) for name in names]
        self.fanout = Fanout([self._parcel], members, seed, macs.WORK / "depot", PORT)
        self.began = self._starting = 0.0

    def begin(self) -> None:
        """Returns when the first Mac has been told whom to ask."""
        called = time.monotonic()
        self.fanout.start()
        while not any(share.sent_plan or share.whole for share in self._shares()):
            if time.monotonic() - called > START_S:
                raise SystemExit(f"no agent came up: {[mac.failed for mac in self.fanout.macs.values()]}")
            time.sleep(0.005)
        self.began = time.monotonic()
        self._starting = self.began - called

    def finish(self, names: Sequence[str] = ()) -> Outcome:
        """Waits for these Macs, by default for all, and ends every agent."""
        outcome = Outcome(Sent(0, {}, 0.0), self._starting)
        waiting = [threading.Thread(target=self._wait, args=(name, outcome)) for name in names or self._parcel.macs]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        outcome.sent = self.fanout.close()
        return outcome

    def _wait(self, name: str, outcome: Outcome) -> None:
        try:
            self.fanout.wait(name, self._parcel.id)
            outcome.seconds[name] = time.monotonic() - self.began
        except DepotError as problem:
            outcome.failed[name] = str(problem)

    def _shares(self) -> list[Share]:
        return [share for mac in self.fanout.macs.values() for share in list(mac.shares.values())]


def send(file: Path, sha256: str, names: Sequence[str], *, private: bool = False) -> Outcome:
    """One run from beginning to end. Raises SystemExit when a Mac did not get the file."""
    transfer = Transfer(file, sha256, names, private=private)
    transfer.begin()
    outcome = transfer.finish()
    if outcome.failed:
        raise SystemExit(f"relay chain: {outcome.failed}")
    return outcome


if __name__ == "__main__":
    running = Transfer(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    running.begin()
    print("begun", flush=True)
    running.finish()
