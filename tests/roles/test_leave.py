"""The role that takes a Mac out of the fleet: in which order, what it refuses, what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import Responses, make_state

from fleet.layout import ACCOUNT, HOME, PREFIX, STATE
from fleet.settings import Fleet, Mac
from roles import announce, context, leave

ALPHA = "@fake/alpha"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A head, and the worker that leaves."""
    macs = (Mac("beta", "head", "192.168.1.21"), Mac(ALPHA, "worker", "192.168.1.20", where="inventory/lab.py:7"))
    made = Fleet(macs, name="lab", depot=tmp_path)
    context.remember(made)
    yield made
    context._fleets.clear()
    context._answers.clear()
    leave._said.clear()
    announce._ended.clear()


ACCOUNT_READ = f"NFSHomeDirectory: {HOME}\nPrimaryGroupID: 390\nUniqueID: 390\n## group\nPrimaryGroupID: 390\n## home\n"
TRACES = ["job io.raylab.ray", f"folder {PREFIX}/etc", f"folder {STATE}", f"folder {PREFIX}", "hosts -", "account -"]
FULL: Responses = {
    "folder $each": TRACES,
    "state/before/": ["## name.HostName", "was:", "ours:alpha", "## folder.opt", "was:", "ours:made"],
    "du -sk": [f"4000000\t{PREFIX}"],
    "launchctl print ": "## print\nsystem/x = {\n\tpath = /x\n\tstate = running\n}\n## disabled\n## plist\n",
    "scutil --get": ["HostName=alpha"],
    "cat /etc/hosts": ["## text", "# raylab begin", "1.1.1.1 alpha", "# raylab end"],
    "dscl . -read /Users/_raylab UniqueID PrimaryGroupID": ACCOUNT_READ,
    "-user 390": ["/tmp/x"],
    "tmutil": [f"[Excluded]    {PREFIX}/depot"],
}


def announced(state: State) -> int | None:
    """The status with which the run ends; None: it goes on."""
    with ctx_state.use(state), ctx_config.use(state.config), ctx_host.use(next(iter(state.inventory))):
        try:
            leave.announced()
        except SystemExit as ended:
            return int(ended.code or 0)
        return None


def ran(responses: Responses) -> list[str]:
    """What the whole run does, scripts by the functions that they call."""
    state = make_state(responses)
    for deploy in (leave.stopped, leave.restored, leave.taken_away):
        add_deploy(state, deploy)
    state.current_stage = StateStage.Execute
    run_ops(state)
    assert not state.failed_hosts
    [host] = state.inventory
    return [str(command) for op in state.ops[host].values() for command in op.operation_meta._commands or []]


def test_everything_goes_in_an_order_that_can_be_interrupted(fleet: Fleet) -> None:
    assert ran(FULL) == [
        "sh -s launchd io.raylab.firewall unload",
        "sh -s launchd io.raylab.ray unload",
        f"sh -s leave {ACCOUNT}",
        # Jobs of which the list above did not know, but launchd does.
        "sh -s launchd io.raylab.limits unload",
        "sh -s launchd io.raylab.undo unload",
        "sh -s before scutil --set HostName ''",
        "sh -s files /etc/hosts",
        f"sh -s exclusions {PREFIX}/depot",
        f"sh -s prune {PREFIX}/etc",
        "sh -s leave /tmp",
        f"sh -s account {ACCOUNT}",
        # What is still to be restored is known until the very end.
        f"sh -s leave {STATE}",
    ]


def test_a_mac_that_never_had_raylab_is_not_touched(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert announced(make_state({**FULL, "folder $each": []})) is None
    assert f"{ALPHA}: nothing of raylab is there" in capsys.readouterr().err
    context._answers.clear()
    assert ran({**FULL, "folder $each": []}) == []


def test_what_is_about_to_happen_is_said(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert announced(make_state(FULL)) is None
    assert capsys.readouterr().err.splitlines()[1:] == [
        "Removing from the fleet lab:",
        f"  {ALPHA}: ends io.raylab.ray",
        f"  {ALPHA}: becomes again HostName not set",
        f"  {ALPHA}: takes away {PREFIX} (4.1 GB), the account {ACCOUNT}, the fleet's names in /etc/hosts",
    ]


def test_the_head_is_refused(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    alpha, beta = fleet.macs[1], fleet.macs[0]
    context.remember(replace(fleet, macs=(replace(alpha, role="head"), replace(beta, role="worker"))))
    assert announced(make_state(FULL)) == 2
    said = capsys.readouterr().err
    assert f"error: inventory/lab.py:7: {ALPHA} is the head, and beta would stay without one." in said
    assert "No Mac was touched." in said


def test_what_is_left_to_do_is_said(fleet: Fleet) -> None:
    state = make_state(FULL)
    with ctx_state.use(state):
        assert leave.last_words([ALPHA]).splitlines()[1:] == [
            f"Nothing of raylab is on {ALPHA} any more.",
            f"Now delete from the inventory: {ALPHA} (inventory/lab.py:7)",
            "and run: pyinfra inventory/lab.py deploy/cluster.py",
        ]
        state.failed_hosts.add(next(iter(state.inventory)))
        assert leave.last_words([ALPHA]) == f"\nNot done: {ALPHA}; see above, then run the same command again.\n"
