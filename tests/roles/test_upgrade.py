"""The order of an upgrade over three fake Macs: what comes before the turns, and whose turn comes when."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyinfra
import pytest
from fleet_project import Project
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.operations import run_ops
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_state

from depot.secrets import fleet_secrets
from fleet import layout
from roles import announce, context, ray, rollback, sides, turn, upgrade

NAMES = {"alpha": "@fake/alpha", "beta": "@fake/beta", "gamma": "@fake/gamma"}
A1, A2, B2 = "10.77.0.11:6379", "10.77.0.11:6879", "10.77.0.12:6879"
STARTS = "ray_serve_replica_startup_latency_ms"
RUNNING = f"""\
## {layout.RAY_LABEL}
x = {{
	path = x
	environment = {{
		RAYLAB_DIGEST => old
		RAYLAB_RELEASE => /opt/raylab/releases/abc
	}}
}}
## /opt/raylab/releases/abc/manifest.json
"""


@dataclass
class Macs:
    """Where each Mac is, with which Python, and what became of them."""

    clusters: dict[str, str]
    coming: dict[str, str] = field(default_factory=dict)
    python: dict[str, str] = field(default_factory=dict)
    draining: str = ""
    stopped: str = ""
    fails: str = ""
    taken: list[str] = field(default_factory=list)
    upgrades: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The numbers of what each runs and keeps."""
    numbers: set[int] = field(default_factory=set)
    starts: list[str] = field(default_factory=list)
    token: str = ""
    """What sum Ray's token has on each."""
    serve_port: int = 0
    serves: dict[str, list[str]] = field(default_factory=dict)
    """The applications of the Serve config on the head, and of the one that is kept: `now`, `kept`."""
    laid: str = ""
    """What the plist of Ray's job on each Mac was made of."""

    def responses(self, name: str) -> dict[str, Any]:
        cluster, coming = self.clusters.get(name), self.coming.get(name)
        manifest = f'{{"files": [{{"name": "python-{self.python.get(name, "3.11.8")}-h1_0.conda"}}]}}'
        return {
            f"system/{layout.RAY_LABEL} ||": [
                *([f"cluster --address={cluster}"] if cluster else []),
                *([f"next --address={coming}"] if coming else []),
                *([f"kept --address={cluster}"] if name in self.upgrades else []),
            ],
            "/*/manifest.json": (RUNNING + manifest).splitlines() if cluster and name != self.stopped else ["## x"],
            STARTS: self.starts,
            layout.RAY_TOKEN: [f"-rw-r----- root x 640 64 {layout.RAY_TOKEN}", f"{self.token}  {layout.RAY_TOKEN}"]
            if self.token
            else [],
            f"cat {layout.PREVIOUS}{layout.SERVE_CONFIG}": self.config("kept"),
            f"cat {layout.SERVE_CONFIG}": self.config("now") if name == "alpha" else [],
            f"' {layout.plist_path(layout.RAY_LABEL)}": [f"\t<string>{self.laid}</string>"] if self.laid else [],
            "^http_options": [f"  port: {self.serve_port}"] if self.serve_port and name == "alpha" else [],
            layout.UPGRADE: self.numbers_of(name),
            "@@raylab": ["@@raylab memory", str(64 * 2**30), "@@raylab draining"]
            + ([layout.DRAINING] if name == self.draining else []),
        }

    def config(self, which: str) -> list[str]:
        names = self.serves.get(which, [])
        return ["applications:", *(f"- {{name: {name}, args: {{}}}}" for name in names)] if names else []

    def numbers_of(self, name: str) -> list[str]:
        if name not in self.upgrades:
            return []
        runs, keeps = self.upgrades[name]
        return [f"upgrade {runs}", f"kept {keeps}"]


def deploy() -> None:
    """The part of deploy/upgrade.py that is about Ray."""
    upgrade.announced()
    upgrade.rolled()


def go_back() -> None:
    """deploy/rollback.py."""
    rollback.announced()
    rollback.rolled_back()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    yield made
    context._fleets.clear()
    context._answers.clear()
    for kept in (announce._ended, announce._plans):
        kept.clear()
    upgrade._once.clear()
    for cached in (ray.secrets, sides.course, upgrade.changes, upgrade._number, rollback._going, rollback.announced):
        cached.cache_clear()


def run(
    project: Project,
    macs: Macs,
    monkeypatch: pytest.MonkeyPatch,
    head: str = "alpha",
    deploy: Callable[[], None] = deploy,
    **data: str,
) -> list[str]:
    """Every operation that changed something, with its Mac, in the order in which they ran."""
    read = project.load()
    fleet = read.led_by(read.mac(head))
    fleet = replace(
        fleet,
        macs=tuple(replace(mac, name=NAMES[mac.name]) for mac in fleet.macs),
        depot=project.root / "depot",
        secrets=project.root / "secrets",
    )
    context.remember(fleet)

    def take(state: State, host: Host, changes: bool, number: int, batch: list[str]) -> bool:
        macs.taken.append(host.name)
        macs.numbers.add(number)
        return host.name != NAMES.get(macs.fails)

    def gone(verb: str) -> Callable[[State, Host], bool]:
        def go(state: State, host: Host, batch: object = None) -> bool:
            macs.taken.append(f"{host.name} {verb}")
            return True

        return go

    monkeypatch.setattr(turn, "_take", take)
    monkeypatch.setattr(turn, "_go_back", gone("back"))
    monkeypatch.setattr(turn, "_start_again", gone("again"))
    # What these Macs lack otherwise has tests of its own.
    monkeypatch.setattr(announce, "plan", announce.quiet_plan)
    quick = {"fake_delay": 0.0, "fake_delay_jitter": 0.0, **data}
    hosts = [(NAMES[name], {**quick, "fake_responses": macs.responses(name)}) for name in NAMES]
    groups = {"head": ([NAMES[head]], {}), "workers": ([NAMES[name] for name in NAMES if name != head], {})}
    state = State()
    state.init(Inventory((hosts, {}), **groups), Config(SUDO=True, FAIL_PERCENT=None))
    state.current_stage = StateStage.Connect
    connect_all(state)
    state.current_stage = StateStage.Prepare

    # As the command line does it, which orders operations by the lines that they stand on.
    monkeypatch.setattr(pyinfra, "is_cli", True)
    state.current_deploy_filename, state.current_op_file_number = __file__, 0
    with ctx_state.use(state), ctx_config.use(state.config):
        for host in state.inventory:
            with ctx_host.use(host):
                deploy()
    state.current_stage = StateStage.Execute
    with (
        ctx_state.use(state),
        ctx_config.use(state.config),
        pytest.raises(PyinfraError) if macs.fails else contextlib.nullcontext(),
    ):
        run_ops(state)
    changed = []
    for op_hash in state.get_op_order():
        for host in state.inventory:
            data_of = state.ops[host].get(op_hash)
            if data_of and data_of.operation_meta._commands:
                names = ", ".join(state.get_op_meta(op_hash).names)
                changed.append(f"{host.name.removeprefix('@fake/')}: {names.rpartition('| ')[2]}")
    return changed


def turns(macs: Macs) -> list[str]:
    return [name.removeprefix("@fake/") for name in macs.taken]


def test_the_head_of_the_cluster_that_is_coming_is_there_before_the_first_turn(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1))
    ran = run(project, macs, monkeypatch)
    assert turns(macs) == ["beta", "gamma", "alpha"]
    first = ran.index("beta: Turn of @fake/beta")
    for label in layout.NEXT_LABELS:
        assert ran.index(f"alpha: {label}") < first
    assert not [each for each in ran if each.endswith(layout.RAY_LABEL)]
    said = capsys.readouterr().err
    assert macs.numbers == {1}
    assert "python 3.11.8 → 3.11.9" in said
    assert "another Ray cluster, whose head is @fake/alpha, on the ports of side 2" in said


def test_an_interrupted_upgrade_goes_on_with_the_mac_that_was_at_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = Macs({"alpha": A1, "beta": A2, "gamma": A1}, {"alpha": A2}, {"beta": "3.11.9"}, draining="gamma")
    run(project, macs, monkeypatch)
    assert turns(macs)[0] == "gamma"
    assert turns(macs)[-1] == "alpha"


def test_another_head_has_its_turn_before_the_one_that_is_left(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"))
    ran = run(project, macs, monkeypatch, head="beta")
    assert turns(macs) == ["gamma", "beta", "alpha"]
    assert f"beta: {layout.NEXT_RAY_LABEL}" in ran
    assert f"alpha: {layout.NEXT_RAY_LABEL}" not in ran


def test_a_head_that_serves_nobody_just_starts_where_the_others_go_over_to(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), stopped="alpha")
    ran = run(project, macs, monkeypatch)
    assert turns(macs) == ["beta", "gamma"]
    assert not [each for each in ran if "next-" in each]
    first = ran.index("beta: Turn of @fake/beta")
    for label in layout.CLUSTER_LABELS:
        assert ran.index(f"alpha: {label}") < first


def test_the_first_mac_that_fails_is_the_last_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), fails="beta")
    run(project, macs, monkeypatch)
    assert turns(macs) == ["beta"]


def test_a_third_cluster_is_refused_before_anything_is_touched(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    macs = Macs({"alpha": A1, "beta": A2, "gamma": A1}, {"alpha": A2}, {"beta": "3.11.7"})
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch)
    assert macs.taken == []
    assert "this is a third one" in capsys.readouterr().err


def test_a_model_that_one_cluster_lacks_for_a_while_needs_a_yes(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change("inventory/group_data/all.py", '"context": 512,', '"context": 512, "replicas": 2,')
    macs = Macs(dict.fromkeys(NAMES, A1))
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch)
    assert macs.taken == []
    assert "tiny has no copy on every Mac" in capsys.readouterr().err


def test_a_model_on_one_mac_is_away_for_about_as_long_as_it_took_to_start(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change("inventory/group_data/all.py", '"context": 512,', '"context": 512, "replicas": 1,')
    labels = '{application="model:tiny",deployment="VllmServer:tiny"}'
    macs = Macs(dict.fromkeys(NAMES, A1), starts=[f"{STARTS}_count{labels} 2.0", f"{STARTS}_sum{labels} 84000.0"])
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch)
    said = capsys.readouterr().err
    assert "tiny is served by nobody else while @fake/" in said
    assert "has its turn: for about 42 s, which its engine took to start, and some time for Ray." in said
    assert "--data yes=1 says that this may be." in said


def test_another_token_of_rays_is_refused_before_anything_is_touched(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"), token="a" * 64)
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch)
    assert macs.taken == []
    said = capsys.readouterr().err
    assert f"run with another token of Ray's than {project.root}/secrets/ray-token is." in said


def test_the_token_of_this_control_machine_is_no_other_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    token = fleet_secrets(project.root / "secrets").ray_token
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"))
    macs.token = hashlib.sha256(token.encode()).hexdigest()
    run(project, macs, monkeypatch)
    assert turns(macs) == ["beta", "gamma", "alpha"]


@pytest.mark.parametrize("deploy", [deploy, upgrade.restarts_nobody])
def test_serve_keeps_to_its_port(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], deploy: Callable[[], None]
) -> None:
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"), serve_port=8100)
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch, deploy=deploy)
    assert macs.taken == []
    assert '"serve_http" was 8100, and is 8000 now.' in capsys.readouterr().err


def test_what_a_turn_may_not_try_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change = '"context": 512, "replicas": {"min": 2, "max": 3},'
    project.change("inventory/group_data/all.py", '"context": 512,', change)
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"))
    run(project, macs, monkeypatch)
    assert turns(macs) == ["beta", "gamma", "alpha"]
    assert "Copies of tiny come and go with requests" in capsys.readouterr().err


def test_a_model_that_serve_was_not_told_of_delays_no_upgrade(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor has anybody to agree that it is away meanwhile, though one Mac alone shall have it."""
    project.change("inventory/group_data/all.py", '"context": 512,', '"context": 512, "replicas": 1,')
    macs = Macs(dict.fromkeys(NAMES, A1), python=dict.fromkeys(NAMES, "3.11.9"), serves={"now": ["llm", "model:other"]})
    run(project, macs, monkeypatch)
    assert turns(macs) == ["beta", "gamma", "alpha"]
    assert "served by nobody else" not in capsys.readouterr().err


def test_a_mac_that_is_new_waits_for_the_upgrade(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    macs = Macs({"alpha": A1, "beta": A1}, python=dict.fromkeys(NAMES, "3.11.9"))
    with pytest.raises(SystemExit):
        run(project, macs, monkeypatch)
    assert macs.taken == []
    assert "@fake/gamma would be new, and Ray is restarted on Macs that serve" in capsys.readouterr().err


def test_a_mac_that_has_nothing_of_ray_in_the_middle_of_its_turn_is_not_new(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    macs = Macs({"alpha": A1, "beta": A1}, python=dict.fromkeys(NAMES, "3.11.9"), draining="gamma")
    run(project, macs, monkeypatch)
    assert turns(macs) == ["gamma", "beta", "alpha"]
