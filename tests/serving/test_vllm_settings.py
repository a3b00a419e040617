"""What vLLM is told that only its Mac knows: adapters, and its share of the memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("ray.serve.llm")

from raylab_serving import adapters
from raylab_serving.vllm import memory_settings

RANKS = (1, 8, 16, 32, 64)


def adapter(folder: Path, rank: object) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    return str(folder)


def test_there_is_room_for_every_adapter(tmp_path: Path) -> None:
    folders = {"sql": adapter(tmp_path / "sql", 12), "chat": adapter(tmp_path / "chat", 4)}
    assert adapters.engine_settings(folders, RANKS) == {"enable_lora": True, "max_loras": 2, "max_lora_rank": 16}


def test_an_adapter_that_is_too_large_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rank 65: vLLM takes up to 64"):
        adapters.engine_settings({"sql": adapter(tmp_path / "sql", 65)}, RANKS)
    with pytest.raises(ValueError, match=r'adapter "gone": .*adapter_config\.json'):
        adapters.engine_settings({"gone": str(tmp_path)}, RANKS)
    with pytest.raises(ValueError, match='adapter "odd"'):
        adapters.engine_settings({"odd": adapter(tmp_path / "odd", None)}, RANKS)


def test_an_engine_takes_what_was_planned_for_it() -> None:
    assert memory_settings({"CPU": 0.1, "memory": 6e9}, 24_000_000_000) == {"gpu_memory_utilization": 0.25}
    assert memory_settings({"memory": 30e9}, 24_000_000_000) == {"gpu_memory_utilization": 1.0}


def test_without_metal_or_a_plan_vllm_decides() -> None:
    assert memory_settings({"memory": 6e9}, None) == {}
    assert memory_settings({"CPU": 1}, 24_000_000_000) == {}
