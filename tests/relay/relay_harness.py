"""Agents as real processes: started as on a Mac, told what to do as the control machine tells them."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "depot" / "relay"
START = "import sys; sys.path.insert(0, {folder!r}); from relay.agent import main; main()"
SECRET = "5e" * 32
MIB = 2**20
PIECE = 256 * 1024
VERIFIED = 978307200
# The machine that runs the tests may be busy with other things.
PATIENCE_S = 30.0

Message = dict[str, Any]


def command(home: Path) -> list[str]:
    """How an agent is started on a Mac that has the package in `home`/libexec."""
    return [sys.executable, "-I", "-c", START.format(folder=str(home / "libexec"))]


class Agent:
    """One agent and what it has said."""

    def __init__(self, home: Path, address: str, enter: Sequence[str] = ()) -> None:
        """`home` has the package as a Mac gets it; `enter` is a command that runs another one elsewhere."""
        self.address = address
        self.port = 0
        self.folder = home / address
        self.said: list[Message] = []
        self._mark = 0
        self._news = threading.Condition()
        self._ended = False
        self.errors = home / f"stderr-{address}"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*enter, *command(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd="/"
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def say(self, do: str, **fields: object) -> None:
        """Give an order."""
        self.write(json.dumps({"do": do, **fields}))

    def write(self, line: str) -> None:
        """Write a line as it is."""
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, kind: str, seconds: float = PATIENCE_S, least: int = 0, **fields: object) -> Message:
        """The next line of this kind with these values, and at least so many bytes in `have`."""

        def fits(said: Message) -> bool:
            right = all(said[name] == value for name, value in fields.items())
            return said["is"] == kind and right and said.get("have", least) >= least

        def found() -> int | None:
            places = range(self._mark, len(self.said))
            return next((place for place in places if fits(self.said[place])), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None or self._ended, seconds)
            place = found()
            assert place is not None, f"{self.address} did not say {kind} {fields}, but {self.said[self._mark :][-5:]}"
            self._mark = place + 1
            return self.said[place]

    def heard(self, kind: str) -> list[Message]:
        """All it has said of this kind."""
        return [said for said in list(self.said) if said["is"] == kind]

    def listen(self, peers: Sequence[str], **fields: object) -> None:
        """Have it listen on any free port."""
        common = {"addresses": [self.address], "port": 0, "secret": SECRET, "peers": list(peers), "tls": None}
        self.say("listen", **{**common, **fields})
        self.port = self.wait("listening")["port"]

    def hold(self, load: Load, *, seed: bool = False, deep: bool = False, folder: Path | None = None) -> Message:
        """Have it look at what it holds of a parcel."""
        self.order_hold(load, seed=seed, deep=deep, folder=folder)
        return self.wait("holding", parcel=load.name)

    def order_hold(self, load: Load, *, seed: bool = False, deep: bool = False, folder: Path | None = None) -> None:
        """The same, without waiting for the answer."""
        where = "" if seed else str(folder or self.folder)
        self.say("hold", parcel=load.name, folder=where, deep=deep, objects=load.described(paths=seed))

    def fetch(self, load: Load, *upstreams: Agent) -> None:
        """Give it a plan."""
        self.say("fetch", parcel=load.name, upstreams=[[other.address, other.port] for other in upstreams])

    def stats(self) -> Message:
        """What it has counted so far."""
        self.say("stats")
        return self.wait("stats")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; after SIGKILL it is gone when this returns."""
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self) -> int:
        """Close its stdin; its exit status."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(10)

    def at(self, sha256: str) -> Path:
        """Where an object has its final name."""
        return self.folder / sha256

    def partial(self, sha256: str) -> Path:
        """Where an object is on its way."""
        return self.folder / f"{sha256}.partial"


@dataclass(frozen=True)
class Load:
    """A parcel of random files."""

    name: str
    objects: tuple[Message, ...]
    """As the seed is told of them."""

    @classmethod
    def made(cls, home: Path, name: str, *sizes: int) -> Load:
        """Files of these sizes, new for this parcel."""
        return cls(name, tuple(_object(home / "files" / f"{name}-{index}", size) for index, size in enumerate(sizes)))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry["size"] for entry in self.objects)

    @property
    def sha256s(self) -> list[str]:
        """The objects' names."""
        return [entry["sha256"] for entry in self.objects]

    def described(self, *, paths: bool) -> list[Message]:
        """As the control machine tells agents of it."""
        return [entry if paths else {**entry, "path": None} for entry in self.objects]

    def is_whole_at(self, agent: Agent) -> bool:
        """Whether every object has its name there, with the right bytes, mode and time, and nothing else is there."""
        if sorted(path.name for path in agent.folder.iterdir()) != sorted(self.sha256s):
            return False
        for sha256 in self.sha256s:
            path = agent.at(sha256)
            found = path.stat()
            if (found.st_mode & 0o7777, found.st_mtime_ns) != (0o444, VERIFIED * 10**9):
                return False
            if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
                return False
        return True


def _object(path: Path, size: int) -> Message:
    data = random.Random(str(path)).randbytes(size)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    pieces = (data[start : start + PIECE] for start in range(0, size, PIECE))
    hashes = "".join(hashlib.sha256(piece).hexdigest() for piece in pieces)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": size,
        "piece": PIECE,
        "hashes": hashes,
        "path": str(path),
    }


def damage(path: Path, offset: int, keep_time: bool = False) -> None:
    """Change bytes of a file; with `keep_time`, as a disk does it that rots."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"damaged")
    path.chmod(before.st_mode)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
