"""Small models that mlx-lm really serves, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from tokenizers import AddedToken, Tokenizer

from lab.artifacts.model import WORDS, write_model

# What begins an answer of the reciting model is what its template ends with: {"start": "[plain]"}.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for tool_call in message.tool_calls or [] %}<tool_call>{{ tool_call.name }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{{ start or '' }}{% endif %}"
)
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'
END = "<|im_end|>"
# A token stands in one place only: what follows it is all that this model knows.
RECITALS = (
    ("[plain]", "Hel", "lo wor", "ld. Good", "bye", END),
    ("[think]", "<think>", "Let me", " see.", "</think>", "It is", " so.", END),
    ("[call]", "I will ask.", "<tool_call>", CALL, "</tool_call>", "Done", "!", END),
    ("[accent]", "caf", "Ã", "©", " au", " lait", END),
    ("[space]", " leading", END),
    ("[special]", "<|im_start|>", "after", END),
    ("[long]", "tick", "tack", "tick"),
)


_folders: list[TemporaryDirectory[str]] = []


def folder() -> Path:
    """A new one, for as long as the tests run."""
    _folders.append(TemporaryDirectory(prefix="mlx-test-"))
    return Path(_folders[-1].name)


@cache
def lively() -> str:
    """A random model whose answers wander: each next token has many likely ones."""
    path = folder() / "lively"
    write_model(path)
    random = np.random.default_rng(7)
    weights = _load(path)
    for name, values in weights.items():
        # Precise enough that sums in another order, in a batch or a ring, choose the same tokens.
        weights[name] = values.astype(mx.float32) * (8 if "proj" in name else 1)
    head = random.normal(0, 0.25, weights["model.embed_tokens.weight"].shape)
    head[:WORDS] *= 0.01
    weights["lm_head.weight"] = mx.array(head.astype(np.float32))
    mx.save_safetensors(str(path / "model.safetensors"), weights)
    change(path / "config.json", tie_word_embeddings=False, dtype="float32")
    return str(path)


@cache
def reciting(call: str = CALL) -> str:
    """A model that says what it has learnt by heart, with a chat template for tools and reasoning."""
    path = folder() / "reciting"
    write_model(path)
    recitals = [[call if word == CALL else word for word in recital] for recital in RECITALS]
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    known = tokenizer.get_vocab()
    new = dict.fromkeys(word for recital in recitals for word in recital if word not in known)
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in new])
    tokenizer.save(str(path / "tokenizer.json"))
    change(path / "tokenizer_config.json", chat_template=TEMPLATE)
    size = tokenizer.get_vocab_size()
    follows = dict.fromkeys(range(size), tokenizer.token_to_id(END))
    for recital in recitals:
        numbers = [tokenizer.token_to_id(word) for word in recital]
        follows |= dict(pairwise(numbers))
    weights = _load(path)
    # What the layers add to a token is nothing; the head looks at the token alone.
    for name, values in weights.items():
        shape = _widened(name, values.shape, size)
        weights[name] = (mx.ones if name.endswith("norm.weight") else mx.zeros)(shape, mx.bfloat16)
    weights["model.embed_tokens.weight"] = mx.eye(size).astype(mx.bfloat16)
    head = np.zeros((size, size), np.float32)
    head[list(follows.values()), list(follows)] = 1
    weights["lm_head.weight"] = mx.array(head).astype(mx.bfloat16)
    mx.save_safetensors(str(path / "model.safetensors"), weights)
    change(path / "config.json", tie_word_embeddings=False, vocab_size=size, hidden_size=size)
    return str(path)


def change(path: Path, **values: object) -> None:
    """Set values in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = mx.load(str(path / "model.safetensors"))
    # mlx reads when it must, and the file is about to be written.
    mx.eval(loaded)
    return loaded


def _widened(name: str, shape: Sequence[int], size: int) -> tuple[int, ...]:
    """The shape of a tensor of the lab's model, in one with that hidden size."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return tuple(shape)
    if name.endswith(("o_proj.weight", "down_proj.weight", "layernorm.weight", "model.norm.weight")):
        return (size, *shape[1:])
    return (shape[0], size)


@cache
def windowed() -> str:
    """A random Gemma 3, whose caches forget what is far back and so cannot be cut: window of 16 tokens."""
    from mlx_lm.models.gemma3_text import Model, ModelArgs

    settings = {
        "model_type": "gemma3_text",
        "num_hidden_layers": 4,
        "num_key_value_heads": 1,
        "sliding_window": 16,
        "sliding_window_pattern": 2,
        "query_pre_attn_scalar": 32,
    }
    return _random(Model, ModelArgs, settings)


@cache
def piped() -> str:
    """A random GLM 4.5, whose layers mlx-lm can spread over several Macs."""
    from mlx_lm.models.glm4_moe import Model, ModelArgs

    settings = {
        "model_type": "glm4_moe",
        "num_hidden_layers": 4,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
        "n_group": 1,
        "topk_group": 1,
        "n_shared_experts": 1,
        "n_routed_experts": 4,
        "routed_scaling_factor": 1.0,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "use_qk_norm": True,
        "rope_scaling": None,
        "partial_rotary_factor": 0.5,
        "tie_word_embeddings": False,
    }
    return _random(Model, ModelArgs, settings)


@cache
def recurrent() -> str:
    """A random Qwen3.5: every second layer keeps a state instead of something for each token."""
    from mlx_lm.models.qwen3_5 import Model, ModelArgs

    settings = {
        "model_type": "qwen3_5",
        "num_hidden_layers": 4,
        "full_attention_interval": 2,
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }
    return _random(Model, ModelArgs, settings)


def _random(kind: Any, arguments: Any, settings: dict[str, object]) -> str:  # noqa: ANN401
    """The lab's tokenizer and sizes, and another network."""
    path = folder() / str(settings["model_type"])
    write_model(path)
    change(path / "config.json", **settings)
    model = kind(arguments.from_dict(json.loads((path / "config.json").read_text())))
    mx.random.seed(3)
    weights = {name: mx.random.normal(old.shape) * 0.2 for name, old in tree_flatten(model.parameters())}
    mx.save_safetensors(str(path / "model.safetensors"), weights)
    return str(path)
