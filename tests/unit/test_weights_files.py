"""Which files of a model an engine needs, and the manifest of a folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from depot_server import sha256

from depot.errors import DepotError
from depot.weights import engine_files, manifest, needed


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("model.safetensors.index.json", True),
        ("tokenizer.model", True),
        ("chat_template.jinja", True),
        ("merges.txt", True),
        ("pytorch_model.bin", False),
        ("README.md", False),
        ("original/consolidated.00.pth", False),
        ("onnx/config.json", False),
        ("consolidated.safetensors", False),
        (".cache/huggingface/download/config.json", False),
    ],
)
def test_only_what_an_engine_reads_is_copied(name: str, wanted: bool) -> None:
    assert needed(PurePosixPath(name), frozenset({"model.safetensors.index.json"})) is wanted


def test_a_models_own_format_is_kept_when_it_is_the_only_one() -> None:
    assert needed(PurePosixPath("consolidated.safetensors"), frozenset({"params.json"}))


@pytest.mark.parametrize("names", [["generation_config.json", "a.safetensors"], ["config.json", "fp16/a.safetensors"]])
def test_what_looks_like_a_model_and_is_none(names: list[str]) -> None:
    with pytest.raises(DepotError, match=r"^hf:a/b: no \S+ in it, so it is no model"):
        engine_files(names, "hf:a/b")


def test_a_manifest_tells_size_and_hash_of_each_file(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"twice")
    with pytest.raises(DepotError, match=r"no \.safetensors"):
        manifest(model, tmp_path / "hashes.json")
    (model / "model.safetensors").write_bytes(b"weights")
    found = manifest(model, tmp_path / "hashes.json")
    assert [(file.path, file.size, file.sha256) for file in found.files] == [
        ("config.json", 2, sha256(b"{}")),
        ("model.safetensors", 7, sha256(b"weights")),
    ]
    assert found.size == 9
    assert found.text() == manifest(model, tmp_path / "hashes.json").text()
    (model / "model.safetensors").write_bytes(b"changed")
    assert manifest(model, tmp_path / "hashes.json").revision != found.revision


def test_a_config_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(DepotError, match=r"config\.json is not a JSON object\. Copy the whole model folder\."):
        manifest(tmp_path, tmp_path / "hashes.json")
