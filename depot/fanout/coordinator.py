"""Brings parcels to Macs: starts the agents, plans the chains, watches, plans anew, and says what became of it."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from depot.certificates import certificate_pair
from depot.errors import DepotError
from depot.fanout.channel import Channel, Line, Message
from depot.fanout.members import Mac, Member, Sent, Share
from depot.fanout.parcel import Parcel
from depot.fanout.plan import Standing, address_for, laggard, order, upstreams

SEED = "this machine"
TICK_S = 0.25
SHOW_S = 0.5
HEARTBEAT_S = 2.0
# An agent tells its progress every half second: after this it counts as frozen, and nobody waits for it.
SILENT_S = 3.0
# After this a frozen Mac fails.
GONE_S = 30.0
# How long the ready wait for those that still look at their disks.
READY_S = 3.0
# How often the order may change: a rate needs this long to show.
REORDER_S = 2.5


class Fanout:
    """One run: every parcel to all its Macs. `start`, then `wait` for each Mac and parcel, then `close`."""

    def __init__(
        self,
        parcels: Sequence[Parcel],
        members: Sequence[Member],
        seed: Channel,
        depot: Path,
        port: int,
        deep: bool = False,
        show: Callable[[Fanout, bool], None] = lambda _fanout, _waiting: None,
    ) -> None:
        """`seed` is the control machine's own agent; `deep` reads again what the Macs hold already.

        `show` is called twice a second, with whether somebody waits.
        """
        self.parcels = list(parcels)
        self.macs = {member.name: Mac(member) for member in members}
        self.stats: dict[str, Message] = {}
        self._depot, self._port, self._deep, self._show = depot, port, deep, show
        self._waiting = 0
        self._inbox: queue.Queue[tuple[str, Message | None]] = queue.Queue()
        self._changed = threading.Condition()
        self._seed = Line(SEED, seed, self._heard)
        self._seed_port = 0
        self._demoted: dict[str, list[str]] = {parcel.id: [] for parcel in parcels}
        self._orders: dict[str, list[str]] = {parcel.id: [] for parcel in parcels}
        self._reordered: dict[str, float] = {}
        self._mending: set[tuple[str, str]] = set()
        self._planned = False
        self._first_ready = 0.0
        self._ended = ""
        self._finished = threading.Event()

    # What callers do

    def start(self) -> None:
        """Start every agent and the work. Raises DepotError when a file of a parcel is not what it should be."""
        secret, tls = secrets.token_hex(32), None
        if any(parcel.private for parcel in self.parcels):
            pair = certificate_pair("raylab relay", [])
            tls = {"ca": pair.ca, "cert": pair.cert, "key": pair.key}
        self._seed.start()
        members = [mac.member for mac in self.macs.values()]
        peers = sorted({address for member in members for address in (member.address, member.fast) if address})
        listen: Message = {"do": "listen", "secret": secret, "peers": peers, "tls": tls}
        controls = sorted({member.control for member in members})
        here = controls if len(controls) == 1 else ["0.0.0.0"]
        self._seed.send({**listen, "addresses": here, "port": 0})
        for parcel in self.parcels:
            objects = parcel.described(self._depot, with_paths=True)
            self._seed.send({"do": "hold", "parcel": parcel.id, "folder": "", "deep": False, "objects": objects})
        for mac in self.macs.values():
            threading.Thread(target=self._open, args=(mac, listen), daemon=True).start()
        threading.Thread(target=self._run, daemon=True, name="fanout").start()

    def wait(self, mac: str, parcel: str) -> Share:
        """Wait until this Mac has all of this parcel, and damage found meanwhile elsewhere is mended.

        Raises DepotError when it never will.
        """
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._settled(mac, parcel) and not self._being_mended(parcel))
            self._waiting -= 1
        if problem := self.macs[mac].failed or self._ended:
            raise DepotError(problem)
        return self.macs[mac].shares[parcel]

    def close(self) -> Sent:
        """End every agent, asking what it cost. Call it when all waiting is over."""
        self._tell_all({"do": "stats"})
        lines = 1 + sum(1 for mac in self.macs.values() if mac.line and not mac.failed)
        with self._changed:
            self._changed.wait_for(lambda: len(self.stats) >= lines, timeout=10)
        self._finished.set()
        self._show(self, False)
        for line in self._lines():
            line.close()
        received = {name: int(self.stats.get(name, {}).get("received", 0)) for name in self.macs}
        cpu = sum(float(stats.get("cpu", 0)) for stats in self.stats.values())
        return Sent(int(self.stats.get(SEED, {}).get("sent", 0)), received, cpu)

    @property
    def closed(self) -> bool:
        """Whether the agents have been told to end."""
        return self._finished.is_set()

    def settled(self) -> bool:
        """Whether nothing is left to wait for."""
        return all(self._settled(name, parcel.id) for parcel in self.parcels for name in parcel.macs)

    def parcel(self, parcel: str) -> Parcel:
        """A parcel by its id."""
        return next(known for known in self.parcels if known.id == parcel)

    def name_at(self, where: str) -> str:
        """Whose agent is at `address:port`."""
        host = where.rpartition(":")[0]
        members = [mac.member for mac in self.macs.values()]
        return next((member.name for member in members if host in (member.address, member.fast)), SEED)

    # The agents

    def _open(self, mac: Mac, listen: Message) -> None:
        name, member = mac.member.name, mac.member
        try:
            line = Line(name, member.open(), self._heard)
        except Exception as error:  # paramiko raises many kinds; whichever it is, this Mac has no agent
            self._heard(name, {"is": "error", "error": f"the relay's agent does not start: {error}"})
            self._heard(name, None)
            return
        # Before it is heard: an agent may end at once, and then its last words are asked for.
        mac.line = line
        line.start()
        if mac.failed:
            # It has been given up meanwhile.
            line.close()
            return
        addresses = [address for address in (member.address, member.fast) if address]
        line.send({**listen, "addresses": addresses, "port": self._port})
        for parcel in self.parcels:
            if name in parcel.macs:
                objects = parcel.described(self._depot, with_paths=False)
                hold: Message = {"do": "hold", "parcel": parcel.id, "folder": member.folder, "objects": objects}
                line.send({**hold, "deep": self._deep})

    def _heard(self, name: str, message: Message | None) -> None:
        self._inbox.put((name, message))

    def _lines(self) -> list[Line]:
        return [self._seed, *(mac.line for mac in self.macs.values() if mac.line)]

    def _tell_all(self, message: Message) -> None:
        for line in self._lines():
            line.send(message)

    # The loop

    def _run(self) -> None:
        beat = shown = 0.0
        try:
            while not self._finished.is_set():
                try:
                    name, message = self._inbox.get(timeout=TICK_S)
                    self._hear(name, message)
                except queue.Empty:
                    pass
                now = time.monotonic()
                if now - beat >= HEARTBEAT_S:
                    beat = now
                    self._tell_all({"do": "alive"})
                self._look(now)
                if now - shown >= SHOW_S:
                    shown = now
                    self._show(self, self._waiting > 0)
                with self._changed:
                    self._changed.notify_all()
        except Exception as error:
            self._ended = f"the relay's plan failed: {type(error).__name__}: {error}"
            with self._changed:
                self._changed.notify_all()
            raise

    def _hear(self, name: str, message: Message | None) -> None:
        if name == SEED:
            self._hear_seed(message)
            return
        mac = self.macs[name]
        mac.heard_at = time.monotonic()
        if message is None:
            words = mac.line.last_words() if mac.line else ""
            self._fail(mac, f"the connection to its relay agent ended{f' ({words})' if words else ''}")
            return
        if mac.silent:
            mac.silent = False
            self._plan_all()
        kind = message.get("is")
        if kind == "listening":
            mac.port = int(message["port"])
        elif kind == "holding":
            mac.free = int(message["free"])
            share = Share(int(message["total"]), int(message["have"]), int(message["needs"]))
            mac.shares[message["parcel"]] = share
            self._mended(name, message["parcel"])
            if self._planned:
                self._admit(mac)
        elif kind in ("progress", "whole"):
            self._progress(mac, message)
        elif kind == "damaged":
            self._damaged(mac, message)
        elif kind == "stats":
            self.stats[name] = message
        elif kind in ("failed", "error"):
            self._fail(mac, str(message.get("error")))

    def _hear_seed(self, message: Message | None) -> None:
        if message is None:
            if not self._finished.is_set():
                self._ended = f"the relay's agent on this machine ended: {self._seed.last_words()}"
        elif message.get("is") == "listening":
            self._seed_port = int(message["port"])
        elif message.get("is") == "stats":
            self.stats[SEED] = message
        elif message.get("is") in ("failed", "error"):
            self._ended = f"the relay's agent on this machine: {message.get('error')}"

    def _progress(self, mac: Mac, message: Message) -> None:
        share = mac.shares[message["parcel"]]
        share.received = int(message["received"])
        if message["is"] == "whole":
            share.progressed(share.total, time.monotonic())
            share.starved = False
            self._mended(mac.member.name, message["parcel"])
            return
        share.progressed(int(message["have"]), time.monotonic(), message["from"])
        share.starved = bool(message["starved"])

    def _damaged(self, mac: Mac, message: Message) -> None:
        """A piece that was sent wrong: whoever sent it looks at its own copy again."""
        parcel = self.parcel(message["parcel"])
        other = self.macs.get(self.name_at(str(message["from"])))
        if other and other.line:
            self._mending.add((other.member.name, parcel.id))
            other.line.send({"do": "recheck", "parcel": parcel.id})
            return
        item = next(item for item in parcel.items if item.sha256 == message["sha256"])
        problem = f"{item.path} on this machine is damaged. Remove it and run this again"
        for name in parcel.macs:
            if not self._settled(name, parcel.id):
                self._fail(self.macs[name], problem)

    # Decisions

    def _look(self, now: float) -> None:
        if self._ended:
            return
        if not self._planned:
            self._plan_first(now)
        for mac in self.macs.values():
            if not mac.failed:
                self._listen(mac, now - mac.heard_at)
        if not self._planned:
            return
        for parcel in self.parcels:
            self._reorder(parcel, now)
        self._name_the_unreached(now)

    def _listen(self, mac: Mac, quiet: float) -> None:
        """What follows from a Mac's silence of so many seconds."""
        if not mac.ready(self.parcels):
            if quiet > GONE_S:
                self._fail(mac, f"its relay agent has said nothing for {quiet:.0f} s. Run this again")
        elif self._planned and mac.unfinished():
            if quiet > GONE_S:
                self._fail(mac, f"it stopped answering {quiet:.0f} s ago. What it has stays there: run this again")
            elif quiet > SILENT_S and not mac.silent:
                mac.silent = True
                self._demote(mac.member.name)

    def _plan_first(self, now: float) -> None:
        """Begin when all are ready, or when the ready have waited for the others long enough."""
        present = [mac for mac in self.macs.values() if not mac.failed]
        ready = [mac for mac in present if mac.ready(self.parcels)]
        if ready and not self._first_ready:
            self._first_ready = now
        late = now - self._first_ready > READY_S
        if not self._seed_port or not ready or (len(ready) < len(present) and not late):
            return
        self._planned = True
        for mac in ready:
            self._admit(mac)

    def _admit(self, mac: Mac) -> None:
        """Let a Mac in that has said all it holds, if its disk has room."""
        if not mac.ready(self.parcels):
            return
        if shortage := mac.shortage():
            self._fail(mac, shortage)
        else:
            self._plan_all()

    def _plan_all(self) -> None:
        for parcel in self.parcels:
            self._plan(parcel)

    def _plan(self, parcel: Parcel) -> None:
        """Tell every Mac whom to ask now, where that is not what it was told before."""
        if not self._planned:
            return
        there = [mac for mac in self._sharing(parcel) if not mac.silent]
        named = {mac.member.name: mac for mac in there}
        standings = [mac.standing(parcel.id) for mac in there]
        ordered = order(standings, self._orders[parcel.id], self._demoted[parcel.id])
        self._orders[parcel.id] = [standing.name for standing in ordered]
        for name, sources in upstreams(standings, SEED, self._orders[parcel.id], self._demoted[parcel.id]).items():
            mac = named[name]
            plan = [self._where(mac, named.get(source)) for source in sources]
            share = mac.shares[parcel.id]
            if mac.line and plan != share.sent_plan:
                share.sent_plan = plan
                mac.line.send({"do": "fetch", "parcel": parcel.id, "upstreams": plan})

    def _sharing(self, parcel: Parcel) -> list[Mac]:
        return [mac for mac in self.macs.values() if mac.listening and parcel.id in mac.shares]

    def _where(self, asking: Mac, asked: Mac | None) -> list[object]:
        if asked is None:
            return [asking.member.control, self._seed_port]
        members = [mac.member for mac in self.macs.values()]
        addresses = {member.name: member.address for member in members}
        fast = {member.name: member.fast for member in members if member.fast}
        return [address_for(asking.member.name, asked.member.name, addresses, fast), asked.port]

    def _demote(self, name: str, parcels: Sequence[Parcel] = ()) -> None:
        for parcel in parcels or self.parcels:
            if name in parcel.macs:
                if name not in self._demoted[parcel.id]:
                    self._demoted[parcel.id].append(name)
                self._plan(parcel)

    def _reorder(self, parcel: Parcel, now: float) -> None:
        """Move a Mac that holds up the others to the end of its chain."""
        sharing = [mac for mac in self._sharing(parcel) if not mac.silent]
        if not any(mac.shares[parcel.id].rate for mac in sharing):
            return
        since = self._reordered.setdefault(parcel.id, now)
        if now - since < REORDER_S:
            return
        standings = [self._judged(mac, mac.shares[parcel.id], parcel.id) for mac in sharing]
        if slow := laggard(standings, self._orders[parcel.id], self._demoted[parcel.id], parcel.piece):
            self._reordered[parcel.id] = now
            self._demote(slow, [parcel])

    def _judged(self, mac: Mac, share: Share, parcel: str) -> Standing:
        """With the one that it fetches from, once its rate from there is known."""
        source = self.name_at(share.source) if share.source and share.measured else None
        return replace(mac.standing(parcel), source=source)

    def _name_the_unreached(self, now: float) -> None:
        """A Mac that answers us and yet receives nothing from anybody, while nobody else is ahead of it."""
        for mac in self.macs.values():
            if not mac.failed and (problem := mac.unreached(now)):
                self._fail(mac, problem)

    def _fail(self, mac: Mac, problem: str) -> None:
        if mac.failed or self._finished.is_set():
            return
        mac.failed = problem
        if mac.line:
            mac.line.close()
        self._plan_all()

    def _mended(self, name: str, parcel: str) -> None:
        """A Mac that looked at its copy again holds all of it, unless some is to come anew."""
        if self.macs[name].shares[parcel].whole:
            self._mending.discard((name, parcel))

    def _being_mended(self, parcel: str) -> bool:
        return any(held == parcel and not self.macs[name].failed for name, held in list(self._mending))

    def _settled(self, name: str, parcel: str) -> bool:
        mac = self.macs.get(name)
        # One that is not there has failed before the fan-out began.
        return mac is None or bool(mac.failed or self._ended) or (parcel in mac.shares and mac.shares[parcel].whole)
