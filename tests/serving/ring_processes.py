"""Processes that hold a lifeline, each one rank of a ring on loopback addresses of its own.

Run as a program it is such a process: it does what its stdin says, a line at a time, and answers each with a line.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")
PORT = 23323
_subnets = itertools.count(random.randrange(2**14))


def addresses(count: int) -> list[str]:
    """Loopback addresses that no other ring has."""
    subnet = next(_subnets) % 2**14
    return [f"127.{64 + subnet // 256}.{subnet % 256}.{number + 1}" for number in range(count)]


def until(probe: Callable[[], Value], seconds: float = 10) -> Value:
    """The probe's first true answer. Raises AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.02)
    return value


class Rank:
    """One process of the ring of alpha, beta, gamma, …"""

    def __init__(self, rank: int, ring: list[str], token: str = "right") -> None:
        command = [sys.executable, __file__, str(rank), json.dumps(ring), token]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def ask(self, line: str) -> object:
        """The process's answer."""
        assert self.process.stdin
        assert self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def missing(self) -> object:
        """What it waits for."""
        return self.ask("missing")

    def begin(self, *others: Rank) -> None:
        """The ring begins, which the others hear of."""
        self.ask("begin")
        for other in others:
            until(lambda other=other: other.ask("begun"))

    def ended(self, seconds: float) -> str:
        """What it said when it ended, which it must within so many seconds."""
        assert self.process.wait(seconds) == 1
        assert self.process.stderr
        return self.process.stderr.read()


@contextmanager
def started(count: int) -> Iterator[list[Rank]]:
    """A ring whose links are all there, not begun."""
    ring = addresses(count)
    with ranks(*(Rank(rank, ring) for rank in range(count))) as made:
        for rank in made:
            until(lambda rank=rank: rank.missing() == [])
        yield made


@contextmanager
def ranks(*made: Rank) -> Iterator[list[Rank]]:
    """These, and none of them afterwards."""
    try:
        yield list(made)
    finally:
        for rank in made:
            rank.process.kill()
            rank.process.communicate()


def main(rank: int, ring: list[str], token: str) -> None:
    from raylab_serving.mlx.lifeline import Lifeline

    lifeline = Lifeline(rank, ["alpha", "beta", "gamma", "delta"][: len(ring)], ring, PORT, token.encode())
    lifeline.start()
    for line in sys.stdin:
        answer: object = None
        match line.split():
            case ["missing"]:
                answer = lifeline.missing()
            case ["begin"]:
                lifeline.begin()
            case ["begun"]:
                answer = lifeline.begun.is_set()
            case ["end", *words]:
                lifeline.end(" ".join(words))
            case ["hold", seconds]:
                # As C code does that does not let go of the interpreter.
                ctypes.PyDLL(None).sleep(int(seconds))
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
