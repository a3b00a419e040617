"""The settings: what is read from an inventory that is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.origin import Folder, Repository
from fleet.settings import APPLICATION_SETTINGS, FLEET_SETTINGS, MAC_SETTINGS, MODEL_SETTINGS, Application, Stored

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


def model(project: Project, text: str) -> None:
    """The model has these settings, too."""
    project.change(ALL, '"context": 512,', f'"context": 512, {text}')


def test_a_model_with_every_name_that_clients_may_ask_for(project: Project) -> None:
    project.adapter("adapters/support")
    commit = "b968826d9c46dd6066d109eabc6255188de91218"
    model(project, f'"aliases": ["gpt-4o"], "adapters": {{"a": "adapters/support", "b": "hf:acme/b@{commit}"}},')
    (found,) = project.load().models
    assert found.names == ("tiny", "gpt-4o", "a", "b")
    here, there = found.adapters
    assert here.source == Folder("adapters/support", project.root / "adapters/support")
    assert re.fullmatch(r"/opt/raylab/weights/a/[0-9a-f]{12}", here.path)
    assert there == Stored("b", Repository("acme/b"), commit)
    assert [stored.id for stored in project.load().stored] == ["tiny", "a", "b"]


def test_a_model_may_run_on_some_macs_by_name_or_group(project: Project) -> None:
    def allowed(written: str) -> list[str]:
        project.change(ALL, '"context": 512,', f'"macs": {written}, "context": 512,')
        fleet = project.load()
        project.change(ALL, f'"macs": {written}, ', "")
        return [mac.name for mac in fleet.allowed(fleet.models[0])]

    assert allowed('["gamma", "alpha"]') == ["alpha", "gamma"]
    assert allowed('"workers"') == ["beta", "gamma"]
    assert allowed('"beta"') == ["beta"]
    assert allowed('"lab"') == ["alpha", "beta", "gamma"]
    project.write(LAB, (project.root / LAB).read_text() + 'studios = ["@mac/gamma"]\n')
    assert allowed('"studios"') == ["gamma"]


def test_the_shapes_and_numbers_of_a_model(project: Project) -> None:
    model(project, '"engine": "mlx", "shape": "group", "replicas": {"min": 1, "max": 3}, "queue": 5, "max_tokens": 9,')
    (found,) = project.load().models
    assert (found.engine, found.shape, found.replicas) == ("mlx", "group", {"min": 1, "max": 3})
    assert (found.queue, found.max_tokens) == (5, 9)


def test_a_chat_template_is_read_here(project: Project) -> None:
    project.write("templates/chat.jinja", "{{ messages }}")
    model(project, '"chat_template": "templates/chat.jinja",')
    assert project.load().models[0].template == "{{ messages }}"


def test_a_model_of_a_whole_llm_config(project: Project) -> None:
    text = "model_loading_config: {model_id: acme/whole, model_source: /models/whole}\n"
    project.write("serve/whole.yaml", text + "deployment_config: {num_replicas: 2}\n")
    project.change(ALL, "models = [", 'models = [\n    {"llm_config": "serve/whole.yaml", "memory_gb": 8},')
    whole, tiny = project.load().models
    assert (whole.id, whole.source, whole.replicas, whole.memory_gb) == ("acme/whole", None, 2, 8)
    assert whole.config is not None
    assert whole.config["model_loading_config"]["model_source"] == "/models/whole"
    assert [stored.id for stored in project.load().stored] == [tiny.id]


@pytest.mark.parametrize(
    ("deployment", "replicas"),
    [
        ("{autoscaling_config: {min_replicas: 1, max_replicas: 2}}", {"min": 1, "max": 2}),
        ("{num_replicas: auto}", {"min": 1, "max": 3}),
        ("{}", 1),
    ],
)
def test_the_replicas_of_a_whole_llm_config(project: Project, deployment: str, replicas: object) -> None:
    text = "model_loading_config: {model_id: whole, model_source: /models/whole}\n"
    bundles = "placement_group_config: {bundles: [{mlx: 1}]}\n"
    project.write("serve/whole.yaml", f"{text}{bundles}deployment_config: {deployment}\n")
    project.change(ALL, "models = [", 'models = [\n    {"llm_config": "serve/whole.yaml", "memory_gb": 8},')
    assert project.load().models[0].replicas == replicas


def test_applications_of_the_user_and_who_may_ask(project: Project) -> None:
    project.wheel("dist/rerank-1.0-py3-none-any.whl")
    project.change(
        ALL,
        "platform =",
        'allowed_origins = ["https://chat.example.org", "http://localhost:3000", "*"]\n'
        'applications = [{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app",\n'
        '    "wheel": "dist/rerank-1.0-py3-none-any.whl", "args": {"size": 2}}]\nplatform =',
    )
    fleet = project.load()
    assert fleet.allowed_origins == ("https://chat.example.org", "http://localhost:3000", "*")
    (rerank,) = fleet.applications
    assert rerank == Application("rerank", "/rerank", "rerank:app", rerank.wheel, {"size": 2})
    assert [wheel.file for wheel in fleet.code] == [
        "raylab_serving-0.1.0-py3-none-any.whl",
        "rerank-1.0-py3-none-any.whl",
    ]


def test_thunderbolt_ports_belong_to_one_mac(project: Project) -> None:
    project.change(LAB, '"10.77.0.12"', '"10.77.0.12", "thunderbolt": ["en2", "en3"]')
    assert [mac.thunderbolt for mac in project.load().macs] == [(), ("en2", "en3"), ()]


def test_every_setting_has_a_meaning_and_an_example() -> None:
    for setting in [
        setting
        for settings in (MAC_SETTINGS, FLEET_SETTINGS, MODEL_SETTINGS, APPLICATION_SETTINGS)
        for setting in settings.values()
    ]:
        assert setting.metadata["doc"].endswith("."), setting.name
        assert setting.metadata["example"], setting.name
