"""A Mac goes over to another Ray cluster: what is read of it, and what its turn does, well or not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import fact, make_state

from fleet import layout
from fleet.ray import next_arguments, ray_arguments
from fleet.settings import Fleet
from macos.facts.running import Clusters, Joined, KeptJobs
from roles import context, drain, sides, turn

ONE, TWO = "10.77.0.11:6379", "10.77.0.11:6879"


def printed(arguments: list[str]) -> str:
    """What launchd prints of a job."""
    return "\n".join(["x = {", "\targuments = {", *(f"\t\t{each}" for each in arguments), "\t}", "}"])


def test_clusters_are_told_by_the_arguments_of_what_is_loaded(shell: BsdShell, fleet: Fleet) -> None:
    worker = printed(ray_arguments(fleet, fleet.workers[0]))
    head = printed(next_arguments(fleet.on_side(2)))
    shell.command("launchctl", f"case $2 in *next-ray) echo {shlex.quote(head)};; *) echo {shlex.quote(worker)};; esac")
    assert shell.fact(Clusters) == Joined(ONE, TWO)


def test_what_is_not_loaded_is_told_by_its_plist(shell: BsdShell, fleet: Fleet) -> None:
    shell.command("launchctl", "exit 113")
    assert shell.fact(Clusters) == Joined()
    strings = [f"\t\t<string>{each}</string>" for each in ray_arguments(fleet.on_side(2), fleet.head)]
    kept = shell.prefix / "state/previous/Library/LaunchDaemons/io.raylab.ray.plist"
    kept.parent.mkdir(parents=True)
    kept.write_text("\n".join(strings))
    assert shell.fact(Clusters) == Joined(kept=TWO)
    assert shell.fact(KeptJobs) == ["io.raylab.ray"]


def test_a_worker_and_a_head_of_one_cluster_tell_the_same(fleet: Fleet) -> None:
    lines = [f"cluster {each}" for each in ray_arguments(fleet, fleet.workers[0]) if each.startswith("--address")]
    own = [f"next {each}" for each in ray_arguments(fleet, fleet.head) if each.startswith(("--port", "--node-ip"))]
    assert fact(Clusters, "\n".join([*lines, *own])) == Joined(ONE, ONE)


@dataclass
class Desk:
    """The Mac alpha, which serves in the cluster of side one, and what is done to it."""

    state: State
    host: Host
    done: list[str] = field(default_factory=list)
    serves: list[int] = field(default_factory=list)
    """The sides on which it was waited for."""

    def run(self, _: Host, command: PyinfraCommand) -> bool:
        """Instead of the Mac: in place of a script its subjects, which name the job and what becomes of it."""
        assert isinstance(command, StringCommand)
        self.done.append(str(command).removeprefix("sh -s "))
        return True

    def jobs(self) -> list[str]:
        return [line.removeprefix("launchd io.raylab.") for line in self.done if line.startswith("launchd")]


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """All jobs of both clusters are loaded, and what it ran before is kept."""
    loaded = "## print\nx = {\n\tstate = running\n\tpath = /Library/LaunchDaemons/x.plist\n\tpid = 7\n}\n## plist\n"
    responses = {
        "@@raylab": {"stdout": ["@@raylab memory", str(64 * 2**30)]},
        f"system/{layout.RAY_LABEL} ||": {
            "stdout": [f"{each} --address={at}" for each, at in (("cluster", ONE), ("kept", ONE), ("next", TWO))]
        },
        "print-disabled": {"stdout": loaded.splitlines()},
        f"ls {layout.PREVIOUS}": {"stdout": [f"{label}.plist" for label in layout.CLUSTER_LABELS]},
    }
    state = make_state(responses)
    host = next(iter(state.inventory))
    context.goes(replace(fleet, depot=tmp_path / "depot").on_side(2))
    desk = Desk(state, host)
    monkeypatch.setattr(turn, "run", desk.run)
    monkeypatch.setattr(drain, "run", desk.run)
    monkeypatch.setattr(turn, "drain", lambda state, host: True)
    monkeypatch.setattr(turn, "_loaded", lambda host: "old")
    monkeypatch.setattr(turn, "_kept", lambda host: True)
    with ctx_config.use(state.config), ctx_state.use(state), ctx_host.use(host):
        yield desk


def taken(desk: Desk, monkeypatch: pytest.MonkeyPatch, serves_on: set[int]) -> bool:
    def serves(host: Host, fleet: Fleet, gone: str = "", patient: bool = False) -> bool:
        desk.serves.append(fleet.side)
        return fleet.side in serves_on

    monkeypatch.setattr(turn, "_serves", serves)
    monkeypatch.setattr(turn, "_gate", lambda host, before: True)
    monkeypatch.setattr(turn, "_unserved", lambda host, batch: "")
    return turn._take(desk.state, desk.host, True, 1, [desk.host.name])


OVER = [
    "serve unload",
    "ray unload",
    "store unload",
    "next-serve disable unload",
    "next-ray disable unload",
    "next-store disable unload",
    "store file enable unload load stays_up",
    "ray file enable unload load stays_up",
    "serve file enable unload load stays_up",
]


def test_a_head_goes_over_when_its_old_part_and_its_stand_in_have_gone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert taken(desk, monkeypatch, {2})
    assert desk.jobs() == OVER
    assert desk.done[0] == "turn keep"
    assert desk.done[-1] == "turn unflag"
    assert desk.serves == [2]


def test_what_fails_goes_back_and_its_stand_in_comes_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not taken(desk, monkeypatch, {1})
    back = [f"{job} enable unload load stays_up" for job in ("store", "ray", "serve")]
    assert desk.jobs()[len(OVER) :][:3] == back
    assert desk.done.index("turn restore") < desk.done.index(f"launchd io.raylab.{back[0]}")
    assert desk.done[-1] == "turn unflag"
    assert desk.serves == [2, 1]


def test_what_does_not_serve_as_before_either_gets_no_requests(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not taken(desk, monkeypatch, set())
    assert "turn unflag" not in desk.done


def test_a_mac_whose_old_head_has_left_the_fleet_cannot_go_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = context.the_fleet()
    macs = tuple(replace(mac, node_ip=f"10.88.0.{at}") for at, mac in enumerate(fleet.macs))
    context.goes(replace(fleet, macs=macs))
    assert not taken(desk, monkeypatch, {1})
    assert not {"turn restore", "turn unflag"} & set(desk.done)


def test_a_mac_in_the_right_cluster_only_has_what_differs_loaded(desk: Desk) -> None:
    context.goes(context.the_fleet().on_side(1))
    assert not sides.crosses("@fake/alpha")
    assert len(turn._steps()) == 4
