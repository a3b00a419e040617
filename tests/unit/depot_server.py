"""A web server on loopback that behaves badly when told, and counts the bytes that it sends."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server:
    """Files by path. What goes wrong is told by path, and lasts for one answer unless it says otherwise."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        """Content types of files that are no pages."""
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        """Paths of GET requests."""
        self.sent: dict[str, int] = {}
        """Bytes of bodies by path."""
        self.headers: dict[str, dict[str, str]] = {}
        """Of the last GET request for each path."""
        self.statuses: dict[str, list[int]] = {}
        """Answers before the file is sent."""
        self.cuts: dict[str, list[int]] = {}
        """After how many bytes of a body the connection is cut."""
        self.without_ranges = False
        """For good: every answer is the whole file."""
        self.without_length = False
        """For good: a body ends where the connection does."""
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.lock = threading.Lock()

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                if self.path in outer.files and not outer.without_length:
                    self._begin(200, {"Content-Length": str(len(outer.files[self.path]))})
                else:
                    self._begin(404 if self.path not in outer.redirects else 403, {"Content-Length": "0"})

            def do_GET(self) -> None:
                with outer.lock:
                    outer.asked.append(self.path)
                    outer.headers[self.path] = dict(self.headers)
                    status = outer.statuses[self.path].pop(0) if outer.statuses.get(self.path) else 200
                if self.path in outer.redirects:
                    self._begin(302, {"Location": outer.redirects[self.path], "Content-Length": "0"})
                elif status != 200 or self.path not in outer.files:
                    self._begin(status if status != 200 else 404, {"Content-Length": "0"})
                else:
                    self._send(outer.files[self.path])

            def _send(self, data: bytes) -> None:
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(wanted[1]) if wanted and not outer.without_ranges else 0
                body = data[start:]
                if start and not body:
                    self._begin(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(data)}"})
                    return
                fields = {} if outer.without_length else {"Content-Length": str(len(body))}
                fields["Content-Type"] = outer.types.get(self.path, "text/html")
                if start:
                    fields["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self._begin(206 if start else 200, fields)
                with outer.lock:
                    cut = outer.cuts[self.path].pop(0) if outer.cuts.get(self.path) else len(body)
                    outer.sent[self.path] = outer.sent.get(self.path, 0) + len(body[:cut])
                self.wfile.write(body[:cut])
                self.close_connection = cut < len(body) or outer.without_length

            def _begin(self, status: int, fields: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def serving() -> Iterator[Server]:
    started = Server()
    started.http.daemon_threads = True
    thread = threading.Thread(target=started.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield started
    finally:
        started.http.shutdown()
        started.http.server_close()
        thread.join()
