"""Models in a folder on this machine, and what the depot remembers of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from depot_server import sha256
from fleet_project import CONFIG, Project

from depot.errors import DepotError
from depot.models import gather
from depot.objects import Objects
from fleet.manifest import Manifest, WeightsFile, manifest_path, plain, read_manifest
from fleet.origin import Folder, MacFolder, Repository, origin
from fleet.settings import Model

ALL = "inventory/group_data/all.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("models/tiny/README.md", "# Tiny")
    return made


def tiny(project: Project) -> Model:
    return project.load().models[0]


def bundled(project: Project) -> None:
    """What a bundle does: a folder's files as objects, so that another machine can do without the folder."""
    depot = project.root / ".depot"
    found = gather(tiny(project), depot)
    for file in found.manifest.files:
        copy = Objects(depot).partial(file.sha256)
        copy.write_bytes(found.files[file.path].read_bytes())
        Objects(depot).add(copy, file.sha256)
    (project.root / "models").rename(project.root / "elsewhere")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("models/tiny", Folder("models/tiny", Path("/here/models/tiny"))),
        ("/models/a:b", Folder("/models/a:b", Path("/models/a:b"))),
        ("hf:Qwen/Qwen3-8B", Repository("Qwen/Qwen3-8B")),
        ("hf:gpt2", Repository("gpt2")),
        ("@mac/beta:/Users/me/my models/", MacFolder("beta", "/Users/me/my models")),
        ("hf:", None),
        ("hf:/etc", None),
        ("hf:../x", None),
        ("@mac/beta", None),
        ("@mac/:/x", None),
    ],
)
def test_what_a_source_says(written: str, found: object) -> None:
    assert origin(written, Path("/here")) == found


def test_a_folder_is_used_in_place(project: Project) -> None:
    depot = project.root / ".depot"
    found = gather(tiny(project), depot)
    folder = project.root / "models/tiny"
    assert found.files == {name: folder / name for name in ("config.json", "model.safetensors", "tokenizer.json")}
    assert [file.sha256 for file in found.manifest.files] == [
        sha256(path.read_bytes()) for path in found.files.values()
    ]
    assert found.manifest.revision == tiny(project).weights.revision
    assert not found.private
    assert not (depot / "objects").exists()


def test_a_folder_is_hashed_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gather(tiny(project), project.root / ".depot")
    monkeypatch.setattr("hashlib.file_digest", None)
    assert gather(tiny(project), project.root / ".depot") == found


def test_a_folder_that_changed_is_another_revision(project: Project) -> None:
    depot = project.root / ".depot"
    before = gather(tiny(project), depot)
    file = project.root / "models/tiny/model.safetensors"
    file.write_bytes(b"other" * 1000)
    after = gather(tiny(project), depot)
    assert after.manifest.revision != before.manifest.revision
    assert read_manifest(depot, tiny(project).source, None) == after.manifest
    assert len(list((depot / "models").iterdir())) == 1


def test_a_model_that_only_some_may_see_says_so(project: Project) -> None:
    project.change(ALL, '"context": 512,', '"private": True,')
    assert gather(tiny(project), project.root / ".depot").private


def test_a_folder_that_is_gone_is_not_missed_when_the_depot_has_its_files(project: Project) -> None:
    whole = tiny(project)
    bundled(project)
    assert project.problems() == []
    known = tiny(project)
    assert known.path == whole.path
    assert known.weights.tensor_bytes == whole.weights.tensor_bytes
    assert known.weights.config == CONFIG
    found = gather(known, project.root / ".depot")
    assert all(path.is_relative_to(project.root / ".depot/objects") for path in found.files.values())
    assert [sha256(path.read_bytes()) for path in found.files.values()] == [f.sha256 for f in found.manifest.files]


def test_another_machine_finds_it_by_what_is_written(project: Project, tmp_path: Path) -> None:
    bundled(project)
    there = Project(tmp_path / "there")
    (there.root / "models").rename(there.root / "elsewhere")
    assert len(there.problems()) == 1
    (project.root / ".depot").rename(there.root / ".depot")
    assert there.problems() == []
    assert gather(tiny(there), there.root / ".depot").files


def test_a_depot_that_lost_a_file_since_says_which(project: Project) -> None:
    bundled(project)
    known, depot = tiny(project), project.root / ".depot"
    Objects(depot).path(sha256(b"{}")).unlink()
    with pytest.raises(DepotError, match=r"models/tiny: the depot \S+ lacks tokenizer.json. Put the folder back."):
        gather(known, depot)
    manifest_path(depot, known.source, None).unlink()
    with pytest.raises(DepotError, match=r"models/tiny: the depot \S+ does not know it. Put the folder back."):
        gather(known, depot)


def test_a_mac_that_has_the_folder_is_not_needed_when_the_depot_has_its_files(project: Project) -> None:
    depot = project.root / ".depot"
    model = Model(id="tiny", source=MacFolder("beta", "/models/tiny"))
    with pytest.raises(DepotError, match=r"@mac/beta:/models/tiny: .* does not know it. Let a run reach beta."):
        gather(model, depot)
    copy = Objects(depot).partial("x")
    copy.write_bytes(b"{}")
    Objects(depot).add(copy, sha256(b"{}"))
    known = Manifest("0123456789ab", (WeightsFile("config.json", 2, sha256(b"{}")),), CONFIG)
    project.write(str(manifest_path(depot, model.source, None).relative_to(project.root)), known.record("x"))
    assert gather(model, depot).manifest == known


FILE = {"path": "config.json", "size": 2, "sha256": "a" * 64}


@pytest.mark.parametrize(
    "changed",
    [
        {"revision": "../../etc"},
        {"files": []},
        {"files": [{**FILE, "path": "../config.json"}]},
        {"files": [{**FILE, "path": "/etc/config.json"}]},
        {"files": [{**FILE, "sha256": "../../../etc/passwd"}]},
        {"files": [{**FILE, "size": "two"}]},
        {"files": [{"path": "config.json"}]},
        {"config": None},
    ],
)
def test_a_manifest_that_is_none_is_not_believed(tmp_path: Path, changed: dict[str, object]) -> None:
    source = Repository("lab/tiny")
    path = manifest_path(tmp_path, source, "a" * 40)
    path.parent.mkdir()
    right = {"revision": "0123456789ab", "files": [FILE], "config": {}, "private": False}
    path.write_text(json.dumps(right))
    assert read_manifest(tmp_path, source, "a" * 40) is not None
    path.write_text(json.dumps({**right, **changed}))
    assert read_manifest(tmp_path, source, "a" * 40) is None
    path.write_text("{")
    assert read_manifest(tmp_path, source, "a" * 40) is None


def test_names_that_leave_their_folder_are_seen() -> None:
    assert all(map(plain, ("a", "a/b.json", "..a/b")))
    assert not any(map(plain, ("", "/a", "a/../b", "..", "a\\b", "a\nb", "a\0b")))
