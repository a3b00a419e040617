"""Power: pmset and caffeinate, and shutdown, reboot and halt, which ask PID 1."""

from __future__ import annotations

import json
import os
import socket

from .answers import changing, complain, is_root, recall, say

LAUNCHD = "/var/run/launchd.sock"
DEFAULTS = {
    "Sleep On Power Button": "1",
    "autorestart": "0",
    "powernap": "1",
    "networkoversleep": "0",
    "disksleep": "10",
    "sleep": "1",
    "ttyskeepawake": "1",
    "displaysleep": "10",
    "tcpkeepalive": "1",
    "womp": "1",
    "lowpowermode": "0",
}
NO_PERMISSION = 77


def _settings() -> dict[str, str]:
    return {**DEFAULTS, **recall("pmset")}


def _show(header: str) -> int:
    print(header)
    for key, value in _settings().items():
        print(f" {key:<20} {value}")
    return 0


def pmset(arguments: list[str]) -> int:
    """pmset -g [custom] | -a|-b|-c|-u KEY VALUE ...: kept over reboots."""
    if arguments in (["-g"], ["-g", "live"]):
        print("System-wide power settings:")
        return _show("Currently in use:")
    if arguments == ["-g", "custom"]:
        return _show("AC Power:")
    if arguments == ["-g", "cap"]:
        return say("\n".join(["Capabilities for AC Power:", *(f" {key}" for key in DEFAULTS if " " not in key)]))
    if arguments[:1] == ["-g"]:
        return 0
    if not arguments or arguments[0] not in ("-a", "-b", "-c", "-u"):
        return complain("Usage: pmset <options>", 64)
    if not is_root():
        return complain("'pmset' must be run as root...", NO_PERMISSION)
    words = arguments[1:]
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    if not pairs or len(words) % 2 or any(key not in DEFAULTS or not value.isdigit() for key, value in pairs.items()):
        return complain("Usage: pmset <options>", 64)
    with changing("pmset") as values:
        values.update(pairs)
    return 0


def caffeinate(arguments: list[str]) -> int:
    """caffeinate [-dimsu] COMMAND ...: nothing sleeps here anyway."""
    words = arguments
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in ("-t", "-w") else words[1:]
    if not words:
        return 0
    os.execvp(words[0], words)


def _ask_launchd(command: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(LAUNCHD)
            client.sendall(json.dumps({"command": command}).encode() + b"\n")
            client.recv(4096)
        except OSError as error:
            return complain(f"{command}: launchd does not answer: {error}")
    return 0


def shutdown(arguments: list[str]) -> int:
    """shutdown [-r | -h | -s] now."""
    if not is_root():
        return complain("shutdown: NOT super-user")
    if len(arguments) < 2 or arguments[0] not in ("-r", "-h") or arguments[1] not in ("now", "+0"):
        return complain("usage: shutdown [-] [-h [-u] [-n] | -r [-n] | -s | -k] time [warning-message ...]")
    print("Shutdown NOW!\n\nSystem shutdown time has arrived", flush=True)
    return _ask_launchd("reboot" if arguments[0] == "-r" else "halt")


def reboot(_: list[str]) -> int:
    """reboot."""
    return _ask_launchd("reboot") if is_root() else complain("reboot: Operation not permitted")


def halt(_: list[str]) -> int:
    """halt."""
    return _ask_launchd("halt") if is_root() else complain("halt: Operation not permitted")
