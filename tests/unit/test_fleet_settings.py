"""The settings: what is read from an inventory that is right, and one line for everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.errors import Code
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
    assert model.source == project.root / "models/tiny"
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


@dataclass(frozen=True)
class Wrong:
    """One way to get it wrong, and the line it must give."""

    name: str
    break_it: Callable[[Project], object]
    line: str


def lab(old: str, new: str) -> Callable[[Project], object]:
    return lambda project: project.change(LAB, old, new)


def common(old: str, new: str) -> Callable[[Project], object]:
    return lambda project: project.change(ALL, old, new)


def setting(text: str) -> Callable[[Project], object]:
    """A further line in group_data/all.py: the new line 1."""
    return common("ssh_user =", f"{text}\nssh_user =")


def model(text: str) -> Callable[[Project], object]:
    """A further key of the model: line 8."""
    return common('"context": 512,', text)


def secret(text: str, mode: int, name: str = "ray-token") -> Callable[[Project], object]:
    def break_it(project: Project) -> None:
        project.write(f"secrets/{name}", text).chmod(mode)

    return break_it


def locks(folder: str, **versions: str) -> Callable[[Project], object]:
    def break_it(project: Project) -> None:
        project.locks(folder, **versions)
        project.change(LAB, '"10.77.0.12"', f'"10.77.0.12", "locks": "{folder}"')

    return break_it


def remove(name: str) -> Callable[[Project], object]:
    return lambda project: (project.root / name).unlink()


HEAD = 'head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]'

WRONG = [
    # Who is in the fleet
    Wrong(
        "no head",
        lab(HEAD, ""),
        'inventory/lab.py: head: the fleet has no head. Write head = [("@mac/NAME", {"node_ip": "…"})].',
    ),
    Wrong(
        "two heads",
        lab('11"})]', '11"}),\n    ("@mac/delta", {"node_ip": "10.77.0.14"})]'),
        "inventory/lab.py:2: head: the fleet has more than one head: alpha, delta. Move all but one into `workers`.",
    ),
    Wrong(
        "two Macs with the same name",
        lab("@mac/gamma", "@mac/beta"),
        "inventory/lab.py:4: beta: beta is in the inventory twice. Give every Mac its own name, and one role.",
    ),
    Wrong(
        "a Mac that is head and worker",
        lab("@mac/gamma", "@mac/alpha"),
        "inventory/lab.py:4: alpha: alpha is in the inventory twice. Give every Mac its own name, and one role.",
    ),
    Wrong(
        "a name that is no host name",
        lab("@mac/beta", "@mac/beta_2"),
        'inventory/lab.py:3: beta_2: "beta_2" is not a valid host name. '
        "Use letters, digits and hyphens, at most 63, no dots: other Macs look this name up.",
    ),
    Wrong(
        "a host_name that is no host name",
        lab('"10.77.0.12"', '"10.77.0.12", "host_name": "mac.local"'),
        'inventory/lab.py:3: beta: host_name: "mac.local" is not a valid host name. '
        "Use letters, digits and hyphens, at most 63, no dots: other Macs look this name up.",
    ),
    Wrong(
        "a Mac without a connector",
        lab("@mac/beta", "beta"),
        'inventory/lab.py:3: "beta" does not say how the Mac is reached. '
        'Write "@mac/NAME", or "@local" for the Mac that this runs on.',
    ),
    Wrong(
        "something that is no Mac",
        lab('("@mac/beta", {"node_ip": "10.77.0.12"})', "12"),
        'inventory/lab.py:3: workers: 12 is not a Mac. Write ("@mac/NAME", {"node_ip": "…"}).',
    ),
    Wrong(
        "a group that gives no role",
        lab("workers =", "wokers ="),
        "inventory/lab.py:3: beta: beta is neither head nor worker. "
        "Put it into `head` or `workers`; the group `wokers` gives it no role.",
    ),
    # Addresses
    Wrong(
        "no node IP",
        lab('{"node_ip": "10.77.0.12"}', "{}"),
        "inventory/lab.py:3: beta: node_ip: the Mac has no node IP. "
        'Write ("@mac/beta", {"node_ip": "192.168.1.20"}) with an address of that Mac.',
    ),
    Wrong(
        "the same node IP twice",
        lab("10.77.0.12", "10.77.0.11"),
        "inventory/lab.py:3: beta: node_ip: 10.77.0.11 is also the node IP of alpha. Give every Mac its own.",
    ),
    Wrong(
        "a node IP that is none",
        lab("10.77.0.12", "10.77.0.300"),
        'inventory/lab.py:3: beta: node_ip: "10.77.0.300" is not an IPv4 address that a Mac can have. '
        "Write four numbers, such as 192.168.1.20.",
    ),
    Wrong(
        "a multicast node IP",
        lab("10.77.0.12", "224.0.0.1"),
        'inventory/lab.py:3: beta: node_ip: "224.0.0.1" is not an IPv4 address that a Mac can have. '
        "Write four numbers, such as 192.168.1.20.",
    ),
    Wrong(
        "loopback among LAN addresses",
        lab("10.77.0.12", "127.0.0.1"),
        "inventory/lab.py:3: beta: node_ip: 127.0.0.1 is loopback, which no other Mac can reach. "
        "Give every Mac of a fleet its address on the LAN.",
    ),
    Wrong(
        "a node IP for all Macs",
        setting('node_ip = "10.77.0.9"'),
        "inventory/group_data/all.py:1: node_ip: this belongs to one Mac and cannot be given to all. "
        "Write it beside the Mac's name in inventory/lab.py, not for the group `all`.",
    ),
    # Settings
    Wrong(
        "a typo in a fleet setting",
        setting("ray_cpu = 8"),
        "inventory/group_data/all.py:1: ray_cpu: there is no setting `ray_cpu`. Did you mean `ray_cpus`?",
    ),
    Wrong(
        "a typo in a Mac's setting",
        lab('"node_ip": "10.77.0.12"', '"node_ip": "10.77.0.12", "host_nam": "b"'),
        "inventory/lab.py:3: beta: host_nam: there is no setting `host_nam`. Did you mean `host_name`?",
    ),
    Wrong(
        "a typo in an SSH setting",
        common("ssh_user", "ssh_usr"),
        "inventory/group_data/all.py:1: ssh_usr: there is no setting `ssh_usr`. Did you mean `ssh_user`?",
    ),
    Wrong(
        "a setting like no other",
        setting("GIGABYTE = 2**30"),
        "inventory/group_data/all.py:1: GIGABYTE: there is no setting `GIGABYTE`. "
        "Remove it, or begin its name with _ when it only helps other lines.",
    ),
    Wrong(
        "a wrong type",
        setting('ray_cpus = "four"'),
        'inventory/group_data/all.py:1: ray_cpus: "four" is not a whole number. For example 8.',
    ),
    Wrong(
        "True is no number",
        setting("ray_cpus = True"),
        "inventory/group_data/all.py:1: ray_cpus: true is not a whole number. For example 8.",
    ),
    Wrong(
        "a number out of range",
        setting("object_store_mb = 10"),
        "inventory/group_data/all.py:1: object_store_mb: 10 is outside 80 to 65536. For example 512.",
    ),
    Wrong(
        "an unknown platform",
        common('"linux-64"', '"linux"'),
        'inventory/group_data/all.py:2: platform: "linux" is not "osx-arm64" or "linux-64". For example "osx-arm64".',
    ),
    Wrong(
        "a fleet setting on one Mac only",
        lab('"10.77.0.12"', '"10.77.0.12", "ray_cpus": 2'),
        "inventory/lab.py:3: beta: ray_cpus: 2 here, but not set for the other Macs. "
        "It is one for the whole fleet: set it in group_data.",
    ),
    # Ports
    Wrong(
        "a port outside the range",
        setting('ports = {"serve_http": 80}'),
        "inventory/group_data/all.py:1: ports.serve_http: port 80 is outside 1024 to 49151. "
        "Below, only root may listen; above, macOS hands ports out by itself.",
    ),
    Wrong(
        "a port taken twice",
        setting('ports = {\n    "serve_http": 8265,\n}'),
        "inventory/group_data/all.py:2: ports.serve_http: port 8265 is also `dashboard`. Choose a free one.",
    ),
    Wrong(
        "a port inside the worker range",
        setting('ports = {"serve_http": 10150}'),
        "inventory/group_data/all.py:1: ports.serve_http: "
        "port 10150 is also inside the worker ports 10100–10299. Choose a free one.",
    ),
    Wrong(
        "a worker range over a port",
        setting('ports = {"worker_min": 9990}'),
        "inventory/group_data/all.py:1: ports.ray_client: "
        "port 10001 is also inside the worker ports 9990–10299. Choose a free one.",
    ),
    Wrong(
        "a worker range that ends before it starts",
        setting('ports = {"worker_max": 10000}'),
        "inventory/group_data/all.py:1: ports.worker_max: the range of worker ports ends at 10000, "
        "before it starts at 10100. Ray needs about 100 of them.",
    ),
    Wrong(
        "a typo in a port's name",
        setting('ports = {"serve_htp": 8100}'),
        "inventory/group_data/all.py:1: ports.serve_htp: there is no setting `ports.serve_htp`. "
        "Did you mean `serve_http`?",
    ),
    Wrong(
        "a port that is text",
        setting('ports = {"gcs": "6379"}'),
        'inventory/group_data/all.py:1: ports.gcs: "6379" is not a whole number. Write a number such as 6379.',
    ),
    # Ray's temp dir
    Wrong(
        "a temp dir too long for sockets",
        setting('ray_temp_dir = "/opt/raylab/a-folder-with-quite-a-long-name"'),
        'inventory/group_data/all.py:1: ray_temp_dir: "/opt/raylab/a-folder-with-quite-a-long-name" '
        "is 43 bytes long; sockets below it leave room for 41. "
        "Choose a shorter one, such as /opt/raylab/ray.",
    ),
    Wrong(
        "a relative temp dir",
        setting('ray_temp_dir = "ray"'),
        'inventory/group_data/all.py:1: ray_temp_dir: "ray" is not a full path. '
        "Write a folder on the Macs, such as /opt/raylab/ray.",
    ),
    # Models
    Wrong(
        "a model id twice",
        common(
            '    {\n        "id"',
            '    {"id": "tiny", "source": "models/tiny", "replicas": 1},\n    {\n        "id"',
        ),
        'inventory/group_data/all.py:7: models[1].id: there are two models with the id "tiny". '
        "Clients ask for a model by its id: give each its own.",
    ),
    Wrong(
        "a model without id",
        common('"id": "tiny",', ""),
        'inventory/group_data/all.py:5: models[0]: model number 1 has no `id`. For example "qwen3-8b".',
    ),
    Wrong(
        "a model id that no folder can have",
        common('"tiny"', '"../tiny"'),
        'inventory/group_data/all.py:6: models[0].id: "../tiny" is not a model id. '
        "Use letters, digits, dots, hyphens and at most one slash.",
    ),
    Wrong(
        "an unknown engine",
        model('"engine": "vlm",'),
        'inventory/group_data/all.py:8: models[0].engine: there is no engine "vlm". Did you mean `vllm`?',
    ),
    Wrong(
        "an engine that is not at all like one",
        model('"engine": "transformers",'),
        'inventory/group_data/all.py:8: models[0].engine: there is no engine "transformers". There is vllm.',
    ),
    Wrong(
        "more replicas than Macs",
        model('"replicas": 4,'),
        "inventory/group_data/all.py:8: models[0].replicas: 4 replicas are asked for, and there are 3 Macs. "
        "A Mac holds one replica: ask for fewer, or add Macs.",
    ),
    Wrong(
        "replicas in words",
        model('"replicas": "three",'),
        'inventory/group_data/all.py:8: models[0].replicas: "three" is not a whole number or "all". For example 2.',
    ),
    Wrong(
        "no replicas",
        model('"replicas": 0,'),
        "inventory/group_data/all.py:8: models[0].replicas: 0 is outside 1 and more. For example 2.",
    ),
    Wrong(
        "a typo in a model's key",
        model('"contxt": 512,'),
        "inventory/group_data/all.py:8: models[0].contxt: there is no setting `contxt`. Did you mean `context`?",
    ),
    Wrong(
        "an environment variable that is a number",
        model('"env": {"VLLM_CPU_KVCACHE_SPACE": 1},'),
        'inventory/group_data/all.py:8: models[0].env: {"VLLM_CPU_KVCACHE_SPACE": 1} is not '
        'a dict of texts by name. For example {"VLLM_LOGGING_LEVEL": "DEBUG"}.',
    ),
    Wrong(
        "an engine argument that raylab sets",
        model('"engine_kwargs": {"max_model_len": 100},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.max_model_len: "
        "`max_model_len` is decided by raylab. Remove it: `context` says it.",
    ),
    Wrong(
        "a longer context than the model has",
        model('"context": 2048,'),
        "inventory/group_data/all.py:8: models[0].context: a context of 2048 tokens; "
        "the model was made for 1024. Set it to 1024 or less.",
    ),
    Wrong(
        "a source that is not there",
        common("models/tiny", "models/tinny"),
        "inventory/group_data/all.py:7: models[0].source: there is no folder models/tinny. "
        "Name the folder that holds the model's files.",
    ),
    Wrong(
        "a source of the lab that is not made yet",
        common("models/tiny", ".lab/artifacts/models/tiny"),
        "inventory/group_data/all.py:7: models[0].source: there is no folder .lab/artifacts/models/tiny. "
        "Run `make lab`, which makes it.",
    ),
    Wrong(
        "a source without config.json",
        remove("models/tiny/config.json"),
        "inventory/group_data/all.py:7: models[0].source: models/tiny holds no config.json. "
        "Copy the whole model folder.",
    ),
    Wrong(
        "a source without weights",
        remove("models/tiny/model.safetensors"),
        "inventory/group_data/all.py:7: models[0].source: models/tiny holds no *.safetensors. "
        "Only weights in that format are served.",
    ),
    Wrong(
        "models that are no list",
        common("models = [", "models = 3\n_old = ["),
        'inventory/group_data/all.py:4: models: 3 is not a list of dicts. For example [{"id": "tiny", "source": "…"}].',
    ),
    # Releases
    Wrong(
        "a Python that differs between Macs",
        locks("locks/next", python="3.11.10"),
        "inventory/lab.py:3: beta: locks: python 3.11.10 here, but 3.11.9 on alpha. "
        "All Macs of a Ray cluster need the same Ray and Python: give them the same locks.",
    ),
    Wrong(
        "a Ray that differs between Macs",
        locks("locks/next", ray="2.60.0"),
        "inventory/lab.py:3: beta: locks: ray 2.60.0 here, but 2.59.0 on alpha. "
        "All Macs of a Ray cluster need the same Ray and Python: give them the same locks.",
    ),
    Wrong(
        "a missing lock",
        remove("locks/linux-64/wheels.lock"),
        "locks/linux-64/wheels.lock: locks: there is no wheels.lock. Correct the setting `locks`.",
    ),
    Wrong(
        "locks of the lab that are not made yet",
        setting('locks = ".lab/artifacts/locks"'),
        "locks: there is no folder .lab/artifacts/locks. Run `make lab`, which makes it.",
    ),
    # Secrets
    Wrong(
        "a token that others can read",
        secret("t0ken", 0o644),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token can be read by others (mode 0644). "
        "Run: chmod 600 secrets/ray-token",
    ),
    Wrong(
        "a key that others can read",
        secret("key", 0o640, "store-key.pem"),
        "inventory/group_data/all.py:3: secrets: secrets/store-key.pem can be read by others (mode 0640). "
        "Run: chmod 600 secrets/store-key.pem",
    ),
    Wrong(
        "a token that nobody can read",
        secret("t0ken", 0o000),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token cannot be read: Permission denied. "
        "Make it a readable file of mode 0600, or remove it.",
    ),
    Wrong(
        "an empty token",
        secret("\n", 0o600),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token cannot be read: it is empty. "
        "Remove it: the next run makes a new one.",
    ),
    Wrong(
        "an SSH key that is not there",
        setting('ssh_key = "keys/id"'),
        "inventory/group_data/all.py:1: ssh_key: there is no SSH key keys/id. Name a private key file.",
    ),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_one_mistake_is_one_line(project: Project, wrong: Wrong) -> None:
    wrong.break_it(project)
    lines = project.problems()
    assert wrong.line in lines
    # A head that is missing or a group that gives no role leaves others without one: those are told as well.
    assert len(lines) == (2 if wrong.name == "a group that gives no role" else 1), lines
    assert all("\n" not in line for line in lines)


def test_all_mistakes_are_told_at_once(project: Project) -> None:
    mistakes = ("the same node IP twice", "a typo in a fleet setting", "a token that others can read")
    for wrong in WRONG:
        if wrong.name in mistakes:
            wrong.break_it(project)
    expected = [
        "there is no setting `ray_cpu`",
        "10.77.0.11 is also",
        "secrets/ray-token can be read by others",
    ]
    lines = project.problems()
    assert len(lines) == 3
    assert all(text in line for text, line in zip(expected, lines, strict=True))


def test_a_token_of_our_own_is_no_problem(project: Project) -> None:
    secret("t0ken", 0o600)(project)
    assert project.problems() == []


def test_a_context_that_is_not_given_is_no_longer_than_the_model_allows(project: Project) -> None:
    project.change(ALL, '"context": 512,', "")
    assert project.load().models[0].context == 1024


def test_loopback_is_fine_for_one_mac_alone(project: Project) -> None:
    project.write(LAB, 'head = [("@mac/alpha", {"node_ip": "127.0.0.1"})]\n')
    assert project.problems() == []


def test_a_value_that_all_macs_share_is_told_once(project: Project) -> None:
    setting("ray_cpus = None")(project)
    assert len(project.problems()) == 1


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (LAB, "head = [\n\n", "inventory/lab.py:1: Python cannot read this file: '[' was never closed. "),
        (LAB, "head = []\nworkers = heads\n", "inventory/lab.py:2: running this file fails: NameError: "),
        (
            ALL,
            "models = []\nray_cpus = = 4\n",
            "inventory/group_data/all.py:2: Python cannot read this file: ",
        ),
        (ALL, "import json\n\njson.loads('{')", "inventory/group_data/all.py:3: running this file fails: "),
    ],
)
def test_a_file_that_python_cannot_run_is_one_line(project: Project, file: str, text: str, line: str) -> None:
    project.write(file, text)
    told = [problem for problem in project.problems() if problem.startswith(line)]
    assert len(told) == 1


def test_an_inventory_that_is_not_there(project: Project) -> None:
    assert project.problems("inventory/nowhere.py") == [
        "there is no file inventory/nowhere.py. Give an inventory file, such as inventory/lab.py."
    ]


def test_every_kind_of_problem_has_a_sentence_that_can_be_filled_in() -> None:
    for code in Code:
        assert code.value.format(given="x", other="y").endswith("."), code
