"""What a model needs of a Mac, from the headers of its weights and its config; what a Mac can give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_memory_models import DEEPSEEK_V3, GPT_OSS_120B, LLAMA_8B, LLAMA_70B, QWEN3_235B

from fleet import mlx_models
from fleet.engines import ENGINES
from fleet.manifest import Manifest, WeightsFile, manifest_path, read_manifest
from fleet.memory import (
    UNKNOWN_CACHE,
    default_limit,
    indivisible,
    need_of,
    usable_bytes,
    weight_bits,
    wired_limit_mb,
)
from fleet.origin import Folder
from fleet.settings import GB, Model, Stored
from fleet.weights import Tensors, Weights, read_weights

ROOT = Path(__file__).parents[2]


def safetensors(path: Path, **tensors: tuple[str, int]) -> None:
    """A file with these tensors, each as (dtype, bytes); dots in their names are written as two underscores."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, size) in tensors.items():
        header[name.replace("__", ".")] = {"dtype": dtype, "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * end)


def folder(path: Path, **config: object) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(LLAMA_8B | config))
    return path


def model(weights: Weights, **settings: object) -> Model:
    return Model(id="m", source=None, weights=weights, **settings)


def of_size(size: int, config: dict[str, Any], **settings: object) -> Model:
    """A model whose files take so many bytes, and whose headers were not read."""
    return model(Weights((("model.safetensors", size),), "0" * 12, config), **settings)


def test_weights_are_what_the_headers_say(tmp_path: Path) -> None:
    made = folder(tmp_path / "model")
    embeddings = {"model__embed_tokens__weight": ("BF16", 100), "lm_head__weight": ("BF16", 100)}
    safetensors(made / "model-1.safetensors", **embeddings)
    safetensors(made / "model-2.safetensors", model__layers__0__mlp__weight=("BF16", 1000), scale=("F32", 8))
    assert read_weights(made).tensors == Tensors({"BF16": 1200, "F32": 8}, 200)
    assert read_weights(made).tensor_bytes == 1208


def test_an_output_layer_that_is_the_embeddings_again_counts_once(tmp_path: Path) -> None:
    made = folder(tmp_path / "model", tie_word_embeddings=True)
    safetensors(made / "model.safetensors", model__embed_tokens__weight=("BF16", 100), lm_head__weight=("BF16", 100))
    assert read_weights(made).tensor_bytes == 100
    (made / "config.json").write_text(
        json.dumps({"text_config": {"num_hidden_layers": 1}, "tie_word_embeddings": True})
    )
    assert read_weights(made).tensor_bytes == 100


def test_a_tensor_that_two_files_hold_counts_once(tmp_path: Path) -> None:
    made = folder(tmp_path / "model")
    safetensors(made / "model-1.safetensors", a=("BF16", 100), b=("BF16", 10))
    safetensors(made / "model-2.safetensors", b=("BF16", 10))
    safetensors(made / "consolidated.safetensors", other_name=("BF16", 110))
    (made / "model.safetensors.index.json").write_text("{}")
    assert read_weights(made).tensor_bytes == 110


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\0" * 100,
        b"\xff" * 100,
        (5).to_bytes(8, "little") + b"{oops",
        (2).to_bytes(8, "little") + b"[]",
        (13).to_bytes(8, "little") + b'{"a": {"b":1}}',
        (8).to_bytes(8, "little") + b'{"a": 1}',
    ],
)
def test_files_without_a_header_count_by_their_size(tmp_path: Path, content: bytes) -> None:
    made = folder(tmp_path / "model")
    safetensors(made / "model-1.safetensors", a=("BF16", 100))
    (made / "model-2.safetensors").write_bytes(content)
    found = read_weights(made)
    assert found.tensors is None
    assert found.tensor_bytes == sum(path.stat().st_size for path in made.glob("*.safetensors"))


def test_a_manifest_keeps_what_the_headers_said(tmp_path: Path) -> None:
    source, tensors = Folder("m", tmp_path / "gone"), Tensors({"BF16": 1200, "F32": 8}, 200)
    kept = Manifest("0" * 12, (WeightsFile("model.safetensors", 5000, "a" * 64),), LLAMA_8B, tensors=tensors)
    path = manifest_path(tmp_path, source, None)
    path.parent.mkdir()
    path.write_text(kept.record("m"))
    found = read_manifest(tmp_path, source, None)
    assert found == kept
    assert found.weights.tensor_bytes == 1208
    path.write_text(replace(kept, tensors=None).record("m"))
    found = read_manifest(tmp_path, source, None)
    assert found
    assert found.weights.tensor_bytes == 5000


def test_what_one_mac_holds_of_a_model() -> None:
    made = of_size(16 * GB, LLAMA_8B, context=8192, concurrency=4)
    need = need_of(made)
    assert need.weights == 16 * GB
    assert need.kv_cache == 32 * 2 * 8 * 128 * 2 * 8192 * 4
    assert need.overhead == ENGINES["vllm"].overhead
    assert need.total == need.weights + need.kv_cache + need.overhead
    assert need_of(replace(made, engine="mlx")).overhead == ENGINES["mlx"].overhead
    assert need_of(replace(made, memory_gb=10.5)).total == 10.5 * GB


def test_adapters_are_in_memory_too() -> None:
    adapter = Stored("m-a", Folder("a", Path("a")), weights=Weights((("adapter_model.safetensors", GB),), "0" * 12))
    plain = of_size(16 * GB, LLAMA_8B)
    assert need_of(replace(plain, adapters=(adapter,))).weights == need_of(plain).weights + GB


def test_a_group_shares_layers_and_keeps_the_embeddings_whole() -> None:
    tensors = Tensors({"BF16": 140 * GB}, 4 * GB)
    made = model(Weights((), "", LLAMA_70B, tensors), engine="mlx", context=8192, concurrency=4)
    cache = 80 * 2 * 8 * 128 * 2 * 8192 * 4
    need = need_of(made, 4)
    assert need.weights == 4 * GB + 136 * GB // 4
    assert need.kv_cache == cache // 4
    assert need.overhead == ENGINES["mlx"].overhead, "each Mac runs the whole engine"
    assert need_of(made, 1).weights == 140 * GB
    # Without headers: 128256 words of 8192 values of two bytes, in and out.
    guess = need_of(of_size(140 * GB, LLAMA_70B, engine="mlx"), 4).weights
    embeddings = 2 * 128256 * 8192 * 2
    assert guess == embeddings + -(-(140 * GB - embeddings) // 4)


def test_layers_that_do_not_divide_count_as_the_mac_with_most_of_them() -> None:
    made = model(Weights((), "", LLAMA_70B, Tensors({"BF16": 80 * GB}, 0)), context=1024, concurrency=1)
    # 80 layers on 3 Macs are 27, 27 and 26.
    assert need_of(made, 3).weights == 27 * GB
    assert need_of(made, 3).kv_cache == 27 * 2 * 8 * 128 * 2 * 1024


def test_a_latent_cache_is_on_every_mac_of_a_group_that_shares_layers() -> None:
    made = of_size(400 * GB, DEEPSEEK_V3, engine="mlx", context=1000, concurrency=1)
    whole = 61 * 576 * 2 * 1000
    assert need_of(made, 2).kv_cache == whole
    # In a pipeline each Mac has layers of its own: 31 of 61 are the most.
    assert need_of(replace(made, engine_kwargs={"pipeline": True}), 2).kv_cache == -(-whole * 31 // 61)


# No config.json; one without layers; one of layers that all keep a state.
UNKNOWN: list[dict[str, Any]] = [
    {},
    {"hidden_size": 64},
    {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "layer_types": ["mamba", "mamba"]},
]


@pytest.mark.parametrize("config", UNKNOWN)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("macs", [1, 2])
def test_a_cache_that_nobody_can_tell_is_counted_as_large_as_the_engine_gets_it(
    config: dict[str, Any], engine: str, macs: int
) -> None:
    made = of_size(4 * GB, config, engine=engine)
    need = need_of(made, macs)
    assert need.kv_cache == need.cache_room == UNKNOWN_CACHE
    assert need.total == need.weights + UNKNOWN_CACHE + need.overhead
    assert need_of(replace(made, memory_gb=20)).cache_room == 20 * GB - 4 * GB - need.overhead
    assert need_of(replace(made, memory_gb=1)).cache_room == UNKNOWN_CACHE


@pytest.mark.parametrize(
    ("made", "macs", "reason"),
    [
        (of_size(1, LLAMA_70B, engine="mlx"), 8, ""),
        (of_size(1, LLAMA_70B, engine="mlx"), 3, "8 KV heads cannot be shared out evenly to 3 Macs"),
        (of_size(1, LLAMA_70B, engine="mlx"), 1, ""),
        (of_size(1, LLAMA_70B), 3, ""),
        (of_size(1, LLAMA_70B), 81, "80 layers cannot be shared out to 81 Macs"),
        (of_size(1, GPT_OSS_120B, engine="mlx"), 2, ""),
        (of_size(1, DEEPSEEK_V3, engine="mlx"), 2, ""),
        (
            of_size(1, DEEPSEEK_V3, engine="mlx", engine_kwargs={"pipeline": True}),
            3,
            "61 layers cannot be shared out evenly to 3 Macs",
        ),
        (of_size(1, DEEPSEEK_V3), 3, ""),
        (of_size(1, {}, engine="mlx"), 3, ""),
        (
            of_size(1, QWEN3_235B, engine="mlx"),
            2,
            f"mlx-lm {mlx_models.VERSION} cannot share out models of type qwen3_moe",
        ),
        (
            of_size(1, LLAMA_70B, engine="mlx", engine_kwargs={"pipeline": True}),
            2,
            f"mlx-lm {mlx_models.VERSION} has no pipeline for models of type llama",
        ),
    ],
)
def test_which_groups_can_hold_a_model(made: Model, macs: int, reason: str) -> None:
    assert indivisible(made, macs) == reason


def test_the_tables_are_of_the_locked_mlx_lm() -> None:
    locks = [path.read_text() for path in (ROOT / "locks").glob("*/wheels.lock")]
    pinned = {line.split()[0] for text in locks for line in text.splitlines() if line.startswith("mlx-lm==")}
    assert pinned <= {f"mlx-lm=={mlx_models.VERSION}"}, "read fleet/mlx_models.py's tables from its source again"


@pytest.mark.parametrize(
    ("config", "tensors", "bits"),
    [
        (LLAMA_8B, None, 16),
        (LLAMA_8B | {"torch_dtype": "float32"}, None, 32),
        (LLAMA_8B | {"quantization": {"bits": 4, "group_size": 64}}, None, 4.5),
        (LLAMA_8B | {"quantization": {"bits": 8, "group_size": 64}}, Tensors({"U32": 8, "BF16": 1}, 0), 8.5),
        (LLAMA_8B | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}, None, 4.25),
        (DEEPSEEK_V3, Tensors({"BF16": 10, "F8_E4M3": 600, "F32": 1}, 0), 8),
        (GPT_OSS_120B, Tensors({"BF16": 4, "U8": 60}, 0), 4.25),
    ],
)
def test_how_many_bits_a_weight_has_now(config: dict[str, Any], tensors: Tensors | None, bits: float) -> None:
    assert weight_bits(model(Weights((), "", config, tensors))) == bits


@pytest.mark.parametrize(
    ("memory", "default", "usable"),
    [
        # Small Macs: macOS's own limit leaves less than raylab would.
        (8, 8 * 2 / 3, 8 * 2 / 3),
        (16, 16 * 2 / 3, 16 * 2 / 3),
        (24, 16, 18),
        (36, 24, 30),
        (64, 48, 57.6),
        (128, 96, 115.2),
        (512, 384, 460.8),
    ],
)
def test_what_a_mac_gives_to_models(memory: int, default: float, usable: float) -> None:
    assert abs(default_limit(memory * GB) - default * GB) <= 1
    assert abs(usable_bytes(memory * GB) - usable * GB) <= 1


def test_the_limit_of_the_gpu_is_raised_only_when_it_must_be() -> None:
    assert wired_limit_mb(64 * GB, 48 * GB) is None
    assert wired_limit_mb(64 * GB, 48 * GB + 1) == 64 * 1024 * 9 // 10
    assert wired_limit_mb(64 * GB, 50 * GB) == wired_limit_mb(64 * GB, 57 * GB), "of the Mac alone"
    assert wired_limit_mb(16 * GB, usable_bytes(16 * GB)) is None


# The folder as a whole


def test_a_scaled_context_is_not_taken_for_the_longest() -> None:
    base = {"max_position_embeddings": 4096}
    assert Weights(config=base).longest_context == 4096
    assert Weights(config=base | {"rope_parameters": {"rope_type": "default"}}).longest_context == 4096
    assert Weights(config=base | {"rope_parameters": {"rope_type": "yarn"}}).longest_context is None
    assert Weights(config=base | {"rope_scaling": {"type": "yarn"}}).longest_context is None


def test_the_revision_changes_with_names_sizes_and_contents_only(tmp_path: Path) -> None:
    made = folder(tmp_path / "model")
    safetensors(made / "model.safetensors", a=("BF16", 100))
    before = read_weights(made)
    (made / ".cache").mkdir()
    (made / ".cache/x").write_text("not part of the model")
    (made / "model.safetensors").touch()
    assert read_weights(made) == before
    assert [name for name, _ in before.files] == ["config.json", "model.safetensors"]
    (made / "tokenizer.json").write_text("[]")
    assert read_weights(made).revision != before.revision


def test_the_end_of_a_large_file_counts(tmp_path: Path) -> None:
    made = folder(tmp_path / "model")
    safetensors(made / "model.safetensors", a=("BF16", 5 * 1024**2))
    before = read_weights(made).revision
    with (made / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert read_weights(made).revision != before


def test_only_what_an_engine_loads_counts() -> None:
    files = (("model-1.safetensors", 5), ("consolidated.safetensors", 5), ("original/x.safetensors", 5))
    assert Weights(files=files).tensor_bytes == 10
    assert Weights(files=(*files, ("model.safetensors.index.json", 1))).tensor_bytes == 5
