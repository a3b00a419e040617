"""One real Caddy as the door of the Mac alpha, with servers of ours as the Serve of alpha and beta, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from free_ports import free_ports
from upstreams import Upstream

from depot.keys import key_hashes, key_path
from depot.secrets import DOOR_CA, door_files
from fleet import gateway, layout
from fleet.ports import Ports
from fleet.settings import Fleet, Mac

CADDY = Path(sys.executable).parent / "caddy"
ALPHA, BETA = "127.77.0.11", "127.77.0.12"
CHAT = "/v1/chat/completions"


def until(what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:  # noqa: ANN401
    """Poll until it holds; what it gave. Fails, naming what, when it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s still waiting for {what}")


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's form."""
        told: dict[str, Any] = json.loads(self.body)["error"]
        return told

    @property
    def by(self) -> str:
        """The upstream that answered."""
        return str(json.loads(self.body)["by"])


@dataclass
class Door:
    """The door of alpha. `root` stands for / of that Mac, as far as raylab uses it."""

    root: Path
    fleet: Fleet
    macs: tuple[Upstream, ...]
    certificate: tuple[str, str] | None = None
    """PEM texts of a certificate of the user's own, and its key."""
    change: Callable[[str], str] = field(default=lambda text: text)
    """Tests may make Caddy's configuration faster, or worse."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def url(self) -> str:
        return gateway.url(self.fleet, self.fleet.head)

    @property
    def ca(self) -> Path:
        return self.secrets / DOOR_CA

    @property
    def key(self) -> str:
        return self.key_of(self.fleet.api_keys[0])

    def key_of(self, name: str) -> str:
        return key_path(self.secrets, name).read_text()

    def path(self, on_mac: str) -> Path:
        """Where a path of the Mac is here."""
        path = Path(on_mac.replace(layout.PREFIX, str(self.root / "raylab")))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self) -> str:
        """Write all that Caddy reads, as the role does; the digest of that."""
        keys = key_hashes(self.secrets, self.fleet.api_keys)
        reads: tuple[str, ...] = ()
        if gateway.is_encrypted(self.fleet):
            made = door_files(self.secrets, "test", "alpha", gateway.names(self.fleet, self.fleet.head))
            reads = self.certificate or (made.cert, made.key)
            for path, text in zip((layout.DOOR_CERT, layout.DOOR_KEY), reads, strict=True):
                self.path(path).write_text(text)
        text = self.change(gateway.caddyfile(self.fleet, self.fleet.head, keys, reads))
        self.path(layout.GATEWAY_CONFIG).write_text(text.replace(layout.PREFIX, str(self.root / "raylab")))
        return gateway.digest(text)

    def start(self) -> None:
        digest = self.write()
        self.path(layout.log_path(layout.GATEWAY_LABEL)).touch()
        self.path(layout.GATEWAY_STATE).mkdir(exist_ok=True)
        command = [str(CADDY), "run", "--config", str(self.path(layout.GATEWAY_CONFIG)), "--adapter", "caddyfile"]
        with self.path(layout.log_path(layout.GATEWAY_LABEL)).open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={"HOME": str(self.root), "PATH": os.environ["PATH"]}
            )
        until("Caddy with its configuration", lambda: self.loaded() == digest)

    def reload(self) -> None:
        """As the role does: new files, and the signal."""
        digest = self.write()
        assert self.process
        self.process.send_signal(signal.SIGUSR1)
        until("the new configuration", lambda: self.loaded() == digest)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)

    def ready(self, path: str) -> tuple[int, str]:
        """What alpha tells the doors."""
        connection = HTTPConnection(ALPHA, self.fleet.ports.door_ready, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def loaded(self) -> str:
        return self.ready(gateway.CONFIG_PATH)[1]

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def connect(self, timeout: float = 30) -> HTTPConnection:
        if gateway.is_encrypted(self.fleet):
            return HTTPSConnection(ALPHA, self.fleet.ports.door, timeout=timeout, context=self.context())
        return HTTPConnection(ALPHA, self.fleet.ports.door, timeout=timeout)

    def open(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """A request whose answer is still to be read. With the first key, unless `headers` say otherwise."""
        connection = self.connect()
        connection.request(method, path, body, {"Authorization": f"Bearer {self.key}"} | dict(headers or {}))
        return connection, connection.getresponse()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection, response = self.open(method, path, body, headers)
        with contextlib.closing(connection):
            return Answer(response.status, dict(response.getheaders()), response.read())

    def chat(self, body: bytes = b"{}") -> Answer:
        return self.ask("POST", CHAT, body)

    def log(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in self.path(layout.ACCESS_LOG).read_text().splitlines()]

    def errors(self) -> str:
        """What Caddy says of itself."""
        return self.path(layout.log_path(layout.GATEWAY_LABEL)).read_text()


def make(root: Path, **settings: Any) -> Door:  # noqa: ANN401
    """A door that is not open yet."""
    door, ready, serve = free_ports(3)
    ports = Ports().with_overrides({"door": door, "door_ready": ready, "serve_http": serve})
    macs = (Mac("alpha", "head", ALPHA, host_name="alpha"), Mac("beta", "worker", BETA, host_name="beta"))
    fleet = replace(Fleet(macs, name="test", ports=ports), **settings)
    return Door(root, fleet, (Upstream(ALPHA, serve, None), Upstream(BETA, serve, ready)))


def curl(door: Door, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A client that speaks HTTP/2 too."""
    command = ["curl", "-s", "-m", "30", "--cacert", str(door.ca), "-H", f"Authorization: Bearer {door.key}"]
    command += ["-w", "%{http_version} %{http_code}", *arguments, f"{door.url}{CHAT}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def opened(door: Door) -> Iterator[Door]:
    """The door and both upstreams, until the end of the test."""
    try:
        for mac in door.macs:
            mac.start()
        door.start()
        yield door
    finally:
        door.stop()
        for mac in door.macs:
            mac.go.set()
            mac.stop()


__all__ = ["ALPHA", "BETA", "CHAT", "Answer", "Door", "curl", "make", "opened", "until"]
