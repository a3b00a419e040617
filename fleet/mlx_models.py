"""What mlx-lm does with which models, by config.json's model_type: what only its source tells."""

from __future__ import annotations

# The release that these tables were read from; a test compares it with the locks.
VERSION = "0.31.3"

# Served by another's code.
SAME_AS = {
    "mistral": "llama",
    "iquestcoder": "llama",
    "kimi_k2": "deepseek_v3",
    "joyai_llm_flash": "deepseek_v3",
    "minimax_m2": "minimax",
}

# Those with a shard(): each Mac of a group holds a part of every layer.
TENSOR = frozenset(
    [
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "exaone_moe",
        "glm4_moe",
        "glm4_moe_lite",
        "glm_moe_dsa",
        "gpt_oss",
        "iquestloopcoder",
        "kimi_k25",
        "llama",
        "longcat_flash",
        "longcat_flash_ngram",
        "minimax",
        "ministral3",
        "qwen2",
        "qwen3",
        "qwen3_5",
        "qwen3_5_moe",
        "solar_open",
        "step3p5",
    ]
)

# Those with a pipeline(): each Mac of a group holds some of the layers.
PIPELINE = frozenset(
    [
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "glm4_moe",
        "glm4_moe_lite",
        "glm_moe_dsa",
        "kimi_k25",
        "ministral3",
        "solar_open",
    ]
)

# Those whose layers with a sliding window keep no more than that; all others keep every token in every layer.
WINDOWED = frozenset(
    [
        "afmoe",
        "cohere2",
        "exaone4",
        "exaone_moe",
        "gemma3_text",
        "gemma3n",
        "gemma3n_text",
        "gemma4_text",
        "gpt_oss",
        "llama",
        "mimo_v2_flash",
        "ministral3",
        "olmo3",
        "step3p5",
    ]
)

# Those with multi-head latent attention whose cache holds every head's keys and values all the same.
EXPANDED = frozenset({"deepseek_v2", "minicpm3", "youtu_llm"})


def served_as(model_type: object) -> str:
    """The name in these tables."""
    return SAME_AS.get(str(model_type), str(model_type))
