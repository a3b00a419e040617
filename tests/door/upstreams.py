"""Small real servers that stand for each Mac's Serve, and for what the other Macs' doors say of readiness."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fleet.gateway import UPSTREAM_HEADER

# Of one line of a stream.
PART = "data: part {number}\n\n"


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes


@dataclass
class Upstream:
    """One Mac's Serve. What it does with a POST is `behaviour`; GET /v1/models is always answered."""

    address: str
    serve_port: int
    ready_port: int | None
    """None for the Mac on which Caddy runs: there Caddy answers itself."""
    behaviour: str = "reply"
    pause: float = 0.0
    """Seconds before an answer, or between two parts of a stream."""
    parts: int = 5
    ready: bool = True
    requests: list[Request] = field(default_factory=list)
    servers: list[ThreadingHTTPServer] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    """What the behaviour `wait` waits for."""

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def start(self) -> None:
        self._serve(self.serve_port, _serve_handler(self))
        if self.ready_port is not None:
            self._serve(self.ready_port, _ready_handler(self))

    def _serve(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        server = ThreadingHTTPServer((self.address, port), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.servers.append(server)

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers.clear()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        """Nothing: what counts is what the tests look at."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _serve_handler(mac: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_GET(self) -> None:
            self.do_POST()

        def do_OPTIONS(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            if headers.get("user-agent") or self.command != "GET":
                mac.requests.append(Request(self.command, self.path, headers, body))
            if self.command == "GET":
                self.answer(200, b'{"data": []}')
            elif self.command == "OPTIONS":
                self.answer(200, b"OK", Access_Control_Allow_Origin="https://chat.example.org")
            else:
                getattr(self, mac.behaviour)(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def reply(self, body: bytes) -> None:
            """An answer that says who gave it to what."""
            told = {"by": mac.address, "length": len(body)}
            self.answer(200, json.dumps(told).encode())

        def wait(self, body: bytes) -> None:
            mac.go.wait(30)
            self.reply(body)

        def late(self, body: bytes) -> None:
            time.sleep(mac.pause)
            self.reply(body)

        def busy(self, body: bytes) -> None:
            self.answer(503, b'{"error": {"message": "full", "code": "queue_full"}}', Retry_After="7")

        def close(self, body: bytes) -> None:
            """Goes away before there is a byte of an answer."""
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def half(self, body: bytes) -> None:
            """Goes away after the first part."""
            self._head()
            self._part(0)
            self.close(body)

        def stream(self, body: bytes) -> None:
            self._head()
            for number in range(mac.parts):
                self._part(number)
                time.sleep(mac.pause)
            self.wfile.write(b"0\r\n\r\n")

        def _head(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _part(self, number: int) -> None:
            text = PART.format(number=number).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            self.wfile.flush()

    return Handler


def _ready_handler(mac: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_GET(self) -> None:
            asked = self.headers[UPSTREAM_HEADER].rpartition(":")[2]
            self.answer(200 if mac.ready and asked == str(mac.serve_port) else 503, b"")

    return Handler
