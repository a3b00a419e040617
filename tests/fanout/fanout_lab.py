"""Small fleets of real agents on loopback addresses, told by the real coordinator."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path

from depot.fanout.channel import ProcessChannel
from depot.fanout.coordinator import Fanout
from depot.fanout.members import Member
from depot.fanout.parcel import Item, Parcel

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "raylab-fanout"
AGENT = ("ip", "netns", "exec", NAMESPACE, sys.executable, "-m", "depot.relay.agent")
CONTROL = "127.0.1.100"
PORT = 6389
MIB = 2**20


@dataclass
class Lab:
    """Macs that are folders and processes of this machine."""

    home: Path
    started: list[Fanout] = field(default_factory=list)
    agents: dict[str, ProcessChannel] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Where a Mac keeps objects."""
        path = self.home / name / "depot"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def member(self, name: str, command: tuple[str, ...] = AGENT) -> Member:
        """A Mac: `mac3` has the address 127.0.1.3."""
        address = f"127.0.1.{name.removeprefix('mac')}"
        return Member(name, address, CONTROL, partial(self._open, name, command), folder=str(self.folder(name)))

    def _open(self, name: str, command: tuple[str, ...]) -> ProcessChannel:
        self.agents[name] = ProcessChannel(command, folder=str(ROOT))
        return self.agents[name]

    def item(self, name: str, size: int) -> Item:
        """A file of random bytes on the control machine."""
        path = self.home / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(size))
        return Item(name, sha256(path.read_bytes()).hexdigest(), size, path)

    def fanout(self, parcels: list[Parcel], members: list[Member], deep: bool = False) -> Fanout:
        """A started fan-out, ended with the test."""
        seed = ProcessChannel(AGENT, folder=str(ROOT))
        fanout = Fanout(parcels, members, seed, self.home / "control", PORT, deep)
        fanout.start()
        self.started.append(fanout)
        return fanout

    def holds(self, name: str, item: Item) -> bool:
        """Whether a Mac has the right bytes under the final name."""
        path = self.folder(name) / item.sha256
        return path.is_file() and sha256(path.read_bytes()).hexdigest() == item.sha256

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a Mac's agent."""
        os.kill(self.agents[name].pid, number)
