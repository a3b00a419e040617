"""The KV cache of models that people run, by hand from the config.json that their publishers give.

Each row names the repository whose config.json it means. Those of Phi-4, gpt-oss, DeepSeek V3 and Gemma 3 were
compared with copies of that file or with transformers' defaults; those of Llama and Qwen with what others quote of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from fleet.kvcache import read_cache

LLAMA_8B = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
LLAMA_70B = LLAMA_8B | {"num_hidden_layers": 80, "num_attention_heads": 64, "hidden_size": 8192}
QWEN3_8B = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
    "sliding_window": None,
    "use_sliding_window": False,
    "max_window_layers": 36,
}
# Two heads of 128 for each key, and hidden_size is half of heads × head_dim: head_dim must be read.
QWEN3_30B = QWEN3_8B | {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "hidden_size": 2048,
    "max_window_layers": 48,
}
QWEN3_235B = QWEN3_30B | {"num_hidden_layers": 94, "num_attention_heads": 64, "hidden_size": 4096}
GPT_OSS_120B = {
    "model_type": "gpt_oss",
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "hidden_size": 2880,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "hidden_size": 7168,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
}
PHI_4 = {
    "model_type": "phi3",
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 10,
    "hidden_size": 5120,
    "sliding_window": None,
}
# Its config.json leaves the pattern of the layers to the model's code: every sixth sees the whole conversation.
GEMMA_3_27B = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text",
        "num_hidden_layers": 62,
        "num_attention_heads": 32,
        "num_key_value_heads": 16,
        "head_dim": 128,
        "hidden_size": 5376,
        "sliding_window": 1024,
    },
}

# Layers × keys and values × KV heads × head size × two bytes, and the window of those layers.
EXPECTED: list[tuple[str, dict[str, Any], list[tuple[int, int | None]]]] = [
    ("meta-llama/Llama-3.1-8B-Instruct", LLAMA_8B, [(32 * 2 * 8 * 128 * 2, None)]),
    ("meta-llama/Llama-3.1-70B-Instruct", LLAMA_70B, [(80 * 2 * 8 * 128 * 2, None)]),
    ("Qwen/Qwen3-8B", QWEN3_8B, [(36 * 2 * 8 * 128 * 2, None)]),
    ("Qwen/Qwen3-30B-A3B", QWEN3_30B, [(48 * 2 * 4 * 128 * 2, None)]),
    ("Qwen/Qwen3-235B-A22B", QWEN3_235B, [(94 * 2 * 4 * 128 * 2, None)]),
    ("openai/gpt-oss-120b", GPT_OSS_120B, [(18 * 2 * 8 * 64 * 2, None), (18 * 2 * 8 * 64 * 2, 128)]),
    # One vector of 512 + 64 values a layer, whatever the number of heads.
    ("deepseek-ai/DeepSeek-V3", DEEPSEEK_V3, [(61 * (512 + 64) * 2, None)]),
    ("microsoft/phi-4", PHI_4, [(40 * 2 * 10 * 128 * 2, None)]),
    # 62 layers are ten times six, the sixth of which is whole, and two more.
    ("google/gemma-3-27b-it", GEMMA_3_27B, [(10 * 2 * 16 * 128 * 2, None), (52 * 2 * 16 * 128 * 2, 1024)]),
]


@pytest.mark.parametrize("engine", ["vllm", "mlx"])
@pytest.mark.parametrize(("repository", "config", "expected"), EXPECTED, ids=[row[0] for row in EXPECTED])
def test_the_cache_of_a_published_model(
    repository: str, config: dict[str, Any], expected: list[tuple[int, int | None]], engine: str
) -> None:
    cache = read_cache(config, engine, {})
    assert cache is not None, repository
    for context in (100, 32768):
        by_hand = sum(per_token * min(context, window or context) for per_token, window in expected)
        assert cache.size(context, 1) == by_hand
        assert cache.size(context, 7) == 7 * by_hand


def test_the_numbers_that_people_know() -> None:
    """128 KiB a token for Llama 3.1 8B, 320 KiB for 70B, 70 KB for DeepSeek V3."""
    sizes = {name: read_cache(config, "vllm", {}) for name, config, _ in EXPECTED}
    known = {name: cache.size(1, 1) for name, cache in sizes.items() if cache}
    assert known["meta-llama/Llama-3.1-8B-Instruct"] == 131072
    assert known["meta-llama/Llama-3.1-70B-Instruct"] == 327680
    assert known["deepseek-ai/DeepSeek-V3"] == 70272
    assert known["Qwen/Qwen3-235B-A22B"] == 192512


def test_a_window_counts_only_where_the_engine_keeps_to_it() -> None:
    """mlx-lm keeps every token of these, whatever config.json says of their layers."""
    config = QWEN3_8B | {"sliding_window": 1000, "layer_types": ["sliding_attention"] * 36}
    windowed, whole = read_cache(config, "vllm", {}), read_cache(config, "mlx", {})
    assert windowed
    assert whole
    assert windowed.size(4000, 1) == 36 * 2 * 8 * 128 * 2 * 1000
    assert whole.size(4000, 1) == 36 * 2 * 8 * 128 * 2 * 4000
    # A window that no layer is said to have is switched off.
    off = read_cache(QWEN3_8B | {"sliding_window": 1000}, "vllm", {})
    assert off
    assert off.size(4000, 1) == whole.size(4000, 1)


def test_a_latent_cache_that_mlx_expands() -> None:
    config = DEEPSEEK_V3 | {"model_type": "deepseek_v2"}
    latent, expanded = read_cache(config, "vllm", {}), read_cache(config, "mlx", {})
    assert latent
    assert expanded
    assert latent.size(1, 1) == 61 * (512 + 64) * 2
    # Every head's key, of 128 + 64 values, and value, of 128.
    assert expanded.size(1, 1) == 61 * 128 * (128 + 64 + 128) * 2
    assert not expanded.latent


def test_a_quantised_cache_takes_half() -> None:
    half, full = read_cache(LLAMA_8B, "vllm", {"kv_cache_dtype": "fp8_e4m3"}), read_cache(LLAMA_8B, "vllm", {})
    assert half
    assert full
    assert half.size(1, 1) * 2 == full.size(1, 1)
    wide = read_cache(LLAMA_8B, "vllm", {"dtype": "float32"})
    assert wide
    assert wide.size(1, 1) == 2 * full.size(1, 1)


def test_layers_with_a_state_are_told_and_not_counted() -> None:
    qwen3_next = QWEN3_8B | {"model_type": "qwen3_next", "num_hidden_layers": 48, "full_attention_interval": 4}
    cache = read_cache(qwen3_next, "mlx", {})
    assert cache
    assert (len(cache.layers), cache.states) == (12, 36)
    assert cache.state_bytes == 0
    listed = read_cache(QWEN3_8B | {"layer_types": ["mamba", "full_attention"] * 18}, "vllm", {})
    assert listed
    assert (len(listed.layers), listed.states) == (18, 18)
    assert read_cache(QWEN3_8B | {"hybrid_override_pattern": "M-M*"}, "vllm", {}) is None


def test_states_of_linear_attention_are_counted() -> None:
    """Qwen3-Next-80B-A3B, by its config.json: 32 heads of 128 x 128 in float32, and three tokens."""
    linear = {"num_key_heads": 16, "num_value_heads": 32, "key_head_dim": 128, "value_head_dim": 128}
    config = QWEN3_8B | {"model_type": "qwen3_next", "num_hidden_layers": 48, "full_attention_interval": 4}
    config |= {f"linear_{name}": value for name, value in (linear | {"conv_kernel_dim": 4}).items()}
    cache = read_cache(config, "mlx", {})
    assert cache
    assert cache.state_bytes == 36 * (32 * 128 * 128 * 4 + 3 * 8192 * 2)
    assert cache.size(1000, 4) == 4 * (cache.state_bytes + 1000 * sum(layer.bytes_per_token for layer in cache.layers))


@pytest.mark.parametrize("config", [None, {}, {"model_type": "odd"}, {"num_hidden_layers": "many"}])
def test_a_config_that_does_not_tell(config: dict[str, Any] | None) -> None:
    assert read_cache(config, "vllm", {}) is None
