"""launchctl: asks launchd and says what launchd said, with its error code as the exit status."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .config import socket_path
from .errors import USAGE, Code, describe


class UsageError(Exception):
    """The command line is not one of the subcommand's."""


@dataclass(frozen=True)
class Command:
    """A subcommand: what it does with its arguments (giving the exit status), and their usage."""

    run: Callable[[list[str]], int]
    usage: str = ""


def main(arguments: list[str]) -> int:
    """Run one subcommand; its exit status."""
    if not arguments:
        return _complain("Usage: launchctl <subcommand> ... | help [subcommand]", USAGE)
    name, *rest = arguments
    if name not in COMMANDS:
        return _complain(f"Unrecognized subcommand: {name}", USAGE)
    command = COMMANDS[name]
    try:
        return command.run(rest)
    except UsageError:
        return _complain(f"Usage: launchctl {name} {command.usage}".rstrip(), USAGE)
    except DomainError as error:
        return _complain(str(error), error.code)
    except OSError as error:
        return _complain(f"Could not connect to launchd: {error.strerror}", error.errno or 1)


class DomainError(Exception):
    """A target outside the system domain, which is the only one here."""

    def __init__(self, text: str, code: Code) -> None:
        super().__init__(text)
        self.code = code


def ask(command: str, **fields: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 (JSON)
    """Send one request; the error code and the whole answer. Raises OSError if launchd does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path())
        connection.sendall(json.dumps({"command": command, **fields}).encode() + b"\n")
        with connection.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        raise ConnectionResetError(104, "no answer")
    answer = json.loads(line)
    return int(answer["error"]), answer


def _complain(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return int(code)


def _unknown(label: str, code: int = Code.NO_SERVICE) -> int:
    return _complain(f'Could not find service "{label}" in domain for system', code)


def _domain(target: str) -> None:
    """Accept ``system``, and refuse other domains as a Mac with nobody logged in does."""
    kind, _, identifier = target.partition("/")
    if kind == "system":
        return
    if kind not in ("gui", "user", "login", "pid") or not identifier:
        raise UsageError
    identifier = identifier.partition("/")[0]
    raise DomainError(f"Could not find domain for user {kind}: {identifier}", Code.NO_DOMAIN)


def _label(target: str) -> str:
    _domain(target)
    label = target.partition("/")[2]
    if not label:
        raise UsageError
    return label


def _one(arguments: list[str]) -> str:
    if len(arguments) != 1:
        raise UsageError
    return arguments[0]


def _bootstrap(arguments: list[str]) -> int:
    if len(arguments) < 2:
        raise UsageError
    if arguments[0] == "gui/0":
        raise DomainError(f"Bootstrap failed: {describe(Code.DOMAIN_ACTION)}", Code.DOMAIN_ACTION)
    _domain(arguments[0])
    worst = 0
    for path in _paths(arguments[1:]):
        code, _ = ask("bootstrap", path=path)
        if code == Code.DISABLED:
            _complain(f"{path}: Service is disabled", code)
        worst = code or worst
    if worst == Code.NOT_PERMITTED:
        _complain(f"Bootstrap failed: {describe(Code.IO)}", 0)
        return _complain("Try re-running the command as root for richer errors.", Code.IO)
    return _complain(f"Bootstrap failed: {describe(worst)}", worst) if worst else 0


def _paths(arguments: list[str]) -> list[str]:
    """Absolute paths; a folder stands for the plists in it."""
    found: list[str] = []
    for path in map(os.path.abspath, arguments):
        if os.path.isdir(path):  # noqa: PTH112 (pathlib doubles the start time)
            names = sorted(name for name in os.listdir(path) if name.endswith(".plist"))  # noqa: PTH208
            found += [f"{path}/{name}" for name in names]
        else:
            found.append(path)
    return found


def _bootout(arguments: list[str]) -> int:
    if not arguments:
        raise UsageError
    _domain(arguments[0])
    if len(arguments) == 1:
        codes = [ask("bootout", label=_label(arguments[0]))[0]]
    else:
        codes = [ask("bootout", path=path)[0] for path in _paths(arguments[1:])]
    worst = next((code for code in reversed(codes) if code), 0)
    return _complain(f"Boot-out failed: {describe(worst)}", worst) if worst else 0


def _kickstart(arguments: list[str]) -> int:
    flags = {letter for word in arguments[:-1] for letter in word.removeprefix("-")}
    if not arguments or flags - set("kp") or not all(word.startswith("-") for word in arguments[:-1]):
        raise UsageError
    label = _label(arguments[-1])
    code, answer = ask("kickstart", label=label, kill="k" in flags)
    if code == Code.NO_SERVICE:
        return _unknown(label)
    if code:
        return _complain(f'Could not kickstart service "{label}": {describe(code)}', code)
    if "p" in flags:
        print(f"service spawned with pid: {answer['pid']}" if sys.stdout.isatty() else answer["pid"])
    return 0


def _kill(arguments: list[str]) -> int:
    if len(arguments) != 2:
        raise UsageError
    label = _label(arguments[1])
    code, _ = ask("kill", label=label, signal=arguments[0])
    texts = {
        Code.NO_SERVICE: f'Could not find service "{label}" in domain for system',
        Code.NO_PROCESS: "No process to signal.",
        Code.NOT_PERMITTED: "Not privileged to signal service.",
        Code.INVALID: f"Unrecognized signal: {arguments[0]}",
    }
    return _complain(texts[Code(code)], code) if code else 0


def _override(command: str) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        code, _ = ask(command, label=_label(_one(arguments)))
        return _complain(f"Could not {command} service: {describe(code)}", code) if code else 0

    return run


def _print(arguments: list[str]) -> int:
    target = _one(arguments)
    _domain(target)
    if target == "system":
        return _show("print-domain")
    label = _label(target)
    code, answer = ask("print", label=label)
    if code:
        _complain("Bad request.", code)
        return _unknown(label, code)
    sys.stdout.write(answer["text"])
    return 0


def _print_disabled(arguments: list[str]) -> int:
    if _one(arguments) != "system":
        _domain(arguments[0])
        raise UsageError
    return _show("print-disabled")


def _show(command: str) -> int:
    code, answer = ask(command)
    sys.stdout.write(answer.get("text", ""))
    return code


def _list(arguments: list[str]) -> int:
    if not arguments:
        return _show("list")
    code, answer = ask("list", label=_one(arguments))
    sys.stdout.write(answer.get("text", ""))
    return _unknown(arguments[0], code) if code else 0


def _blame(arguments: list[str]) -> int:
    label = _label(_one(arguments))
    code, answer = ask("blame", label=label)
    sys.stdout.write(answer.get("text", ""))
    return _unknown(label, code) if code else 0


def _legacy(verb: str, command: str, persist: str) -> Callable[[list[str]], int]:
    """load and unload, which never fail by their exit status."""

    def run(arguments: list[str]) -> int:
        paths = [word for word in arguments if word != "-w"]
        if not paths or any(word.startswith("-") for word in paths):
            raise UsageError
        extra = {persist: True} if "-w" in arguments else {}
        codes = [ask(command, path=path, **extra)[0] for path in _paths(paths)]
        if any(code not in (Code.OK, Code.IN_PROGRESS) for code in codes):
            _complain(f"{verb} failed: {describe(Code.IO)}", 0)
            _complain(f"Try running `launchctl {command}` as root for richer errors.", 0)
        return 0

    return run


def _by_label(command: str) -> Callable[[list[str]], int]:
    """start, stop, remove: the old ones, which take a bare label and fail without a word."""

    def run(arguments: list[str]) -> int:
        code, _ = ask(command, label=_one(arguments))
        return Code.NO_PROCESS if code == Code.NO_SERVICE else 0 if code == Code.IN_PROGRESS else code

    return run


def _reboot(arguments: list[str]) -> int:
    what = arguments[0] if arguments else "system"
    if what not in ("system", "halt"):
        raise UsageError
    code, _ = ask("halt" if what == "halt" else "reboot")
    return _complain(f"Could not reboot: {describe(code)}", code) if code else 0


def _say(text: str) -> Callable[[list[str]], int]:
    def run(_: list[str]) -> int:
        print(text)
        return 0

    return run


def _error(arguments: list[str]) -> int:
    if not _one(arguments).isdigit():
        raise UsageError
    print(describe(int(arguments[0])))
    return 0


_SERVICE = "<service-target>"
_PATHS = "<domain-target> [service-path, service-path2, ...]"
_LEGACY = "[-w] <service-path, service-path2, ...>"

COMMANDS = {
    "bootstrap": Command(_bootstrap, _PATHS),
    "bootout": Command(_bootout, f"{_PATHS} | {_SERVICE}"),
    "kickstart": Command(_kickstart, f"[-k] [-p] {_SERVICE}"),
    "kill": Command(_kill, f"<signal-number|signal-name> {_SERVICE}"),
    "enable": Command(_override("enable"), _SERVICE),
    "disable": Command(_override("disable"), _SERVICE),
    "print": Command(_print, f"<domain-target> | {_SERVICE}"),
    "print-disabled": Command(_print_disabled, "<domain-target>"),
    "list": Command(_list, "[service-name]"),
    "blame": Command(_blame, _SERVICE),
    "load": Command(_legacy("Load", "bootstrap", "enable"), _LEGACY),
    "unload": Command(_legacy("Unload", "bootout", "disable"), _LEGACY),
    "start": Command(_by_label("kickstart"), "<service-name>"),
    "stop": Command(_by_label("stop"), "<service-name>"),
    "remove": Command(_by_label("bootout"), "<service-name>"),
    "reboot": Command(_reboot, "[system|halt]"),
    "managername": Command(_say("System")),
    "managerpid": Command(_say("1")),
    "manageruid": Command(_say("0")),
    "limit": Command(_say("\tmaxfiles    256            unlimited      ")),
    "error": Command(_error, "<error-code>"),
}
