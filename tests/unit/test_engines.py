"""The table of engines against what it describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleet import vllm_arguments
from fleet.engines import ENGINES
from fleet.settings import MODEL_SETTINGS, Model

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("platform", ["linux-64", "osx-arm64"])
def test_the_arguments_of_vllm_are_those_of_the_locks(platform: str) -> None:
    wanted = (ROOT / "locks" / platform / "wheels.in").read_text()
    pinned = re.findall(r"^vllm(?:-cpu)?(?:==| @ \S+/vllm-)([0-9.]+)", wanted, re.MULTILINE)
    assert pinned == [vllm_arguments.VERSION], "read fleet/vllm_arguments.py from its dataclasses again"


def test_the_arguments_of_mlx_are_those_of_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "serving"))
    from raylab_serving.mlx import options

    given = {"context", "concurrency", "cache_gb", "chat_template"}
    assert set(options._KINDS) == ENGINES["mlx"].arguments | given


@pytest.mark.parametrize("name", ENGINES)
def test_every_server_class_is_there(name: str) -> None:
    module, _, cls = ENGINES[name].server_cls.partition(":")
    path = ROOT / "serving" / module.replace(".", "/")
    text = "".join(file.read_text() for file in [path.with_suffix(".py"), *path.glob("*.py")] if file.is_file())
    assert f"class {cls}(" in text


@pytest.mark.parametrize("name", ENGINES)
def test_a_refusal_names_a_setting(name: str) -> None:
    model = Model(id="m", source=None)
    for refusal in ENGINES[name].refusals:
        assert refusal.field[0] in MODEL_SETTINGS
        assert not refusal.asked(model)
        assert refusal.fix.endswith(".")
