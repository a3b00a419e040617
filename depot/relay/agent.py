"""The relay's agent: takes orders as JSON lines on stdin, fetches, serves, and reports on stdout.

It lives as long as the control machine speaks to it. The end of stdin, or silence, ends it at once; what has
come stays on the disk and is looked at by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import re
import resource
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .fetcher import Fetcher
from .held import DiskError, Held
from .link import Caller
from .parcel import Parcel
from .pieces import Pieces
from .pipeline import Finisher, Verifier
from .server import Shared, listen
from .upstreams import Upstreams
from .wire import Lines, Tls

# Seconds without a word after which the control machine counts as gone.
SILENCE_S = 30.0
REPORT_S = 0.5
# Seconds for which a folder that another agent uses is waited for: it may still be ending.
FOLDER_S = 40.0
Order = Mapping[str, Any]


class Agent:
    """One agent. `run` returns when it is over."""

    def __init__(self, orders: int, reports: int) -> None:
        """The descriptors that orders come from and reports go to."""
        self._orders = orders
        self._lines = Lines(reports)
        self._silence = SILENCE_S
        self._news = threading.Condition()
        self._parcels: dict[str, Parcel] = {}
        self._held: dict[Path, Held] = {}
        self._folders: dict[Path, int] = {}
        self._shared: Shared | None = None
        self._examining: Parcel | None = None
        self._known: dict[str, Callable[[Order], None]] = {
            "listen": self._listen,
            "hold": self._hold,
            "fetch": self._fetch,
            "recheck": self._recheck,
            "stats": self._stats,
            "alive": lambda _: None,
        }
        # What may take long, in order: listening, looking at the disk.
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._finisher = Finisher(self._finished, self._not_finished)
        self._fetcher = Fetcher(self._news, self._lines, Verifier(self._finisher), self._fail)
        for work in (self._work, self._report):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def run(self) -> None:
        """Follow orders until they end."""
        rest = b""
        # Not the clock but the pipe decides: after a pause of this process, orders may be waiting in it.
        while select.select([self._orders], [], [], self._silence)[0]:
            data = os.read(self._orders, 1 << 20)
            if not data:
                break
            *orders, rest = (rest + data).split(b"\n")
            for order in orders:
                self._obey(order)
        self._lines.flush(1.0)

    # Orders

    def _obey(self, line: bytes) -> None:
        about: dict[str, object] = {}
        try:
            order = json.loads(line)
            what = order["do"]
            if "parcel" in order:
                about = {"parcel": order["parcel"]}
            if what not in self._known:
                raise ValueError(f"there is no order {what!r}")
            self._known[what](order)
        except KeyError as problem:
            self._lines.say("error", error=f"an order lacks {problem}", **about)
        except (ValueError, TypeError, AttributeError, OSError) as problem:
            # Never the order itself: it may hold the secret.
            self._lines.say("error", error=f"an order cannot be followed: {problem}", **about)

    def _listen(self, order: Order) -> None:
        if self._shared:
            raise ValueError("this agent listens already")
        self._silence = float(order.get("silence", SILENCE_S))
        secret = bytes.fromhex(order["secret"])
        tls = Tls.of(order["tls"]) if order.get("tls") else None
        addresses, port = tuple(order["addresses"]), int(order["port"])
        shared = self._shared = Shared(self._parcels, secret, order["peers"], tls)

        def begin() -> None:
            try:
                self._lines.say("listening", port=listen(addresses, port, shared))
                self._fetcher.start(Caller(addresses, secret, tls))
            except OSError as problem:
                self._lines.say("error", error=str(problem.strerror))

        self._jobs.put(begin)

    def _hold(self, order: Order) -> None:
        name, folder = order["parcel"], Path(order["folder"])
        if name in self._parcels or not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
            raise ValueError(f"{name} is held already, or no name for a parcel")
        counted = Counter(entry["sha256"] for entry in order["objects"])
        if twice := sorted(sha256 for sha256, count in counted.items() if count > 1):
            raise ValueError(f"{', '.join(twice)}: twice in parcel {name}")
        objects = [self._object(entry, folder) for entry in order["objects"]]
        parcel = self._parcels[name] = Parcel(name, objects, folder, self._news)
        deep = bool(order.get("deep"))
        self._jobs.put(lambda: self._examine(parcel, deep))

    def _object(self, entry: Order, folder: Path) -> Held:
        pieces = Pieces(entry["sha256"], entry["size"], entry["piece"], bytes.fromhex(entry["hashes"]))
        source = Path(entry["path"]) if entry.get("path") else None
        held = Held(pieces, folder, source, self._news)
        # Parcels that share an object share what is known of it, and its file has one writer.
        known = self._held.setdefault(held.name, held)
        if (known.size, known.piece, known.hashes) != (held.size, held.piece, held.hashes):
            raise ValueError(f"{held.name}: another parcel cuts it into other pieces")
        return known

    def _fetch(self, order: Order) -> None:
        parcel = self._parcels[order["parcel"]]
        upstreams = Upstreams([(str(host), int(port)) for host, port in order["upstreams"]])
        with self._news:
            parcel.upstreams = upstreams
            if parcel.examined:
                parcel.failure = None
        self._want(parcel)

    def _recheck(self, order: Order) -> None:
        parcel = self._parcels[order["parcel"]]
        self._jobs.put(lambda: self._recheck_now(parcel))

    def _stats(self, _: Order) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._lines.say(
            "stats",
            sent=self._shared.sent if self._shared else 0,
            received=sum(parcel.received for parcel in self._parcels.values()),
            cpu=round(used.ru_utime + used.ru_stime, 3),
            # Darwin counts in bytes.
            rss=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            refused=self._shared.refused if self._shared else 0,
        )

    # What takes long

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _examine(self, parcel: Parcel, deep: bool) -> None:
        self._examining = parcel
        try:
            if any(not held.source for held in parcel.objects):
                self._reserve(parcel.folder)
            for held in parcel.objects:
                if deep or not held.examined:
                    held.examine(deep)
            there = parcel.objects[0].name.parent if parcel.objects else parcel.folder
            disk = os.statvfs(there)
        except DiskError as problem:
            self._fail(parcel, str(problem))
            return
        except OSError as problem:
            self._fail(parcel, f"{problem.filename or parcel.folder}: {problem.strerror}")
            return
        finally:
            self._examining = None
        parcel.examined = True
        needs = sum(held.needs for held in parcel.objects)
        free = disk.f_bavail * disk.f_frsize
        self._lines.say("holding", parcel=parcel.name, have=parcel.have, total=parcel.total, needs=needs, free=free)
        with self._news:
            self._news.notify_all()
        self._announce()

    def _recheck_now(self, parcel: Parcel) -> None:
        self._examine(parcel, deep=True)
        if not parcel.failure:
            self._want(parcel)

    def _reserve(self, folder: Path) -> None:
        """Makes the folder ours: two agents must not write to one .partial. Raises DiskError."""
        if folder in self._folders:
            return
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        deadline = time.monotonic() + FOLDER_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DiskError(f"{folder}: another relay agent uses it: end that one first") from None
                time.sleep(0.2)
            else:
                # For as long as this process lives.
                self._folders[folder] = descriptor
                return

    # What becomes of parcels

    def _want(self, parcel: Parcel) -> None:
        with self._news:
            if not parcel.wanted:
                parcel.wanted = True
                parcel.began = time.monotonic()
            if parcel not in self._fetcher.order:
                self._fetcher.order.append(parcel)
            self._news.notify_all()
        self._announce()

    def _finished(self, held: Held) -> None:
        for parcel in self._sharing(held):
            self._lines.say("object", parcel=parcel.name, sha256=held.sha256)
        self._announce()

    def _not_finished(self, held: Held, problem: OSError) -> None:
        for parcel in self._sharing(held):
            self._fail(parcel, f"cannot finish {held.name}: {problem.strerror}")

    def _sharing(self, held: Held) -> list[Parcel]:
        return [parcel for parcel in list(self._parcels.values()) if any(other is held for other in parcel.objects)]

    def _announce(self) -> None:
        """Says of each parcel, once, that it is whole."""
        with self._news:
            for parcel in list(self._parcels.values()):
                if parcel.wanted and parcel.examined and not parcel.failure and parcel.whole:
                    parcel.wanted = False
                    seconds = round(time.monotonic() - parcel.began, 3)
                    self._lines.say("whole", parcel=parcel.name, received=parcel.received, seconds=seconds)

    def _fail(self, parcel: Parcel, error: str) -> None:
        with self._news:
            parcel.failure = error
            parcel.wanted = False
            self._news.notify_all()
        self._lines.say("failed", parcel=parcel.name, error=error)

    def _report(self) -> None:
        while True:
            time.sleep(REPORT_S)
            if parcel := self._examining:
                self._lines.say("examining", parcel=parcel.name, have=parcel.have, total=parcel.total)
            for parcel in list(self._parcels.values()):
                fetching = parcel is self._fetcher.current or not parcel.missing()
                if parcel.wanted and parcel.examined and fetching:
                    self._progress(parcel)

    def _progress(self, parcel: Parcel) -> None:
        # Only `whole` says that all of it is there: what was verified last may not have its name yet.
        have = min(parcel.have, parcel.total - 1)
        fields = {"have": have, "received": parcel.received, "from": parcel.source, "starved": parcel.starved}
        with self._news:
            if parcel.wanted:
                self._lines.say("progress", parcel=parcel.name, **fields)


def main() -> None:
    """Run an agent on this process's stdin and stdout."""
    # A person's Ctrl-C is for the control machine, which then ends its agents.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.excepthook = _die
    Agent(sys.stdin.fileno(), sys.stdout.fileno()).run()
    # Threads may be waiting for a disk or a network that never answers.
    os._exit(0)


def _die(problem: threading.ExceptHookArgs) -> None:
    """Without one of its own threads an agent would only seem to be alive."""
    threading.__excepthook__(problem)
    os._exit(70)


if __name__ == "__main__":
    main()
