"""A small OpenAI-style server, a process that tests kill: `python chat_server.py PORT PAUSE_S [CERT KEY]`.

A stream has as many tokens as the request asks for, with PAUSE_S before each. Says `ready` when it listens.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "bmFtZTpzZWNyZXQ="


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions, with the key where the server has a certificate."""

    protocol_version = "HTTP/1.1"
    pause = 0.0
    closed = False

    def do_POST(self) -> None:
        """An answer in OpenAI's form."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.closed and self.headers["Authorization"] != f"Bearer {KEY}":
            self._answer(401, {"error": {"message": "no key"}})
        elif asked["stream"]:
            # A model may have said all before it was stopped.
            self._stream(asked["max_tokens"] if asked.get("ignore_eos") else min(asked["max_tokens"], 4))
        else:
            self._answer(200, {"usage": {"completion_tokens": asked["max_tokens"]}})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, tokens: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for _ in range(tokens):
            time.sleep(self.pause)
            self._event({"choices": [{"delta": {"content": "word "}}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def main(port: int, pause: float, *certificate: str) -> None:
    """Serve until killed."""
    Handler.pause, Handler.closed = pause, bool(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
