"""The control socket: one JSON object a line from the client, one back.

A request names a ``command`` and its arguments; an answer carries ``error`` (0 or launchctl's exit code) and,
per command, ``text`` (to be printed as it is) or ``pid``. Only root may change anything; everyone may look.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import show
from .errors import Code, LaunchdError
from .loop import Loop
from .manager import Manager
from .signals import parse_signal

LONGEST_REQUEST = 65536
LOOKING = frozenset({"print", "print-domain", "print-disabled", "list", "blame"})

Request = dict[str, Any]
Handler = Callable[[Request, "Reply"], None]


class Reply:
    """The way back to one client; only the first answer is sent, and a client that left is no error."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection: socket.socket | None = connection

    def __call__(self, code: Code = Code.OK, **fields: Any) -> None:  # noqa: ANN401 (JSON)
        """Answer."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with connection, suppress(OSError):
            connection.settimeout(1)
            connection.sendall(json.dumps({"error": int(code), **fields}).encode() + b"\n")


class Control:
    """Serves the socket. `power` is called with "reboot" or "halt" when root asks for it."""

    def __init__(self, path: Path, loop: Loop, manager: Manager, power: Callable[[str], None]) -> None:
        self._loop = loop
        self._manager = manager
        self._handlers: dict[str, Handler] = {
            "bootstrap": self._bootstrap,
            "bootout": self._bootout,
            "kickstart": self._kickstart,
            "kill": self._kill,
            "stop": _simply(lambda request: manager.stop(request["label"])),
            "enable": _simply(lambda request: manager.overrides.set(request["label"], False)),
            "disable": _simply(lambda request: manager.overrides.set(request["label"], True)),
            "print": lambda request, reply: reply(text=show.service(manager.job(request["label"]))),
            "print-domain": lambda _, reply: reply(text=show.domain(manager.jobs, manager.overrides.all())),
            "print-disabled": lambda _, reply: reply(text=show.overrides(manager.overrides.all())),
            "list": self._list,
            "blame": lambda request, reply: reply(text=show.blame(manager.job(request["label"]))),
            "reboot": _simply(lambda _: power("reboot")),
            "halt": _simply(lambda _: power("halt")),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(64)
        loop.watch(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        received = bytearray()
        self._loop.watch(connection.fileno(), lambda: self._receive(connection, received))

    def _receive(self, connection: socket.socket, received: bytearray) -> None:
        try:
            chunk = connection.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        received += chunk
        if chunk and b"\n" not in chunk and len(received) < LONGEST_REQUEST:
            return
        self._loop.unwatch(connection.fileno())
        if b"\n" in chunk:
            self._serve(connection, bytes(received))
        else:
            connection.close()

    def _serve(self, connection: socket.socket, line: bytes) -> None:
        reply = Reply(connection)
        try:
            request = json.loads(line)
            handler = self._handlers[request["command"]]
            if request["command"] not in LOOKING and _peer_uid(connection) != 0:
                raise LaunchdError(Code.NOT_PERMITTED)
            handler(request, reply)
        except LaunchdError as error:
            reply(error.code)
        except OSError:
            reply(Code.IO)
        except Exception:  # whatever a client sends, PID 1 must live
            reply(Code.INVALID)

    def _bootstrap(self, request: Request, reply: Reply) -> None:
        self._manager.bootstrap(Path(request["path"]), bool(request.get("enable")))
        reply()

    def _bootout(self, request: Request, reply: Reply) -> None:
        if "path" in request:
            self._manager.bootout_path(Path(request["path"]), reply, bool(request.get("disable")))
        else:
            self._manager.bootout(request["label"], reply)

    def _kickstart(self, request: Request, reply: Reply) -> None:
        label = request["label"]
        job = self._manager.job(label)
        self._manager.kickstart(label, bool(request.get("kill")), lambda code: reply(code, pid=job.pid))

    def _kill(self, request: Request, reply: Reply) -> None:
        number = parse_signal(request["signal"])
        if number is None:
            raise LaunchdError(Code.INVALID)
        self._manager.kill(request["label"], number)
        reply()

    def _list(self, request: Request, reply: Reply) -> None:
        if "label" in request:
            reply(text=show.dictionary(self._manager.job(request["label"])))
        else:
            reply(text=show.table(self._manager.jobs))


def _simply(action: Callable[[Request], None]) -> Handler:
    """A handler that does something and answers 0."""

    def handle(request: Request, reply: Reply) -> None:
        action(request)
        reply()

    return handle


def _peer_uid(connection: socket.socket) -> int:
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[1])
