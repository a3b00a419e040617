"""Serves parcels to other agents: pieces are sent as soon as they are verified here, and waited for until then."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import socketserver
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import BinaryIO

from .parcel import Parcel
from .wire import Door, Tls

# Connections at a time, each with at most one open file: below the 256 descriptors that macOS gives a process.
MOST = 64
# Seconds after which somebody who takes no data is let go.
PATIENCE_S = 20.0
# Seconds for which an address that is in use is tried again: the agent before this one may still be ending.
IN_USE_S = 40.0
# Bytes that are encrypted at a time.
CHUNK = 256 * 1024


class Server(socketserver.ThreadingTCPServer):
    """One listening address, a thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST

    def __init__(self, address: tuple[str, int], shared: Shared) -> None:
        self.shared = shared
        super().__init__(address, Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Only peers are listened to: from anybody else not a byte is read."""
        if isinstance(client_address, tuple) and client_address[0] in self.shared.peers:
            return True
        self.shared.count(refused=1)
        return False

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is not news; anything else goes to stderr, and the others go on."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


class Shared:
    """What all connections of this agent have in common."""

    def __init__(self, parcels: Mapping[str, Parcel], secret: bytes, peers: Sequence[str], tls: Tls | None) -> None:
        self.parcels = parcels
        self.door = Door(secret)
        self.peers = frozenset(peers)
        self.tls = tls
        self.places = threading.BoundedSemaphore(MOST)
        self.sent = 0
        self.refused = 0
        self._lock = threading.Lock()

    def count(self, sent: int = 0, refused: int = 0) -> None:
        """Add payload bytes sent, and strangers refused."""
        with self._lock:
            self.sent += sent
            self.refused += refused


class Handler(BaseHTTPRequestHandler):
    """One request; the connection is closed after it."""

    timeout = PATIENCE_S
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        """Agrees on keys, where there is TLS."""
        self.shared = self.server.shared
        if self.shared.tls:
            self.request.settimeout(self.timeout)
            self.request = self.shared.tls.server.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        """Answers, if not too many are being answered."""
        if self.shared.places.acquire(blocking=False):
            try:
                super().handle()
            finally:
                self.shared.places.release()

    def finish(self) -> None:
        """Closes what TLS has wrapped: the server knows the bare connection only."""
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.close()

    def log_message(self, *_: object) -> None:
        """Control asks what it wants to know."""

    def do_GET(self) -> None:
        """GET /PARCEL with a Range, or GET /PARCEL/status."""
        span = self.headers.get("Range", "")
        if not self.shared.door.admits(self.path, span, self.headers.get("Authorization", "")):
            self._head(403, 0)
            return
        name, _, what = self.path.removeprefix("/").partition("/")
        parcel = self.shared.parcels.get(name)
        wanted = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})", span)
        if not parcel:
            self._head(404, 0)
        elif what == "status":
            self._send_status(parcel)
        elif what or not wanted or not int(wanted[1]) <= int(wanted[2]) < parcel.total:
            self._head(416, 0)
        else:
            self._head(206, int(wanted[2]) + 1 - int(wanted[1]))
            self._send(parcel, int(wanted[1]), int(wanted[2]) + 1)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def _send_status(self, parcel: Parcel) -> None:
        body = json.dumps({"have": parcel.have, "total": parcel.total}).encode()
        self._head(200, len(body))
        self.wfile.write(body)

    def _send(self, parcel: Parcel, position: int, end: int) -> None:
        while position < end:
            count = min(self._wait(parcel, position), end - position)
            if not count:
                return
            held, offset = parcel.at(position)
            with held.open() as file:
                self._send_file(file, offset, count)
            self.shared.count(sent=count)
            position += count

    def _wait(self, parcel: Parcel, position: int) -> int:
        """Verified bytes from this position on; 0 when they will not come, or nobody waits for them any more."""
        while True:
            with parcel.news:
                if parcel.news.wait_for(lambda: parcel.ready(position) or parcel.failure, 1):
                    return parcel.ready(position)
            # Whoever asks says nothing more: what can be read now is the end.
            if select.select([self.request], [], [], 0)[0]:
                return 0

    def _send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        if not isinstance(self.request, ssl.SSLSocket):
            if self.request.sendfile(file, offset, count) != count:
                raise OSError(errno.EIO, "shorter than it was")
            return
        buffer = memoryview(bytearray(min(CHUNK, count)))
        while count:
            read = os.preadv(file.fileno(), [buffer[:count]], offset)
            if not read:
                raise OSError(errno.EIO, "shorter than it was")
            self.request.sendall(buffer[:read])
            offset, count = offset + read, count - read


def listen(addresses: Sequence[str], port: int, shared: Shared) -> int:
    """Serves on each address at one port, 0 for any that is free; returns the port. Raises OSError."""
    deadline = time.monotonic() + IN_USE_S
    while True:
        servers: list[Server] = []
        try:
            for address in addresses:
                servers.append(Server((address, servers[0].server_address[1] if servers else port), shared))
        except OSError as problem:
            for server in servers:
                server.server_close()
            if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise OSError(problem.errno, f"cannot listen on {address}:{port}: {problem.strerror}") from problem
            time.sleep(0.5)
            continue
        for server in servers:
            threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
        return int(servers[0].server_address[1])
