"""How agents talk: addresses, signed requests, TLS of one run, and JSON lines to the control machine."""

from __future__ import annotations

import hmac
import json
import os
import queue
import secrets
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Address = tuple[str, int]
SCHEME = "raylab"


def named(address: Address) -> str:
    """ADDRESS:PORT, as every line names an agent."""
    return f"{address[0]}:{address[1]}"


def nearest(own: tuple[str, ...], other: str) -> str:
    """The one of our own addresses that shares the longest prefix with `other`: the end of the link to it."""

    def bits(address: str) -> int:
        return int.from_bytes(bytes(int(part) for part in address.split(".")))

    return min(own, key=lambda address: (bits(address) ^ bits(other)).bit_length())


def authorization(secret: bytes, path: str, span: str) -> str:
    """The header of one request for `path` and the Range header `span`; good for one use."""
    nonce = secrets.token_hex(16)
    return f"{SCHEME} {nonce} {_signature(secret, path, span, nonce)}"


class Door:
    """Admits each request that was signed with this run's secret, once."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def admits(self, path: str, span: str, header: str) -> bool:
        """Whether the Authorization header is right for this request, and was not used before."""
        scheme, _, rest = header.partition(" ")
        nonce, _, signature = rest.partition(" ")
        expected = _signature(self._secret, path, span, nonce)
        if scheme != SCHEME or not hmac.compare_digest(expected.encode(), signature.encode()):
            return False
        with self._lock:
            fresh = nonce not in self._seen
            self._seen.add(nonce)
        return fresh


def _signature(secret: bytes, path: str, span: str, nonce: str) -> str:
    return hmac.new(secret, f"GET\n{path}\n{span}\n{nonce}".encode(), "sha256").hexdigest()


@dataclass(frozen=True)
class Tls:
    """Mutual TLS by the certificates of one run: both ends must show one that its authority signed."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def of(cls, pems: Mapping[str, str]) -> Tls:
        """From the PEM texts `cert`, `key` and `ca`. Raises ssl.SSLError when they do not fit together."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The run's authority signs nothing but this run's agents; their addresses say nothing more.
        client.check_hostname = False
        server.num_tickets = 0
        # OpenSSL reads a key from a file only: it is there for an instant, in a folder of our own.
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "cert"), Path(folder, "key")
            certificate.write_text(pems["cert"], encoding="ascii")
            key.write_text(pems["key"], encoding="ascii")
            for context in (server, client):
                context.load_cert_chain(certificate, key)
        for context in (server, client):
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_verify_locations(cadata=pems["ca"])
        return cls(server, client)


class Lines:
    """Writes JSON lines to a descriptor, from any thread, without ever holding that thread up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="lines", daemon=True).start()

    def say(self, kind: str, **fields: object) -> None:
        """Queue one line, {"is": kind, …}."""
        self._queue.put(json.dumps({"is": kind, **fields}).encode() + b"\n")

    def flush(self, seconds: float) -> None:
        """Wait until what was said is written, at most so long."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(seconds)

    def _write(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                while item:
                    item = item[os.write(self._descriptor, item) :]
            except OSError:
                # Nobody reads any more: the control machine is gone.
                os._exit(0)
