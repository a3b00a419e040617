"""The line to one agent: its stdin and stdout, over SSH or on this machine. When it is cut, the agent ends."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from paramiko import Channel as ParamikoChannel
    from paramiko import Transport

Message = dict[str, Any]
LAST_WORDS = 2000


class Channel(Protocol):
    """A running agent's two streams."""

    def write(self, data: bytes) -> None:
        """Give it all of `data`. Raises OSError when it is gone."""

    def readline(self) -> bytes:
        """Its next line; empty at the end."""

    def close(self) -> None:
        """Cut the line."""

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""


class ProcessChannel:
    """An agent on this machine, or behind a program such as ssh."""

    def __init__(self, command: Sequence[str], folder: str | None = None) -> None:
        """Starts `command` in `folder`. Raises OSError when it cannot be started."""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, cwd=folder
        )

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def write(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def readline(self) -> bytes:
        assert self._process.stdout
        return self._process.stdout.readline()

    def close(self) -> None:
        assert self._process.stdin
        # What is still in its buffer has nobody to read it.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-LAST_WORDS:].decode(errors="replace").strip()


class SshChannel:
    """An agent on a Mac, in a session of pyinfra's own connection to it."""

    def __init__(self, transport: Transport, command: str) -> None:
        """Starts `command`. Raises SSHException or OSError when the Mac does not let it."""
        self._channel: ParamikoChannel = transport.open_session()
        self._channel.exec_command(command)
        self._lines = self._channel.makefile("rb")

    def write(self, data: bytes) -> None:
        self._channel.sendall(data)

    def readline(self) -> bytes:
        line: bytes = self._lines.readline()
        return line

    def close(self) -> None:
        self._channel.close()

    def last_words(self) -> str:
        text = b""
        while self._channel.recv_stderr_ready():
            text += self._channel.recv_stderr(LAST_WORDS)
        return text[-LAST_WORDS:].decode(errors="replace").strip()


class Line:
    """A channel with a thread for each direction, so that a Mac that freezes holds up nobody else."""

    def __init__(self, name: str, channel: Channel, heard: Callable[[str, Message | None], None]) -> None:
        """`heard` gets every message with the name of the agent, and None when the line has ended."""
        self.name = name
        self._channel = channel
        self._heard = heard
        self._outgoing: queue.Queue[Message | None] = queue.Queue()

    def start(self) -> None:
        """Pass on what was sent so far, and begin to listen."""
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True, name=f"relay-{self.name}").start()

    def send(self, message: Message) -> None:
        """Pass a message on, in order; lost when the line has ended."""
        self._outgoing.put(message)

    def close(self) -> None:
        """Let the agent end."""
        self._outgoing.put(None)

    def last_words(self) -> str:
        """What it said last on stderr."""
        return self._channel.last_words()

    def _read(self) -> None:
        try:
            while line := self._channel.readline():
                try:
                    self._heard(self.name, json.loads(line))
                except ValueError:
                    continue  # sudo's lecture, a shell's greeting
        except OSError:
            pass  # the end, too
        self._heard(self.name, None)

    def _write(self) -> None:
        try:
            while (message := self._outgoing.get()) is not None:
                self._channel.write(json.dumps(message).encode() + b"\n")
        except OSError:
            pass
        self._channel.close()
