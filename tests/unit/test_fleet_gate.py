"""The gate before every run, and the inventories that come with the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.gate import check_or_exit
from fleet.raw import read_raw

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def test_a_right_inventory_passes(project: Project) -> None:
    fleet = check_or_exit("inventory/lab.py")
    assert fleet is not None
    assert fleet.name == "lab"


@pytest.mark.parametrize("inventory", ["@local", "10.0.0.1,10.0.0.2", "inventory/nowhere.py"])
def test_what_is_no_inventory_file_is_not_ours(project: Project, inventory: str) -> None:
    assert check_or_exit(inventory) is None


def test_an_inventory_without_our_groups_is_not_ours(project: Project) -> None:
    project.write("inventory/web.py", 'web = ["web1.example"]\n')
    assert check_or_exit("inventory/web.py") is None


def test_problems_end_the_run_with_status_2(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.change("inventory/lab.py", "10.77.0.12", "10.77.0.11")
    with pytest.raises(SystemExit) as caught:
        check_or_exit("inventory/lab.py")
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "raylab: 1 problem in the settings. No Mac was touched.\n\n"
        "inventory/lab.py:3: beta: node_ip: 10.77.0.11 is also an address of alpha. "
        "Give every Mac its own.\n\n"
    )


def test_a_setting_given_as_an_option_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_or_exit("inventory/lab.py", ["ray_cpus=2", "report=out.json", "ssh_user=me"])
    assert capsys.readouterr().err.splitlines()[2:] == [
        "--data: ray_cpus: ray_cpus was given with --data, where it would not be checked. "
        "Set it in inventory/lab.py or in group_data.",
        "",
    ]


def test_pyinfra_stops_before_it_connects(project: Project) -> None:
    """The real command, with the repository's config.py: status 2, and no word of connecting."""
    project.change("inventory/lab.py", "10.77.0.12", "10.77.0.11")
    project.write("config.py", (REPOSITORY / "config.py").read_text())
    project.write("deploy.py", "")
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", "inventory/lab.py", "deploy.py"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 2
    assert "inventory/lab.py:3: beta: node_ip: 10.77.0.11 is also an address of alpha." in done.stderr
    assert "Connecting" not in done.stdout + done.stderr


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project's own inventories, with everything there that `make lab` or an owner would have made."""
    project = Project(tmp_path)
    for path in (REPOSITORY / "inventory").rglob("*.py"):
        project.write(str(path.relative_to(REPOSITORY)), path.read_text())
    project.write(".lab/keys/id_ed25519", "key").chmod(0o600)
    project.locks(".lab/artifacts/locks")
    project.locks("locks/osx-arm64")
    project.model(".lab/artifacts/models/tiny")
    project.model("models/Qwen3-8B", max_position_embeddings=40960)
    monkeypatch.setenv("HOME", str(tmp_path))
    return project


@pytest.mark.parametrize(
    ("name", "macs", "models"),
    [
        ("lab", ["alpha", "beta", "gamma"], ["tiny"]),
        ("factory", ["factory"], []),
        ("local", ["@local"], ["qwen3-8b"]),
        ("example", ["studio-1", "studio-2", "mini-1"], ["qwen3-8b"]),
    ],
)
def test_the_inventories_of_the_project(shipped: Project, name: str, macs: list[str], models: list[str]) -> None:
    assert shipped.problems(f"inventory/{name}.py") == []
    fleet = shipped.load(f"inventory/{name}.py")
    assert [mac.name for mac in fleet.macs] == macs
    assert [model.id for model in fleet.models] == models


def test_a_lab_that_is_not_made_yet_says_how_to_make_it(shipped: Project) -> None:
    shipped.write("inventory/group_data/simulated.py", (REPOSITORY / "inventory/group_data/simulated.py").read_text())
    (shipped.root / ".lab").rename(shipped.root / "elsewhere")
    lines = shipped.problems()
    assert len(lines) == 3
    assert all(line.endswith("Run `make lab`, which makes it.") for line in lines)


NAMES = ("lab", "factory", "local", "example")
# In a process of its own: pyinfra's command patches sockets and threads when it is imported.
PYINFRA_MERGES = """
import json, os, sys
from pyinfra_cli.inventory import make_inventory_from_files
from pyinfra.api import State
from pyinfra.context import ctx_state

with ctx_state.use(State()):
    made = [make_inventory_from_files(f"inventory/{name}.py", cwd=os.getcwd()) for name in sys.argv[1:]]
print(json.dumps([{host.name: host.data.dict() for host in inventory} for inventory in made]))
"""


def test_settings_are_merged_as_pyinfra_merges_them(shipped: Project) -> None:
    """What a role reads from host.data is what the fleet was checked with."""
    shipped.write("group_data/all.py", 'ray_cpus = 6\nssh_user = "nobody"\n')
    shipped.write("inventory/group_data/head.py", "object_store_mb = 300\n")
    shipped.write("inventory/group_data/workers.py", "object_store_mb = 300\n")
    for name in NAMES:
        shipped.write(f"inventory/group_data/{name}.py", f"ray_temp_dir = '/opt/raylab/{name}'\nmodels = []\n")
    done = subprocess.run(
        [sys.executable, "-c", PYINFRA_MERGES, *NAMES],
        capture_output=True,
        text=True,
        check=True,
        cwd=shipped.root,
    )
    for name, theirs in zip(NAMES, json.loads(done.stdout), strict=True):
        raw = read_raw(Path(f"inventory/{name}.py"), shipped.root)
        assert list(theirs) == [mac.name for mac in raw.macs]
        for mac in raw.macs:
            ours = {key: entry.value for key, entry in mac.data.items()}
            assert ours == {key: theirs[mac.name].get(key) for key in ours}
            assert (ours["ray_cpus"], ours["ray_temp_dir"]) == (6, f"/opt/raylab/{name}")
