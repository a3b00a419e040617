"""Ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket

# Above what Ray gives to workers, and below what a system gives to whoever asks for any port (from 32768 on Linux,
# 49152 on macOS): between the choice and its use no connection of another test can take one of these.
FIRST, END = 24000, 28000


def free_ports(count: int) -> list[int]:
    """So many in a row that nobody has."""
    for _ in range(100):
        ports = [*range(first := random.randrange(FIRST, END - count), first + count)]
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in ports:
                stack.enter_context(socket.socket()).bind(("", port))
            return ports
    raise OSError(f"no {count} ports in a row are free from {FIRST} to {END}")


def free_port() -> int:
    """One that nobody has."""
    return free_ports(1)[0]
