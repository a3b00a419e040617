"""The lifeline of a ring: what makes its processes live and die together.

Every rank keeps a TCP connection to the next rank, on the address and in the direction of mlx's own connection, and
so one from the rank before. Each side sends a beat each second. Before the ring begins a connection that is lost is
made again: it is how the ring waits for its links. From then on a connection that closes, or is silent for
LIFELINE_S, ends this process; that closes its other connection, and so the end runs around the ring, over nothing
but the ring's own links: neither Ray nor the LAN is asked.

mlx needs it: in 0.32.0 a collective whose peer is gone waits for ever, and the process with it.

Whoever connects must know the ring's token, and shows it without sending it. What comes after that is not signed.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

logger = logging.getLogger("ray.serve.raylab.ring")

# Seconds of silence after which a neighbour is gone. A process that ends, or is killed, closes its connections and
# is noticed at once; this is for a Mac without power, a cable pulled out, a process that stands still. The beat has a
# thread of its own and mlx lets go of the interpreter while it computes; what may hold it is a tokenizer being read.
LIFELINE_S = 10.0
# Seconds between two beats, between two attempts to connect, and that an attempt may take.
BEAT_S = 1.0
PAUSE_S = 1.0
CONNECT_S = 2.0
# Lifelines listen this far above the ring's own ports: rank r of a ring at port p on p + 32 + r.
OFFSET = 32

_BEGIN = b"begin"
_PROOF = 32
# Greetings at once: strangers cost no more than that many threads.
_GREETINGS = 8
_LONGEST = 2000


class Lifeline:
    """One rank's two connections. Threads of its own do everything; the methods may be called from any thread."""

    def __init__(self, rank: int, macs: Sequence[str], addresses: Sequence[str], port: int, token: bytes) -> None:
        """For `rank` of the ring of `macs`; addresses[r] is where the rank before r reaches r."""
        self._rank, self._macs, self._addresses, self._token = rank, tuple(macs), tuple(addresses), token
        self._before, self._next = (rank - 1) % len(macs), (rank + 1) % len(macs)
        self._ports = [port + OFFSET + number for number in range(len(macs))]
        self._lock = threading.RLock()
        self._connections: dict[int, socket.socket] = {}
        """By direction: -1 the rank before, +1 the next one. In a ring of two both are the same rank."""
        self._obstacles = {-1: "", 1: "not tried yet"}
        self._armed = False
        self.begun = threading.Event()
        """Set when the ring has begun: it is time to join mlx's."""
        self.reason = ""
        """Why the ring is ending, once it is."""
        self._greetings = threading.BoundedSemaphore(_GREETINGS)

    def start(self) -> None:
        """Listens and connects from now on."""
        threading.Thread(target=self._listen, name="lifeline-listen", daemon=True).start()
        threading.Thread(target=self._reach, name="lifeline-reach", daemon=True).start()

    def missing(self) -> list[str]:
        """What this rank still waits for, in words; empty when it reaches the next rank and can be reached."""
        with self._lock:
            found = []
            if self._obstacles[-1]:
                found.append(f"port {self._ports[self._rank]} of {self._here()}: {self._obstacles[-1]}")
            if 1 not in self._connections:
                link = f"{self._macs[self._rank]} → {self._macs[self._next]} ({self._addresses[self._next]})"
                found.append(f"the link {link}: {self._obstacles[1]}")
            return found

    def begin(self) -> None:
        """Called by rank 0: from now on each process ends with its neighbours, and nobody new is let in.

        The word goes around the ring, and sets `begun` in every rank. The kernel carries it: whoever called may hold
        the interpreter from then on, which an answer from Ray does not survive.
        """
        with self._lock:
            if self._armed:
                return
            self._armed = True
            absent = dict.fromkeys(self._macs[self._peer(way)] for way in (-1, 1) if way not in self._connections)
            if absent:
                self.end(f"no connection with {' and '.join(absent)} when the ring began")
            try:
                self._connections[1].sendall(_BEGIN + b"\n")
            except OSError as error:
                self.end(f"{self._macs[self._next]} is gone ({_words(error)})")
        self.begun.set()

    def end(self, reason: str) -> NoReturn:
        """Ends this process, and so the ring; the neighbours are told why."""
        with self._lock:
            if not self.reason:
                self.reason = reason
                words = f"{self._macs[self._rank]}: {reason}".replace("\n", " ")[:_LONGEST]
                for connection in self._connections.values():
                    _tell(connection, f"{words}\n".encode())
                logger.error("the ring ends: %s", reason)
                # What a handler keeps back would be lost with the process.
                logging.shutdown()
            os._exit(1)

    def _here(self) -> str:
        return f"{self._addresses[self._rank]} ({self._macs[self._rank]})"

    def _peer(self, way: int) -> int:
        return self._before if way < 0 else self._next

    # From the rank before

    def _listen(self) -> None:
        listener = self._bound()
        listener.settimeout(BEAT_S)
        # An armed ring needs nobody else. The socket stays: a later ring waits until this process is really gone.
        while not self._armed:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                time.sleep(PAUSE_S)
                continue
            if not self._greetings.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._receive, args=(connection,), name="lifeline-before", daemon=True).start()
        threading.Event().wait()

    def _bound(self) -> socket.socket:
        """The listening socket, once its address is on an interface and nobody else has its port."""
        while True:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self._addresses[self._rank], self._ports[self._rank]))
                listener.listen()
            except OSError as error:
                listener.close()
                self._obstacles[-1] = _words(error)
                time.sleep(PAUSE_S)
            else:
                self._obstacles[-1] = ""
                return listener

    def _receive(self, connection: socket.socket) -> None:
        """One who connected: shows that it belongs to this ring, and is then the rank before."""
        try:
            answer = self._examine(connection)
            with self._lock:
                if self._armed:
                    connection.close()
                    return
                # A rank that was made again; the connection of the one before it ends here.
                if former := self._connections.pop(-1, None):
                    _close(former)
                self._connections[-1] = connection
            # Only now: who has this answer knows that both sides hold the connection.
            connection.sendall(answer)
        except OSError:
            _close(connection)
            with self._lock:
                if self._connections.get(-1) is connection:
                    del self._connections[-1]
            return
        finally:
            self._greetings.release()
        self._lost(-1, connection, self._keep(-1, connection))

    def _examine(self, connection: socket.socket) -> bytes:
        """Raises ConnectionError for a stranger; the answer that proves this side to the other."""
        ours = secrets.token_bytes(_PROOF)
        connection.settimeout(CONNECT_S)
        connection.sendall(ours)
        theirs, proof = _read(connection, _PROOF), _read(connection, _PROOF)
        if not hmac.compare_digest(proof, self._proof(b"connects", self._rank, ours, theirs)):
            raise ConnectionError("a stranger")
        return self._proof(b"accepts", self._rank, theirs, ours)

    # To the next rank

    def _reach(self) -> None:
        while True:
            try:
                connection = self._reached()
            except OSError as error:
                self._obstacles[1] = _words(error)
                time.sleep(PAUSE_S)
                continue
            with self._lock:
                self._connections[1] = connection
            why = self._keep(1, connection)
            self._obstacles[1] = why
            self._lost(1, connection, why)

    def _reached(self) -> socket.socket:
        connection = socket.create_connection((self._addresses[self._next], self._ports[self._next]), CONNECT_S)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ours, theirs = secrets.token_bytes(_PROOF), _read(connection, _PROOF)
            connection.sendall(ours + self._proof(b"connects", self._next, theirs, ours))
            if not hmac.compare_digest(_read(connection, _PROOF), self._proof(b"accepts", self._next, ours, theirs)):
                raise ConnectionError("somebody else answers there")
        except OSError:
            connection.close()
            raise
        return connection

    # Both

    def _proof(self, role: bytes, listener: int, *nonces: bytes) -> bytes:
        """What only one who knows the token can say of these numbers, in this role, on this link."""
        return hmac.digest(self._token, b"%s %d " % (role, listener) + b"".join(nonces), "sha256")

    def _keep(self, way: int, connection: socket.socket) -> str:
        """Beats and listens until the connection is lost; why it was."""
        heard = time.monotonic()
        beat, received = 0.0, b""
        while True:
            try:
                if (now := time.monotonic()) >= beat:
                    connection.sendall(b"\n")
                    beat = now + BEAT_S
                connection.settimeout(max(beat - now, 0.01))
                data = connection.recv(4096)
            except TimeoutError:
                # Only when nothing is there to be read: a process that stood still itself must not blame the other.
                if time.monotonic() - heard > LIFELINE_S:
                    return f"was silent for {LIFELINE_S:.0f} s"
                continue
            except OSError as error:
                return f"is gone ({_words(error)})"
            if not data:
                return "is gone (it closed the connection)"
            heard = time.monotonic()
            *lines, received = (received + data)[-_LONGEST * 2 :].split(b"\n")
            for words in filter(None, lines):
                if words != _BEGIN:
                    return f"ended ({words.decode(errors='replace')})"
                if way < 0:
                    self.begin()

    def _lost(self, way: int, connection: socket.socket, why: str) -> None:
        with self._lock:
            current = self._connections.get(way) is connection
            if current and self._armed:
                self.end(f"{self._macs[self._peer(way)]} {why}")
            if current:
                del self._connections[way]
        _close(connection)


def _read(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes, within CONNECT_S. Raises OSError."""
    deadline, data = time.monotonic() + CONNECT_S, b""
    while len(data) < size:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("it closed the connection without a greeting: not of this ring?")
        data += part
    return data


def _tell(connection: socket.socket, words: bytes) -> None:
    """Last words, as far as they can be sent without waiting."""
    with suppress(OSError):
        connection.send(words, socket.MSG_DONTWAIT)
        connection.shutdown(socket.SHUT_WR)


def _close(connection: socket.socket) -> None:
    """Also for the thread that is reading from it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
