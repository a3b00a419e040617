"""One fake Mac: canned facts in, an operation's commands out. The other test_macos files use it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand, FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import OperationMeta, add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config

from macos.facts import Files
from macos.operations import files, names

Responses = Mapping[str | re.Pattern[str], Any]


@dataclass(frozen=True)
class Command:
    """One command as pyinfra would run it: its visible text, and its stdin."""

    text: str
    stdin: str = ""

    def calls(self) -> list[list[str]]:
        """The functions that a script is told to call, with their arguments."""
        body = self.stdin.split("\nmain() {\n", 1)[1].rsplit("\n}\n", 1)[0]
        words = iter(shlex.split(body))
        calls: list[list[str]] = [[]]
        for word in words:
            if word == "||" and next(words) == "exit":
                calls.append([])
            elif calls[-1] or "=" not in word:
                calls[-1].append(word)
        return calls[:-1]

    def verbs(self) -> list[str]:
        """The names of those functions."""
        return [call[0] for call in self.calls()]


def make_state(responses: Responses) -> State:
    """pyinfra with one fake Mac, ready for operations."""
    data = {"fake_responses": dict(responses), "fake_delay": 0.0, "fake_delay_jitter": 0.0}
    inventory = Inventory((["@fake/alpha"], data))
    state = State(inventory, Config(SUDO=True, TEMP_DIR="/tmp"))
    state.current_stage = StateStage.Connect
    connect_all(state)
    state.current_stage = StateStage.Prepare
    return state


def commands_of(state: State, deploy: Callable[[], None]) -> list[str]:
    """What a role runs on the one fake Mac; none may fail."""
    add_deploy(state, deploy)
    state.current_stage = StateStage.Execute
    run_ops(state)
    assert not state.failed_hosts
    [host] = state.inventory
    ran = [command for op in state.ops[host].values() for command in op.operation_meta._commands or []]
    return [str(command) for command in ran]


def run(responses: Responses, operation: Callable[..., Any], **arguments: object) -> list[Command]:
    """Prepares and executes one operation. Facts are answered from `responses`; other commands succeed."""
    state = make_state(responses)
    meta: OperationMeta = next(iter(add_op(state, operation, **arguments).values()))
    planned = meta.will_change
    state.current_stage = StateStage.Execute
    # Whatever configuration a test before has left in pyinfra's context.
    with ctx_config.use(state.config):
        run_ops(state)
    assert not state.failed_hosts
    ran = meta._commands or []
    assert planned == bool(ran), "what --dry says and what happens differ"
    return [_plain(command) for command in ran if not isinstance(command, FunctionCommand)]


def _plain(command: PyinfraCommand) -> Command:
    if isinstance(command, FileUploadCommand):
        return Command(f"upload {command.src} {command.dest}")
    assert isinstance(command, StringCommand)
    return Command(str(command), str(command.connector_arguments.get("_stdin", "")))


def fact(kind: type[Any], lines: str, **arguments: object) -> Any:  # noqa: ANN401 (each its own)
    """What a fact makes of this output."""
    instance = kind()
    instance.command(**arguments)
    return instance.process(lines.splitlines())


def test_a_failing_fact_fails_the_mac_and_not_the_run() -> None:
    state = make_state({"stat -f": {"success": False, "stderr": "sudo: a terminal is required"}})
    host = next(iter(state.inventory))
    with pytest.raises(Exception, match="No hosts remaining"):
        host.get_fact(Files, paths=["/a"])
    assert state.failed_hosts == {host}


def test_operations_have_names_of_their_own_so_arguments_are_not_printed() -> None:
    state = make_state({})
    secret = files.TextFile("/etc/a", "s3cret", secret=True)
    add_op(state, files.tree, files=[secret])
    meta = next(iter(state.op_meta.values()))
    assert meta.names == {"files.tree"}
    assert meta.args == []
    assert "s3cret" not in repr(secret)


def test_a_name_is_one_line() -> None:
    state = make_state({})
    add_op(state, names.hosts, block="10.0.0.1 alpha\n10.0.0.2 beta\n")
    add_op(state, names.host_name, host_name="alpha")
    found = {name for meta in state.op_meta.values() for name in meta.names}
    assert found == {"names.hosts", "names.host_name alpha"}
