"""What depot.gc removes, what it keeps, and when it touches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from depot_release import serve_release
from depot_server import serving, sha256
from fleet_project import Project

from depot import gc
from depot.fetch import fetch
from depot.models import gather
from depot.objects import Objects, piece_hashes
from fleet.manifest import manifest_path
from fleet.origin import Repository

LOCKS = "locks/linux-64"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose depot holds its release and, as after a bundle, the files of its model."""
    made = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        release = serve_release(server, tmp_path / LOCKS)
        fetch(release, tmp_path / ".depot", lambda _: None)
    model = gather(made.load().models[0], depot(made))
    for path in model.files.values():
        Objects(depot(made)).write(path.read_bytes())
    return made


def depot(project: Project) -> Path:
    return project.root / ".depot"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def leave(depot: Path, name: str) -> str:
    (depot / name).parent.mkdir(parents=True, exist_ok=True)
    (depot / name).write_text("left over")
    return name


def test_what_the_inventory_needs_stays(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    objects = Objects(depot(project))
    python = next(path for path in depot(project).glob("objects/*/*") if path.read_bytes().startswith(b"python"))
    piece_hashes(objects.depot, python.name, python)
    leave(objects.depot, f"partial/{python.name}")
    leave(objects.depot, "macs.json")
    before = files(objects.depot)
    assert gc.main([]) == 0
    assert files(objects.depot) == before
    assert capsys.readouterr().out == f"{objects.depot}: 0 B removed that inventory/lab.py does not need\n"


def test_what_nothing_needs_goes_and_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    objects = Objects(depot(project))
    before = files(objects.depot)
    digest = objects.write(b"an old wheel")
    piece_hashes(objects.depot, digest, objects.path(digest))
    gone = [
        f"objects/{digest[:2]}/{digest}",
        f"pieces/{digest}.json",
        leave(objects.depot, f"partial/{sha256(b'other')}"),
        leave(objects.depot, f"partial/url-{sha256(b'url')}"),
        leave(objects.depot, "partial/.pip-x1/wheel.whl"),
        leave(objects.depot, f"models/gone@{digest[:16]}.json"),
        leave(objects.depot, "conda/linux-64/old.conda"),
        leave(objects.depot, "wheels/linux-64-cp311/old.whl"),
        leave(objects.depot, f"tools/{digest[:12]}/uv"),
    ]
    assert gc.main(["inventory/lab.py"]) == 0
    assert files(objects.depot) == before
    told = capsys.readouterr().out
    assert f"  {gone[0]} 12 B\n" in told
    for name in gone[2:]:
        assert f"  {name} " in told or f"  {Path(name).parent} " in told
    for folder in ("conda", "wheels", "tools", "pieces"):
        assert not (objects.depot / folder).exists()


def test_files_that_are_not_raylabs_stay(project: Project) -> None:
    """A person may have named a folder that holds other things, too."""
    names = (
        "tools/hammer/uv",
        "wheels/car.whl",
        "conda/mine/a.conda",
        "objects/a/b",
        "models/weights.json",
        "partial/x",
    )
    for name in names:
        leave(depot(project), name)
    assert gc.main([]) == 0
    assert files(depot(project)) >= set(names)


def test_a_release_of_another_inventory_is_needed(project: Project) -> None:
    locks = project.root / LOCKS
    project.write("inventory/next.py", 'head = [("@mac/delta", {"node_ip": "10.77.0.14", "locks": "locks/next"})]\n')
    project.write("locks/next/conda.lock", (locks / "conda.lock").read_text())
    project.write("locks/next/tools.lock", (locks / "tools.lock").read_text())
    extra = Objects(depot(project)).write(b"extra")
    lines = (locks / "wheels.lock").read_text() + f"extra==1.0 --hash=sha256:{extra}\n"
    project.write("locks/next/wheels.lock", lines)
    assert gc.main([]) == 0
    assert Objects(depot(project)).holds(extra)
    assert gc.main(["inventory/lab.py"]) == 0
    assert not Objects(depot(project)).holds(extra)


def test_the_files_of_a_model_go_with_its_setting(project: Project) -> None:
    weights = sha256((project.root / "models/tiny/model.safetensors").read_bytes())
    assert Objects(depot(project)).holds(weights)
    project.write("inventory/group_data/all.py", 'ssh_user = "admin"\nplatform = "linux-64"\nmodels = []\n')
    assert gc.main([]) == 0
    assert not Objects(depot(project)).holds(weights)
    assert list(depot(project).glob("models/*")) == []


def test_settings_that_only_a_run_needs_are_not_asked_for(project: Project) -> None:
    """The model's folder is gone, and the SSH key is elsewhere: what the depot must keep is known all the same."""
    before = files(depot(project))
    project.write("inventory/group_data/lab.py", 'ssh_key = "keys/none"\n')
    (project.root / "models").rename(project.root / "elsewhere")
    assert gc.main([]) == 0
    assert files(depot(project)) == before


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("inventory/broken.py", "head = [", "inventory/broken.py:1: Python cannot read this file"),
        ("inventory/group_data/all.py", "models = 1 / 0", "inventory/group_data/all.py:1: running this file fails"),
        (
            "inventory/group_data/all.py",
            'platform = "linux-64"\nmodels = [{"id": "x"}]',
            "is not a model with a source",
        ),
        ("inventory/group_data/all.py", 'platform = "linux-64"\ndepot = 5', "depot: 5 is not a path"),
        (f"{LOCKS}/wheels.lock", "ray", f"{LOCKS}/wheels.lock:1: locks: ray is not a locked artifact"),
    ],
)
def test_nothing_goes_when_an_inventory_cannot_be_read(
    project: Project, capsys: pytest.CaptureFixture[str], name: str, text: str, told: str
) -> None:
    leave(depot(project), f"partial/{sha256(b'other')}")
    project.write(name, text)
    before = files(depot(project))
    assert gc.main([]) == 1
    assert files(depot(project)) == before
    shown = capsys.readouterr()
    assert told in shown.err
    assert "othing was removed: what these inventories need is not known." in shown.err


def test_an_inventory_with_a_depot_of_its_own_is_not_in_the_way(project: Project) -> None:
    """Such as the lab's, when there is no lab."""
    left = leave(depot(project), f"partial/{sha256(b'other')}")
    settings = {"node_ip": "10.77.0.14", "locks": ".lab/locks", "depot": ".lab/depot"}
    project.write("inventory/elsewhere.py", f"head = [('@mac/delta', {settings})]\n")
    assert gc.main([]) == 0
    assert not (depot(project) / left).exists()
    leave(project.root, f".lab/depot/partial/{sha256(b'other')}")
    assert gc.main([]) == 1
    assert files(project.root / ".lab/depot") == {f"partial/{sha256(b'other')}"}


def test_nothing_goes_when_nobody_knows_what_a_model_needs(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    source = 'models = [{"id": "x", "source": "hf:a/b", "revision": "' + "0" * 40 + '"}]\n'
    project.write("inventory/group_data/all.py", f'platform = "linux-64"\n{source}')
    manifest = manifest_path(depot(project), Repository("a/b"), "0" * 40)
    manifest.write_text("damaged")
    before = files(depot(project))
    assert gc.main([]) == 1
    assert f"{manifest} cannot be read" in capsys.readouterr().err
    assert files(depot(project)) == before


def test_other_peoples_inventories_do_not_count(project: Project) -> None:
    before = files(depot(project))
    project.write("inventory/other.py", 'servers = ["one", "two"]\n')
    assert gc.main([]) == 0
    assert files(depot(project)) == before
