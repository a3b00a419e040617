"""The settings: what is read from an inventory that is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.origin import Folder
from fleet.settings import FLEET_SETTINGS, MAC_SETTINGS, MODEL_SETTINGS

LAB = "inventory/lab.py"
ALL = "inventory/group_data/all.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_right_inventory_becomes_a_fleet(project: Project) -> None:
    fleet = project.load()
    assert fleet.name == "lab"
    assert [(mac.name, mac.role, mac.node_ip, mac.host_name) for mac in fleet.macs] == [
        ("alpha", "head", "10.77.0.11", "alpha"),
        ("beta", "worker", "10.77.0.12", "beta"),
        ("gamma", "worker", "10.77.0.13", "gamma"),
    ]
    assert fleet.head.name == "alpha"
    assert [mac.name for mac in fleet.workers] == ["beta", "gamma"]
    assert fleet.mac("gamma").node_ip == "10.77.0.13"
    assert fleet.platform == "linux-64"
    assert fleet.locks == project.root / "locks/linux-64"
    assert fleet.depot == project.root / ".depot"
    assert fleet.secrets == project.root / "secrets"
    assert fleet.ray_temp_dir == "/opt/raylab/ray/tmp"
    assert (fleet.ray_cpus, fleet.object_store_mb) == (4, 1024)
    (model,) = fleet.models
    assert (model.id, model.engine, model.replicas, model.context) == ("tiny", "vllm", "all", 512)
    assert model.source == Folder("models/tiny", project.root / "models/tiny")
    assert re.fullmatch(r"/opt/raylab/weights/tiny/[0-9a-f]{12}", model.path)
    assert fleet.release(fleet.head).versions["ray"] == "2.59.0"


def test_a_mac_that_is_not_there_is_a_key_error(project: Project) -> None:
    with pytest.raises(KeyError):
        project.load().mac("delta")


def test_host_data_win_over_groups_and_groups_over_all(project: Project) -> None:
    project.locks("locks/next")
    project.locks("locks/all")
    project.change(LAB, '"10.77.0.12"', '"10.77.0.12", "locks": "locks/next"')
    project.change(ALL, "platform =", 'ray_cpus = 2\nlocks = "locks/all"\nplatform =')
    project.write("inventory/group_data/lab.py", "ray_cpus = 8\n")
    fleet = project.load()
    assert fleet.ray_cpus == 8
    assert fleet.mac("beta").locks == project.root / "locks/next"
    assert fleet.mac("gamma").locks == project.root / "locks/all"


def test_group_data_beside_the_inventory_win_over_those_in_the_folder(project: Project) -> None:
    project.write("group_data/all.py", 'ssh_user = "other"\nray_cpus = 6\nobject_store_mb = 256\n')
    project.change(ALL, "platform =", "ray_cpus = 7\nplatform =")
    fleet = project.load()
    assert (fleet.ray_cpus, fleet.object_store_mb) == (7, 256)


def test_a_further_group_gives_its_macs_settings(project: Project) -> None:
    project.write(LAB, (project.root / LAB).read_text() + "simulated = head + workers\n")
    project.write("inventory/group_data/simulated.py", "ray_cpus = 3\n")
    assert project.load().ray_cpus == 3


def test_data_beside_a_group_count_too(project: Project) -> None:
    project.change(LAB, 'head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]', "")
    project.write(LAB, 'head = ([("@mac/alpha", {"node_ip": "10.77.0.11"})], {"ray_cpus": 5})\n')
    assert project.load().ray_cpus == 5


def test_imports_functions_and_underscored_names_are_no_settings(project: Project) -> None:
    project.change(
        ALL,
        'ssh_user = "admin"',
        'from pathlib import Path\nimport os.path\n_base = Path("x")\n_sudo = True\ndef helper(): pass\n',
    )
    assert project.problems() == []


def test_the_mac_that_runs_everything_itself(project: Project) -> None:
    project.write("inventory/local.py", 'head = [("@local", {"node_ip": "127.0.0.1"})]\n')
    fleet = project.load("inventory/local.py")
    assert fleet.head.name == "@local"
    assert fleet.head.host_name is None
    assert fleet.head.is_loopback


def test_without_secrets_folder_a_fleet_keeps_them_in_the_home(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.root))
    project.change(ALL, 'secrets = "secrets"\n', "")
    assert project.load().secrets == project.root / ".raylab/lab"


def test_every_setting_has_a_meaning_and_an_example() -> None:
    for setting in (*MAC_SETTINGS.values(), *FLEET_SETTINGS.values(), *MODEL_SETTINGS.values()):
        assert setting.metadata["doc"].endswith("."), setting.name
        assert setting.metadata["example"], setting.name
