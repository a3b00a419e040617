"""One file to 1, 2, 4 and 8 Macs over links of 200 Mbit/s, by the relay chain and by what one would use instead.

Then what each gives between two hosts whose links have no limit, and the chain when something goes wrong.
Run by `make bench-fanout`. Needs root and a lab that is down; takes it down again. SIZE_MIB is the file's size,
RUNS how often each is measured (by default 3 times the chain, once the others): the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fanout import chain, macs, plot, references, torrent
from benchmarks.fanout.faults import Faults

SIZE = int(os.environ.get("SIZE_MIB", "512")) * macs.MIB
RUNS = os.environ.get("RUNS")
UNSHAPED_SIZE = 1024 * macs.MIB
FLEETS = (1, 2, 4, 8)
CHAIN = "relay chain"
PARTS = ("fleets", "unshaped", "faults")
LIMIT = SIZE * 8 / macs.RATE
# What the chain is to reach, as parts of the limit, and what the control machine may send, as a part of the file.
TARGETS = {1: 1.06, 4: 1.11, 8: 1.15}
CONTROL_TARGET = 1.05

ABOUT = f"""\
{SIZE // macs.MIB} MiB of random bytes; {macs.RATE // 10**6} Mbit/s each way for every host.
ratio: to {LIMIT:.2f} s, which the bytes alone take; with the headers of TCP, IP and Ethernet it is 1.046 at best.
Time runs from when agents stand ready or nodes are connected, for scp and pyinfra from the start of the command.
cpu: user, system and interrupt time of all processors meanwhile, by /proc/stat; agents: what they say they used.
libtorrent runs under this machine's Python in the Macs' network namespaces. All disks are in memory."""


@dataclass(frozen=True)
class Result:
    """One method's median run."""

    macs: int
    method: str
    seconds: float
    ratio: float
    control: float
    """Bytes that left this machine, as a part of the file."""
    cpu: float
    agents_cpu: float | None = None
    starting: float | None = None
    """Seconds before, until the chain's agents stood ready."""

    def line(self) -> str:
        """For the terminal."""
        text = (
            f"N = {self.macs}  {self.method:<12}{self.seconds:7.2f} s  ratio {self.ratio:5.3f}  "
            f"control sends {self.control:4.2f}x  cpu {self.cpu:5.1f} s"
        )
        if self.agents_cpu is None:
            return text
        text += f" (agents {self.agents_cpu:.1f} s)  +{self.starting:.1f} s to start"
        if limit := TARGETS.get(self.macs):
            text += f"  {_judged(self.ratio, limit)}, control {_judged(self.control, CONTROL_TARGET)}"
        return text


def _judged(value: float, limit: float) -> str:
    return f"{'within' if value <= limit else 'over'} {limit}"


class Bench:
    """The file, and how it is measured."""

    def __init__(self) -> None:
        self.file, self.sha256 = macs.random_file("benchmark.bin", SIZE)
        self._torrent = torrent.make(self.file)

    def fleets(self) -> list[Result]:
        """Every method for every number of Macs, each line printed as soon as it is there."""
        macs.shape(macs.NAMES, macs.RATE_TEXT)
        results = []
        for count in FLEETS:
            for method in (self._chain, self._libtorrent, self._scp, self._pyinfra):
                runs = int(RUNS or (3 if method == self._chain else 1))
                found = sorted((method(macs.NAMES[:count]) for _ in range(runs)), key=lambda result: result.seconds)
                results.append(found[(runs - 1) // 2])
                print(results[-1].line(), flush=True)
        return results

    def _chain(self, names: Sequence[str]) -> Result:
        sent, cpu = macs.sent_by_control(), macs.cpu_seconds()
        outcome = chain.send(self.file, self.sha256, names)
        sent, cpu = macs.sent_by_control() - sent, macs.cpu_seconds() - cpu
        macs.check_and_remove(names, chain.target(self.sha256), self.sha256)
        seconds = max(outcome.seconds.values())
        agents = outcome.sent.cpu
        return Result(len(names), CHAIN, seconds, seconds / LIMIT, sent / SIZE, cpu, agents, outcome.starting)

    def _scp(self, names: Sequence[str]) -> Result:
        result = self._timed("scp", names, lambda: references.scp(self.file, names))
        macs.check_and_remove(names, references.TARGET, self.sha256)
        return result

    def _pyinfra(self, names: Sequence[str]) -> Result:
        result = self._timed("pyinfra", names, lambda: references.pyinfra(self.file, names))
        macs.check_and_remove(names, references.TARGET, self.sha256)
        return result

    def _libtorrent(self, names: Sequence[str]) -> Result:
        result = self._timed("libtorrent", names, lambda: torrent.send(self._torrent, names))
        torrent.check_and_remove(names, self.file, self.sha256)
        return result

    def _timed(self, method: str, names: Sequence[str], send: Callable[[], float]) -> Result:
        sent, cpu = macs.sent_by_control(), macs.cpu_seconds()
        seconds = send()
        sent, cpu = macs.sent_by_control() - sent, macs.cpu_seconds() - cpu
        return Result(len(names), method, seconds, seconds / LIMIT, sent / SIZE, cpu)


def unshaped() -> dict[str, float]:
    """Bytes per second from this machine to one Mac without a limit; 1 GiB."""
    name = macs.NAMES[0]
    macs.shape(macs.NAMES, "none")
    file, sha256 = macs.random_file("gigabyte.bin", UNSHAPED_SIZE)

    def relay(private: bool) -> float:
        outcome = chain.send(file, sha256, [name], private=private)
        macs.check_and_remove([name], chain.target(sha256), sha256)
        return outcome.seconds[name]

    def scp() -> float:
        seconds = references.scp(file, [name])
        macs.check_and_remove([name], references.TARGET, sha256)
        return seconds

    methods = {CHAIN: lambda: relay(False), f"{CHAIN} with TLS": lambda: relay(True), "scp": scp}
    rates = {}
    for method, seconds in methods.items():
        rates[method] = file.stat().st_size / statistics.median(seconds() for _ in range(int(RUNS or 3)))
    rates["iperf3, which stores nothing"] = references.iperf3(name)
    for method, rate in rates.items():
        print(f"unshaped, to one Mac  {method:<28}{rate / 1e6:7.0f} MB/s", flush=True)
    file.unlink()
    return rates


def measure(parts: Sequence[str]) -> dict[str, object]:
    """The parts, by name."""
    found: dict[str, object] = {}
    bench = Bench()
    if "fleets" in parts:
        found["fleets"] = [asdict(result) for result in bench.fleets()]
    if "unshaped" in parts:
        found["unshaped"] = unshaped()
    if "faults" in parts:
        macs.shape(macs.NAMES, macs.RATE_TEXT)
        rows = []
        for row in Faults(bench.file, bench.sha256).rows():
            print(row.line(), flush=True)
            rows.append(asdict(row))
        found["faults"] = rows
    return found


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(prog="bench-fanout", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default")
    parser.add_argument("--bare", action="store_true", help="Macs without the shared release: the lab's own Python")
    parser.add_argument("--out", type=Path, default=macs.ROOT / "docs", help="where fanout.json and fanout.svg go")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"{', '.join(unknown)}: there are {', '.join(PARTS)}")
    # So that everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The file, its copies; and the larger one of the part without limits.
    with macs.booted(SIZE + max(len(macs.NAMES) * SIZE, 2 * UNSHAPED_SIZE), bare=arguments.bare):
        print(ABOUT, flush=True)
        found = {"size": SIZE, "rate": macs.RATE, **measure(parts)}
    (arguments.out / "fanout.json").write_text(json.dumps(found, indent=1) + "\n")
    if "fleets" in parts:
        (arguments.out / "fanout.svg").write_text(plot.drawn(found))


if __name__ == "__main__":
    main()
