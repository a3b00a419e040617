"""One request to an upstream, and the bytes of its answer as they come."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass

from .wire import Address, Tls, authorization, named, nearest

# Seconds: for a connection to stand and be answered; until a read without data returns; for an upstream's status.
CONNECT_S = 2.0
TICK_S = 0.25
STATUS_S = 2.0
# Bytes that must be there before a read returns: with fewer, waking up costs more than copying. Darwin's
# receive buffer begins with 128 KiB, of which this must leave some.
LOW_WATER = (64 if sys.platform == "darwin" else 128) * 1024
LONGEST_HEAD = 16 * 1024
ANYWHERE = "0.0.0.0"


class LinkError(Exception):
    """An upstream that does not give what was asked for."""


@dataclass(frozen=True)
class Caller:
    """What this agent needs to ask others."""

    own: tuple[str, ...]
    """Its addresses: connections come from the one that its upstream expects."""
    secret: bytes
    tls: Tls | None

    def status(self, address: Address, parcel: str) -> bool:
        """Whether this upstream answers at all."""
        with suppress(OSError, LinkError, ValueError), Link(self, address, f"/{parcel}/status", "", STATUS_S) as link:
            return isinstance(json.loads(link.rest()), dict)
        return False


class Link:
    """One GET. Raises OSError or LinkError when it is not answered with what was asked for."""

    def __init__(self, caller: Caller, address: Address, path: str, span: str, patience: float = CONNECT_S) -> None:
        """`span` is the Range header's value, empty for none; `patience` are seconds to wait for each step."""
        source = (nearest(caller.own, address[0]), 0) if ANYWHERE not in caller.own else None
        self._socket = socket.create_connection(address, timeout=patience, source_address=source)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if caller.tls:
                self._socket = caller.tls.client.wrap_socket(self._socket)
            asked = f"Range: {span}\r\n" if span else ""
            signed = authorization(caller.secret, path, span)
            head = f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: {signed}\r\n{asked}\r\n"
            self._socket.sendall(head.encode())
            self._pending = self._answered(address, 206 if span else 200)
            self._socket.settimeout(TICK_S if span else patience)
        except BaseException:
            self._socket.close()
            raise
        self._fill = isinstance(self._socket, ssl.SSLSocket)
        self._mark = 1

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _answered(self, address: Address, expected: int) -> bytes:
        """Reads the head, and returns what came of the body along with it."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._socket.recv(4096)
            if not more or len(data) > LONGEST_HEAD:
                raise LinkError(f"{named(address)}: no answer")
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if head.split(maxsplit=2)[1:2] != [str(expected).encode()]:
            raise LinkError(f"{named(address)}: {head.splitlines()[0].decode(errors='replace')}")
        return body

    def rest(self) -> bytes:
        """The whole body of a short answer."""
        data = self._pending
        while more := self._socket.recv(4096):
            data += more
        return data

    def read(self, block: memoryview, sure: int) -> int:
        """Fills some of `block`, of which `sure` bytes are known to come together; returns how many came.

        0 when nothing came for TICK_S. Raises OSError or LinkError when the connection has ended.
        """
        if self._pending:
            count = min(len(self._pending), len(block))
            block[:count] = self._pending[:count]
            self._pending = self._pending[count:]
            return count
        self._set_mark(min(LOW_WATER, sure))
        try:
            return self._received(block, sure) if self._fill else self._checked(self._socket.recv_into(block))
        except TimeoutError:
            return self._below_mark(block)

    def _received(self, block: memoryview, sure: int) -> int:
        """TLS gives 16 KiB at a time at most: takes several, so that they are passed on together."""
        end = min(len(block), sure)
        count = self._checked(self._socket.recv_into(block[:end]))
        with suppress(TimeoutError):
            while count < end:
                self._set_mark(min(LOW_WATER, sure - count))
                count += self._checked(self._socket.recv_into(block[count:end]))
        return count

    def _below_mark(self, block: memoryview) -> int:
        """What has come, if it is too little to wake us up."""
        self._set_mark(1)
        self._socket.settimeout(0)
        try:
            return self._checked(self._socket.recv_into(block))
        except (BlockingIOError, ssl.SSLWantReadError):
            return 0
        finally:
            self._socket.settimeout(TICK_S)

    def _set_mark(self, mark: int) -> None:
        if mark != self._mark:
            self._mark = mark
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    @staticmethod
    def _checked(count: int) -> int:
        if not count:
            raise LinkError("the connection was closed")
        return count
