"""A random Qwen3 of 0.5 MB: made in a second, complete enough to be served like a big one."""

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 20260801
VOCABULARY = 512
LAYERS = 3
HIDDEN = 64
HEADS = 4
KV_HEADS = 2
# The smallest head that vLLM's CPU attention knows.
HEAD = 32
FEED_FORWARD = 192
# Room for streams of minutes.
CONTEXT = 16384

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# The first token that is more than one byte.
WORDS = len(SPECIAL) + 256
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What the tokenizer's merges are learnt from.
CORPUS = [
    "A handful of Macs serve one model to everybody in the house, and nobody else.",
    "Each Mac holds the whole model; the head keeps the cluster's state and the others go on without it.",
    "Ask a question, read the answer: the tokens of this model are random, the service around it is not.",
    "The user writes, the assistant answers, the system says how.",
    "One two three four five six seven eight nine ten.",
    "Morning and evening, summer and winter, the machines stand under a desk and wait for somebody to write.",
    "When the power fails they start again, find each other, and go on where they stopped.",
    "Nothing is fetched twice, nothing is trusted before it has been checked, nothing is left behind.",
    "Numbers become words, words become sentences, sentences become a reply that means nothing at all.",
]


def write_model(folder: Path) -> None:
    """Writes config, weights and tokenizer into `folder`, the same bytes each time."""
    folder.mkdir(parents=True)
    _write_tokenizer(folder)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "dtype": "bfloat16",
        "eos_token_id": SPECIAL.index("<|im_end|>"),
        "head_dim": HEAD,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": FEED_FORWARD,
        "max_position_embeddings": CONTEXT,
        "model_type": "qwen3",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }
    _write_json(folder / "config.json", config)
    end = [SPECIAL.index("<|im_end|>"), SPECIAL.index("<|endoftext|>")]
    _write_json(folder / "generation_config.json", {"eos_token_id": end, "pad_token_id": end[1]})
    _write_weights(folder / "model.safetensors")


def shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor by its name in the Qwen3 architecture."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        found |= {
            f"{block}.input_layernorm.weight": (HIDDEN,),
            f"{block}.mlp.down_proj.weight": (HIDDEN, FEED_FORWARD),
            f"{block}.mlp.gate_proj.weight": (FEED_FORWARD, HIDDEN),
            f"{block}.mlp.up_proj.weight": (FEED_FORWARD, HIDDEN),
            f"{block}.post_attention_layernorm.weight": (HIDDEN,),
            f"{block}.self_attn.k_norm.weight": (HEAD,),
            f"{block}.self_attn.k_proj.weight": (KV_HEADS * HEAD, HIDDEN),
            f"{block}.self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD),
            f"{block}.self_attn.q_norm.weight": (HEAD,),
            f"{block}.self_attn.q_proj.weight": (HEADS * HEAD, HIDDEN),
            f"{block}.self_attn.v_proj.weight": (KV_HEADS * HEAD, HIDDEN),
        }
    return found | {"model.norm.weight": (HIDDEN,)}


def _write_weights(path: Path) -> None:
    """A safetensors file is the length of its header, the header, and the tensors end to end."""
    random = np.random.default_rng(SEED)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    tensors = b""
    for name, shape in shapes().items():
        values = random.normal(0, 0.02, shape).astype(np.float32)
        if name.endswith("norm.weight"):
            values = np.ones(shape, np.float32)
        elif name == "model.embed_tokens.weight":
            # Loud words, silent bytes: replies are nonsense, but of printable words.
            values[WORDS:] *= 25
            values[:WORDS] *= 0.01
        data = _bfloat16(values)
        offsets = [len(tensors), len(tensors) + len(data)]
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": offsets}
        tensors += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


def _bfloat16(values: NDArray[np.float32]) -> bytes:
    """numpy has no bfloat16: it is the upper half of a float32."""
    return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def _write_tokenizer(folder: Path) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": CONTEXT,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
