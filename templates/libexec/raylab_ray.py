"""Starts this Mac's Ray node: waits for its address, ends leftovers of an earlier run, runs `ray start`.

Arguments: those of `ray start`, without `--block`. Runs as the service account, under launchd.
Output is the log: one line a step, with the time.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELEASES = "/opt/raylab/releases/"
SAY_EVERY_S = 10.0
POLL_S = 0.5
# An orphaned vLLM worker does not listen to SIGTERM at all; the others need a second or two.
TERM_GRACE_S = 5.0
KILL_GRACE_S = 20.0
# An orderly end of `ray start` takes its last processes down within this.
RAYLET_GRACE_S = 15.0
# The head needs 15 s to see that a node is gone. In case it never does, a start is tried all the same.
UNNOTICED_S = 60.0
ASK_S = 5.0

# Processes of Ray and vLLM rename themselves; these are the names that they give.
TITLES = ("ray::", "ray-dashboard-", "VLLM::")
# What stands in the command line of those that keep it.
MARKS = (
    "ray.scripts.scripts",
    "ray.util.client.server",
    "/ray/core/src/ray/",
    "/ray/dashboard/",
    "/ray/_private/",
    "/ray/autoscaler/",
)
AGENT_PORT_OPTION = "--dashboard_agent_listen_port"

# Where the node of a process keeps its sockets: two clusters may have a node each on this Mac.
TEMP = "RAYLAB_RAY_TEMP"
SESSION = re.compile(r"(/[^ =]*)/session_2")
WRAPPER = "/libexec/raylab_ray.py"

# Other jobs of the same account.
SPARED_PROGRAMS = frozenset({"valkey-server", "redis-server", "raylab-store", "raylab-serve"})
SPARED_MARKS = ("/libexec/raylab_", "/libexec/raylab-")


@dataclass(frozen=True)
class Seen:
    """One process as far as it tells: `executable` and `command` may be empty."""

    pid: int
    parent: int
    user: int
    executable: str
    command: tuple[str, ...]
    temp: str = ""
    """The folder of its node, as far as its environment or its command line tells."""

    @property
    def title(self) -> str:
        """Its first word as ps shows it, shortened for a log line."""
        return " ".join(self.command).strip()[:100] or self.executable or "?"


def say(text: str) -> None:
    """Writes one line of the log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} raylab-ray: {text}", flush=True)


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of `--name=value` or `--name value`, None when it is not there."""
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
        if argument == name and index + 1 < len(arguments):
            return arguments[index + 1]
    return None


def split_address(address: str) -> tuple[str, int]:
    """`rediss://127.0.0.1:6380` or `10.0.0.1:6379` as host and port. Raises ValueError."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not host:
        raise ValueError(f"no HOST:PORT: {address}")
    return host, int(port)


def is_spared(process: Seen) -> bool:
    """Whether this is another job of the account, such as the store."""
    if not process.command:
        return False
    program = process.command[0].partition(" ")[0].rpartition("/")[2]
    return program in SPARED_PROGRAMS or any(mark in word for word in process.command[:4] for mark in SPARED_MARKS)


def is_ours(process: Seen) -> bool:
    """Whether this looks like a part of a Ray node: by its title, its command line or its program's place."""
    line = " ".join(process.command)
    return (
        line.startswith(TITLES)
        or any(mark in line for mark in MARKS)
        or process.executable.startswith(RELEASES)
        or (bool(process.command) and process.command[0].startswith(RELEASES))
    )


def leftovers(processes: Iterable[Seen], me: int, user: int, temp: str = "") -> list[Seen]:
    """The processes of an earlier run, by pid.

    All that belong to the account and look like Ray's, and all that these have started; never this process,
    what it descends from, or another job of the account with what that has started. Nor what belongs to the node of
    another cluster, as long as that has a wrapper of its own to end it; this one's folder is `temp`.
    """
    table = {process.pid: process for process in processes if process.user == user}
    above = {process.pid for process in _lineage(table, me)}
    wrappers = (
        each for each in table.values() if each.pid not in above and any(WRAPPER in w for w in each.command[:4])
    )
    others = {each.temp for each in wrappers} - {temp, ""}

    def belongs(process: Seen) -> bool:
        ours = False
        for current in _lineage(table, process.pid):
            if current.pid == me or is_spared(current) or current.temp in others:
                return False
            if current.pid in above:
                break
            ours = ours or is_ours(current)
        return ours

    return sorted((p for p in table.values() if p.pid not in above and belongs(p)), key=lambda p: p.pid)


def _lineage(table: Mapping[int, Seen], pid: int) -> Iterator[Seen]:
    """A process, its parent, and so on as far as the table goes."""
    met: set[int] = set()
    while pid in table and pid not in met:
        met.add(pid)
        yield table[pid]
        pid = table[pid].parent


def wait_until(ready: Callable[[], str], what: str) -> None:
    """Returns when `ready` has no objection left; logs the objection every SAY_EVERY_S seconds."""
    started = said = time.monotonic()
    objection = ready()
    if objection:
        say(f"waiting for {what}: {objection}")
    while objection:
        time.sleep(POLL_S)
        objection = ready()
        if objection and time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            say(f"still waiting for {what}, {said - started:.0f} s: {objection}")
    waited = time.monotonic() - started
    if waited >= POLL_S:
        say(f"{what} after {waited:.0f} s")


def address_objection(address: str) -> str:
    """Why this Mac cannot use the address yet; empty when an interface has it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return f"no interface has {address} ({error.strerror or error})"
    return ""


def port_objection(host: str, port: int) -> str:
    """Why nobody answers there; empty when somebody does."""
    try:
        with socket.create_connection((host, port), timeout=3):
            return ""
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"


def store_objection(host: str, port: int, environment: Mapping[str, str]) -> str:
    """Why the store cannot be used yet; empty when it answers PING over TLS."""
    try:
        context = ssl.create_default_context(cafile=environment["RAY_REDIS_CA_CERT"])
        context.load_cert_chain(environment["RAY_REDIS_CLIENT_CERT"], environment["RAY_REDIS_CLIENT_KEY"])
        with (
            socket.create_connection((host, port), timeout=3) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(b"PING\r\n")
            answer = connection.recv(200)
    except (OSError, ValueError) as error:
        return f"{host}:{port}: {error}"
    # While it reads its file from disk it answers -LOADING.
    return "" if answer.startswith(b"+PONG") else answer.decode("utf-8", "replace").strip()


def processes() -> list[Seen]:
    """Every process of this account, except those that are dead already."""
    import psutil  # Comes with vLLM; where the decisions are tested there is none.

    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                user = process.uids().effective
                if user != os.geteuid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                command = tuple(process.cmdline())
                executable = ""
                with contextlib.suppress(psutil.AccessDenied):
                    executable = process.exe()
                found.append(Seen(process.pid, process.ppid(), user, executable, command, _temp(process, command)))
        except psutil.Error:
            # It ended meanwhile, or is another's.
            continue
    return found


def _temp(process: Any, command: Sequence[str]) -> str:  # noqa: ANN401
    """The folder of a process's node; empty when nothing tells, as of those that have renamed themselves."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        if told := process.environ().get(TEMP):
            return str(told)
    session = SESSION.search(" ".join(command))
    return session[1] if session else ""


def end_leftovers(temp: str) -> bool:
    """Ends what an earlier run left, politely and then not. False when something is still there."""
    return _end(signal.SIGTERM, TERM_GRACE_S, temp) or _end(signal.SIGKILL, KILL_GRACE_S, temp)


def _end(number: signal.Signals, grace: float, temp: str) -> bool:
    """Signals every leftover and waits up to `grace` seconds; True when none is left."""
    told: set[int] = set()
    deadline = time.monotonic() + grace
    while found := leftovers(processes(), os.getpid(), os.geteuid(), temp):
        for process in found:
            # Also those that appear meanwhile: a dying raylet may still start one.
            if process.pid not in told:
                told.add(process.pid)
                say(f"{number.name} to leftover {process.pid} {process.title}")
                _signal(process.pid, number)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        say(f"pid {pid}: {error}")


def remove_stale_sockets(temp: Path) -> int:
    """Removes sockets that nobody listens on any more; call it when no leftover lives.

    Ray never reuses their names: it counts upwards, and the paths would outgrow what a socket may have.
    """
    stale = [path for path in temp.glob("session_2*/sockets/*") if path.is_socket()]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Prepares, then is `ray start` until that ends; returns the exit status."""
    node_ip = option(arguments, "--node-ip-address")
    if not node_ip:
        say("no --node-ip-address among the arguments")
        return 2
    wait_until(lambda: address_objection(node_ip), f"the node IP {node_ip}")
    temp = environment[TEMP]
    if not end_leftovers(temp):
        say("leftovers that do not end; trying again later")
        return 1
    if removed := remove_stale_sockets(Path(temp)):
        say(f"removed {removed} stale sockets")
    _wait_for_peer(arguments, environment)
    if head := option(arguments, "--address"):
        _wait_until_noticed(head, node_ip)
    say(f"ray start {' '.join(arguments)} --block")
    return start_ray(arguments)


def _wait_until_noticed(head: str, node_ip: str) -> None:
    """Returns when the head knows that this Mac's last node is gone, or does not notice it for UNNOTICED_S.

    The next one has the same address and ports. Resources that the head gives to the last one until then, as it does
    when the whole fleet comes back, would be taken from the next one, which keeps them for ever: no replica gets them.
    """
    deadline = time.monotonic() + UNNOTICED_S
    wait_until(
        lambda: "" if time.monotonic() > deadline else node_objection(head, node_ip),
        "the head to notice that this Mac's last node is gone",
    )


def node_objection(head: str, node_ip: str) -> str:
    """Which living node the head knows at an address; empty when none."""
    from ray._raylet import GcsClient
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    try:
        known = GcsClient(address=head).get_all_node_info(timeout=ASK_S, state_filter=GcsNodeInfo.GcsNodeState.ALIVE)
    except Exception as error:
        # Of several kinds, some of them private; without an answer there is nobody to place anything either.
        return f"{head}: {error}"
    found = [node_id.hex()[:8] for node_id, node in known.items() if node.node_manager_address == node_ip]
    return f"{', '.join(found)} at {node_ip}" if found else ""


def start_ray(arguments: Sequence[str]) -> int:
    """Runs `ray start --block` in this process; returns its exit status."""
    # Ray is looked for only now: the steps before need none of it, and importing it takes a second.
    from ray._private import services
    from ray.scripts.scripts import cli

    start_process = services.start_ray_process

    def start_with_port(command: list[str], process_type: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        started = start_process(with_agent_port(command, arguments), process_type, *rest, **more)
        if is_raylet(command):
            threading.Thread(target=end_without, args=(started.process,), daemon=True).start()
        return started

    services.start_ray_process = start_with_port
    options = ["--log-style=record", "--log-color=false"]
    try:
        cli.main(["start", *options, *arguments, "--block"], prog_name="ray")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def is_raylet(command: Sequence[str]) -> bool:
    """Whether this starts the raylet, without which a node is none."""
    return bool(command) and command[0].endswith("/raylet/raylet")


def end_without(raylet: subprocess.Popen[bytes]) -> None:
    """Ends this process when the raylet is gone and `ray start --block` does not notice.

    A raylet that gives up on its agents ends with 0, which Ray takes for an orderly end: it goes on blocking, with
    no node, for ever.
    """
    while raylet.poll() is None:
        time.sleep(POLL_S)
    time.sleep(RAYLET_GRACE_S)
    say(f"the raylet has ended ({raylet.returncode}) and ray start goes on: starting anew")
    os._exit(1)


def with_agent_port(command: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The command line of one of Ray's processes, with what Ray 2.59 forgets to tell its raylet.

    A raylet that does not know the agent's HTTP port gives the agent 15 s to write it down, and aborts after
    that: a Mac that is busy at boot would try for ever. The raylet has an option for it that nobody passes.
    """
    port = option(arguments, "--dashboard-agent-listen-port")
    if not is_raylet(command) or port is None or option(command, AGENT_PORT_OPTION):
        return list(command)
    return [*command, f"{AGENT_PORT_OPTION}={port}"]


def _wait_for_peer(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """The head needs its store, a worker its head. Waiting here is cheaper than Ray's own attempts."""
    store, head = environment.get("RAY_REDIS_ADDRESS"), option(arguments, "--address")
    if store and "--head" in arguments:
        host, port = split_address(store)
        wait_until(lambda: store_objection(host, port, environment), "the store")
    elif head:
        host, port = split_address(head)
        wait_until(lambda: port_objection(host, port), "the head")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
