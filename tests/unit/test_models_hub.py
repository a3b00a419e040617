"""Models from a hub on loopback, through the client that everybody uses: fetched once, verified, resumed, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from depot_server import sha256
from hub_server import COMMIT, CONFIG, ENGINE_FILES, Hub, model_files, running

from depot import download
from depot.errors import DepotError
from depot.models import described, gather
from fleet.errors import SettingsError
from fleet.manifest import read_manifest
from fleet.origin import Repository
from fleet.settings import Fleet, Mac, Model

ROOT = Path(__file__).parents[2]
NAME = "lab/tiny"
WEIGHTS = model_files()["model.safetensors"]
SECRET = "hf_this-is-a-secret"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The client's hub. It reads HF_ENDPOINT when it is imported, so what it made of that is set."""
    with running() as started:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", started.url)
        template = started.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")
        started.add(NAME, model_files())
        yield started


def model(revision: str = COMMIT, name: str = NAME) -> Model:
    return Model(id="tiny", source=Repository(name), revision=revision)


def objects(depot: Path) -> list[str]:
    return sorted(path.name for path in depot.glob("objects/*/*"))


def refused(tmp_path: Path, asked: Model | None = None) -> str:
    """The one line that a person reads. Nothing has a final name then."""
    with pytest.raises(DepotError) as problem:
        gather(asked or model(), tmp_path)
    text = str(problem.value)
    assert "\n" not in text
    assert "hf:lab/" in text
    assert sha256(WEIGHTS) not in objects(tmp_path)
    return text


def test_what_an_engine_needs_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    found = gather(model(), tmp_path)
    assert [file.path for file in found.manifest.files] == ENGINE_FILES
    assert {name: path.read_bytes() for name, path in found.files.items()} == {
        name: model_files()[name] for name in ENGINE_FILES
    }
    assert all(path == tmp_path / "objects" / path.name[:2] / path.name for path in found.files.values())
    assert found.manifest.revision == COMMIT[:12]
    assert found.manifest.config == CONFIG
    assert not found.private
    assert not [path for path in hub.asked if "onnx" in path or path.endswith((".bin", ".md"))]
    assert list((tmp_path / "partial").iterdir()) == []
    hub.asked.clear()
    assert gather(model(), tmp_path) == found
    assert hub.asked == []


def test_files_that_the_depot_has_from_another_commit_are_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    other = "f" * 40
    hub.add(NAME, {**model_files(), "tokenizer.json": b'{"version": "2.0"}'}, other)
    first, second = gather(model(), tmp_path), gather(model(other), tmp_path)
    assert hub.sent(WEIGHTS) == len(WEIGHTS)
    assert first.files["model.safetensors"] == second.files["model.safetensors"]
    assert first.files["tokenizer.json"] != second.files["tokenizer.json"]
    assert second.manifest.revision == "f" * 12


def test_a_body_that_is_cut_goes_on_where_it_ended(hub: Hub, tmp_path: Path) -> None:
    hub.cdn.cuts[f"/cdn/{sha256(WEIGHTS)}"] = [3000]
    assert gather(model(), tmp_path).files["model.safetensors"].read_bytes() == WEIGHTS
    assert hub.sent(WEIGHTS) == len(WEIGHTS)


def test_a_server_that_is_busy_for_a_moment_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.cdn.statuses[f"/cdn/{sha256(WEIGHTS)}"] = [503]
    gather(model(), tmp_path)
    assert hub.sent(WEIGHTS) == len(WEIGHTS)


FETCH = """
import sys
from pathlib import Path
from depot.models import gather
from fleet.origin import Repository
from fleet.settings import Model

print(gather(Model(id="tiny", source=Repository(sys.argv[1]), revision=sys.argv[2]), Path(sys.argv[3])))
"""


# Pulls the plug once five million bytes of a file have arrived.
DYING = """
import os, signal
from depot.partial import Partial

write = Partial.write
def dying(partial, chunk):
    write(partial, chunk)
    if partial.have >= 5_000_000:
        os.kill(os.getpid(), signal.SIGKILL)
Partial.write = dying
"""


def fetching(hub: Hub, depot: Path, program: str = FETCH) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with the environment that a person has."""
    ours = {"HF_ENDPOINT": hub.url, "HF_TOKEN": SECRET, "HF_HOME": str(depot.parent / "home")}
    return subprocess.run(
        [sys.executable, "-c", program, NAME, COMMIT, str(depot)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def test_a_killed_run_keeps_what_had_arrived(hub: Hub, tmp_path: Path) -> None:
    weights = os.urandom(8_000_000)
    hub.add(NAME, model_files(weights))
    depot = tmp_path / "depot"
    assert fetching(hub, depot, DYING + FETCH).returncode == -signal.SIGKILL
    had = (depot / "partial" / sha256(weights)).stat().st_size
    assert had > 4_900_000
    assert sha256(weights) not in objects(depot)
    hub.cdn.sent.clear()
    done = fetching(hub, depot)
    assert done.returncode == 0, done.stdout
    assert hub.sent(weights) == len(weights) - had
    assert (depot / "objects" / sha256(weights)[:2] / sha256(weights)).read_bytes() == weights


def test_the_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path) -> None:
    hub.repos[NAME].token = SECRET
    hub.repos[NAME].private = True
    depot = tmp_path / "depot"
    done = fetching(hub, depot)
    assert done.returncode == 0, done.stdout
    ours = [token for path, token in zip(hub.asked, hub.tokens, strict=True) if NAME in path]
    assert set(ours) == {f"Bearer {SECRET}"}
    assert hub.cdn.headers
    assert not any("authorization" in (name.lower() for name in seen) for seen in hub.cdn.headers.values())
    assert SECRET not in done.stdout
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert gather(model(), depot).private
    assert not gather(replace(model(), private=False), depot).private


def test_a_large_file_that_is_another_than_listed_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.repos[NAME].swapped["model.safetensors"] = WEIGHTS[::-1]
    text = refused(tmp_path)
    assert "model.safetensors" in text
    assert sha256(WEIGHTS[::-1]) in text
    assert sha256(WEIGHTS[::-1]) not in objects(tmp_path)
    hub.repos[NAME].swapped.clear()
    assert gather(model(), tmp_path).files["model.safetensors"].read_bytes() == WEIGHTS


def test_a_small_file_that_is_another_than_listed_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.repos[NAME].swapped["tokenizer.json"] = b'{"version": "9.0"}'
    assert "tokenizer.json: its git hash is " in refused(tmp_path)
    assert objects(tmp_path) == []
    assert read_manifest(tmp_path, Repository(NAME), COMMIT) is None


def test_a_gated_repository_says_how_to_get_in(hub: Hub, tmp_path: Path) -> None:
    hub.repos[NAME].token = SECRET
    assert refused(tmp_path) == (
        f"hf:{NAME}: {hub.url} gives it only to accounts that accepted its terms (HTTP 403). Accept them at "
        f"https://huggingface.co/{NAME}, then give a token of that account by `hf auth login` on this machine "
        "(or HF_TOKEN)."
    )


def test_a_repository_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    assert refused(tmp_path, model(name="lab/nothing")) == (
        f"hf:lab/nothing: {hub.url} shows no such repository (HTTP 401). Correct its name, or give a token that may "
        "read it by `hf auth login` on this machine (or HF_TOKEN)."
    )


def test_a_commit_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    other = "a" * 40
    assert refused(tmp_path, model(other)) == (
        f"hf:{NAME}: it has no commit {other}. https://huggingface.co/{NAME}/commits/main shows those that there are."
    )


def test_a_hub_that_is_broken_or_gone(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.statuses = [500]
    assert refused(tmp_path) == f"hf:{NAME}: {hub.url} answered HTTP 500. Run it again later."
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    text = refused(tmp_path)
    assert text.startswith(f"hf:{NAME}: http://127.0.0.1:1 gives no good answer: ")
    assert text.endswith("set HF_ENDPOINT to a mirror, or name a folder on this machine.")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "the depot lacks it, and HF_HUB_OFFLINE is set" in refused(tmp_path)


def test_what_was_fetched_needs_no_network(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gather(model(), tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert gather(model(), tmp_path) == found


def test_a_full_disk_is_told_before_a_large_file_is_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=download.SPARE + len(WEIGHTS) - 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    text = refused(tmp_path)
    assert "needs 7.0 kB" in text
    assert "1.0 kB are missing" in text
    assert hub.sent(WEIGHTS) == 0


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"config.json": b"{"}, "config.json is no JSON: "),
        ({"config.json": b"[]"}, "config.json is not a JSON object"),
        ({"a\\b.json": b"{}"}, r"a file is called 'a\\b.json', which is no name below a folder"),
        ({"/etc/x.json": b"{}"}, "a file is called '/etc/x.json', which is no name below a folder"),
        ({"config.json": None}, "no config.json in it"),
        ({"model.safetensors": None}, "no .safetensors in it"),
    ],
)
def test_a_repository_that_is_no_model(hub: Hub, tmp_path: Path, files: dict[str, bytes | None], text: str) -> None:
    changed = {name: data for name, data in {**model_files(), **files}.items() if data is not None}
    hub.add(NAME, changed)
    assert text in refused(tmp_path)
    assert read_manifest(tmp_path, Repository(NAME), COMMIT) is None


def fleet_of(depot: Path, *models: Model) -> Fleet:
    return Fleet(macs=(Mac("alpha", "head", "10.77.0.11"),), name="lab", depot=depot, models=models)


def test_the_plan_knows_what_a_repository_holds_before_it_is_fetched(hub: Hub, tmp_path: Path) -> None:
    told: list[str] = []
    (known,) = described(fleet_of(tmp_path, model()), told.append).models
    assert told == [f"depot: asking Hugging Face about hf:{NAME}"]
    assert known.weights.files == tuple((name, len(model_files()[name])) for name in ENGINE_FILES)
    assert known.weights.tensor_bytes == len(WEIGHTS)
    assert known.weights.config == CONFIG
    assert known.path == f"/opt/raylab/weights/tiny/{COMMIT[:12]}"
    assert known.context == 1024, "nobody chose one: no more than the model was made for"
    assert hub.sent(WEIGHTS) == 0
    hub.asked.clear()
    (again,) = described(fleet_of(tmp_path, model()), told.append).models
    assert again == known
    assert (hub.asked, len(told)) == ([], 1)


def test_a_context_that_is_too_long_is_told_then(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as problem:
        described(fleet_of(tmp_path, replace(model(), context=2048)), print)
    assert str(problem.value) == (
        "models[0].context: a context of 2048 tokens; the model was made for 1024. Set it to 1024 or less."
    )


def test_all_models_that_cannot_be_had_are_told_at_once(hub: Hub, tmp_path: Path) -> None:
    lost = [replace(model(name=f"lab/{name}"), id=name) for name in ("one", "two")]
    with pytest.raises(DepotError) as problem:
        described(fleet_of(tmp_path, model(), *lost), print)
    assert [line.partition(": ")[0] for line in str(problem.value).splitlines()] == ["hf:lab/one", "hf:lab/two"]


def test_the_manifest_in_the_depot_is_all_that_is_needed(hub: Hub, tmp_path: Path) -> None:
    found = gather(model(), tmp_path)
    (path,) = (tmp_path / "models").iterdir()
    assert path.name.startswith("tiny@")
    data = json.loads(path.read_text())
    assert data["source"] == f"hf:{NAME}"
    assert [file["sha256"] for file in data["files"]] == [sha256(model_files()[name]) for name in ENGINE_FILES]
    assert read_manifest(tmp_path, Repository(NAME), COMMIT) == found.manifest
