"""A change that undoes itself: the script for real, and the confirmation over a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State, StateStage
from sshd import running

from macos.connector import new_connection
from macos.operations.undo import Step, undoing
from macos.shell import script_program

# Loads a job by running its program, as launchd does.
LAUNCHCTL = """\
case $1 in
bootstrap) sh "$(sed -n 's/^program //p' "$3")" >>"$0.log" 2>&1 & echo $! >"$0.pid" ;;
bootout) kill "$(cat "$0.pid" 2>/dev/null)" 2>/dev/null; rm -f "$0.pid" ;;
esac"""


class Mac(BsdShell):
    """A Mac on which a change is the file `changed`."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder, ())
        self.command("launchctl", LAUNCHCTL)
        self.command("chown", ":")
        self.undo, self.plist, self.changed = self.prefix / "state/undo", folder / "plist", folder / "changed"

    def does(self, grace: int, *calls: list[str]) -> tuple[int, str]:
        variables: dict[str, str | int] = {
            "undo": str(self.undo), "label": "io.raylab.undo", "plist": str(self.plist), "grace": grace, "poll": "0.1"
        }  # fmt: skip
        back = [["die", "told, and no reason to stop"], ["rm", str(self.changed)]]
        program = script_program(["files", "undo"], "watched", back, variables)
        armed = [["armed", program, f"program {self.undo}/program"] if call == ["armed"] else call for call in calls]
        return self.script(["files", "undo"], armed, **variables)

    def change(self, grace: int) -> None:
        assert self.does(grace, ["armed"], ["extended"], ["touch", str(self.changed)], ["extended"]) == (0, "")
        assert self.changed.exists()


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mac]:
    made = Mac(request.param, tmp_path)
    yield made
    made.run("launchctl bootout")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_a_word_it_is_undone(mac: Mac) -> None:
    mac.change(grace=4)
    wait_for(lambda: not mac.changed.exists())
    wait_for(lambda: not mac.plist.exists())
    # Whoever comes later is told, and the next change begins anew.
    assert mac.does(4, ["confirmed"]) == (1, "the change is undone: nobody could log in within 4 s after it\n")
    mac.change(grace=30)


def test_a_change_that_is_confirmed_stays(mac: Mac) -> None:
    mac.change(grace=30)
    pid = int((mac.bin / "launchctl.pid").read_text())
    assert mac.does(30, ["confirmed"]) == (0, "")
    assert mac.changed.exists()
    assert not mac.undo.exists()
    assert not mac.plist.exists()
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_text())
    # There is nothing to confirm any more.
    assert mac.does(30, ["confirmed"]) == (0, "")


def test_an_undo_that_was_interrupted_goes_on_at_the_next_start(mac: Mac) -> None:
    mac.change(grace=30)
    mac.run("launchctl bootout")
    (mac.undo / "decided").symlink_to("time")
    mac.run(f"launchctl bootstrap system {mac.plist}")
    wait_for(lambda: not mac.changed.exists())


def test_nothing_is_changed_that_could_not_be_undone(mac: Mac) -> None:
    mac.command("launchctl", 'case $1 in bootstrap) echo "Bootstrap failed: 125" >&2; exit 125 ;; esac')
    mac.command("date", "cat $0.now; echo $(($(cat $0.now) + 10)) >$0.now")
    (mac.bin / "date.now").write_text("1000\n")
    code, said = mac.does(1, ["armed"], ["touch", str(mac.changed)])
    assert (code, said.startswith("nothing was changed: the job")) == (1, True)
    assert not mac.changed.exists()


def test_what_is_undone_last_was_done_first() -> None:
    steps = [Step([["touch", "a"]], [["rm", "a"]]), Step([["touch", "b"]], [["rm", "b"]])]
    change, confirm = _commands(steps)
    text = str(change.connector_arguments["_stdin"])
    assert text.index("(rm b)") < text.index("(rm a)")
    # Nobody waits for ever for a Mac that is cut off.
    assert change.connector_arguments["_timeout"] == 180
    assert "_confirm" in repr(confirm)


def _commands(steps: list[Step]) -> list[StringCommand]:
    from pyinfra.context import ctx_state
    from test_macos_harness import make_state

    with ctx_state.use(make_state({})):
        return list(undoing(["files"], steps, [], {}))  # type: ignore[arg-type]


def test_a_new_connection_is_another_one(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        data = {
            "ssh_hostname": "127.0.0.1", "ssh_port": server.port, "ssh_key": str(server.key),
            "ssh_known_hosts_file": str(tmp_path / "known"),
        }  # fmt: skip
        state = State(Inventory((["@mac/alpha"], data)), Config())
        state.current_stage = StateStage.Connect
        connect_all(state)
        [host] = state.inventory
        asked = StringCommand("echo", "$SSH_CONNECTION")
        _, first = host.run_shell_command(asked)
        with new_connection(state, host) as connector:
            _, second = connector.run_shell_command(asked, print_output=False, print_input=False)
        assert first.stdout_lines[0].split()[1] != second.stdout_lines[0].split()[1]
        _, again = host.run_shell_command(asked)
        assert again.stdout_lines == first.stdout_lines
    with pytest.raises(ConnectError, match="does not answer on port"), new_connection(state, host):
        pass
    disconnect_all(state)
