"""What the deep health check reads again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.context import ctx_config, ctx_host, ctx_state
from test_macos_harness import Responses, make_state

from depot.install import wheels_dir
from fleet.layout import release_dir
from fleet.seen import Contents
from fleet.settings import Fleet
from macos.facts.contents import Manifests, Sums
from roles import contents, weights

A, B = ("a" * 64, "b" * 64)


@pytest.fixture(autouse=True)
def held(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan gives every Mac every model; it has tests of its own."""
    monkeypatch.setattr(weights, "stored_on", lambda mac: fleet.stored)


def reread(responses: Responses) -> dict[str, tuple[Contents, ...]]:
    state = make_state(responses)
    with ctx_state.use(state), ctx_config.use(state.config), ctx_host.use(next(iter(state.inventory))):
        return contents.reread()


def answers(fleet: Fleet, manifests: bool = True) -> Responses:
    release, model = fleet.release(fleet.head).id, fleet.models[0].path
    artifacts = [{"name": "a.whl", "sha256": A, "bytes": 4 * 10**9}, {"name": "python.conda", "sha256": B, "bytes": 1}]
    given = [
        f"## {release_dir(release)}",
        *json.dumps({"id": release, "files": artifacts}, indent=1).splitlines(),
        f"## {model}",
        *json.dumps({"files": [{"path": "sub/x", "sha256": B, "size": 10**8}]}, indent=1).splitlines(),
    ]
    sums = [f"{A}  {wheels_dir(release)}/a.whl", f"{A}  {model}/sub/x", f"{B}  {model}/manifest.json"]
    return {"manifest.json": given if manifests else ["## /x"], "shasum": sums}


def test_wheels_and_weights_are_compared_with_what_the_mac_was_given(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    [wheels, held] = reread(answers(fleet))["@fake/alpha"]
    release, model = fleet.release(fleet.head).id, fleet.models[0]
    assert wheels == Contents(
        f"wheels of release {release}", wheels_dir(release), {"a.whl": A}, 4 * 10**9, {"a.whl": A}
    )
    assert (held.title, held.path) == (f"weights of {model.id}", model.path)
    assert (held.files, held.found["sub/x"]) == ({"sub/x": B}, A)
    assert "@fake/alpha: reads 2 files again, 4.1 GB; this takes a while\n" in capsys.readouterr().err


def test_a_mac_without_manifests(fleet: Fleet) -> None:
    found = reread(answers(fleet, manifests=False))["@fake/alpha"]
    assert [folder.files for folder in found] == [None, None]


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    return BsdShell(request.param, tmp_path, ())


def test_manifests_for_real(mac: BsdShell) -> None:
    texts = {"one": '{"files": [\n 1\n]}', "cut off": '{"files": [', "a list": "[1]"}
    for name, text in texts.items():
        (mac.prefix / name).mkdir()
        (mac.prefix / name / "manifest.json").write_text(text)
    folders = [f"/opt/raylab/{name}" for name in ("cut off", "gone", "one", "a list")]
    assert mac.fact(Manifests, folders=folders) == {"/opt/raylab/one": {"files": [1]}}
    assert mac.fact(Manifests, folders=[]) == {}


def test_sums_for_real(mac: BsdShell) -> None:
    (mac.prefix / "one/sub dir").mkdir(parents=True)
    (mac.prefix / "one/sub dir/-x").write_text("content")
    sha256 = hashlib.sha256(b"content").hexdigest()
    found = mac.fact(Sums, directories=["/opt/raylab/gone", "/opt/raylab/one"])
    assert found == {"/opt/raylab/one/sub dir/-x": sha256}
