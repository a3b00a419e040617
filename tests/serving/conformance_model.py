"""A model for both engines whose answers are known beforehand: what a request's parameters do to them can be seen.

It looks at the last token alone. Some tokens begin a sentence that it knows by heart, one begins endless throws of a
die whose faces are nearly equally likely.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer

from lab.artifacts.model import HEAD, HEADS, KV_HEADS, shapes, write_model

# The last message says what the answer begins with.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for tool_call in message.tool_calls or [] %}<tool_call>{{ tool_call.name }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{{ tools | tojson if tools else '' }}{{ documents | tojson if documents else '' }}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{{ '[effort]' if reasoning_effort == 'high' else '[rest]' if enable_thinking is false else "
    "start or messages[-1].content }}{% endif %}"
)
END = "<|im_end|>"
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'
RECITALS = (
    ("[plain]", "Hel", "lo wor", "ld. Good", "bye", END),
    ("[effort]", "I tried.", END),
    ("[rest]", "I rest.", END),
    ("[call]", "<tool_call>", CALL, "</tool_call>", END),
    ("[special]", "<|im_start|>", "after", END),
)
# The first is the likeliest, and each next one a little less.
FACES = (" ant", " bee", " cat", " dog", " elk", " fox", " gnu", " hen")
DICE = "[dice]"
# With these in its vocabulary, a model is one that thinks: mlx-lm turns that off for all others.
THINK = ("<think>", "</think>")
# Room for the tokenizer's and ours; 24 times 24, so that the norm's square root is no fraction.
SIZE = 576
SURE, FACE, STEP, SECOND, BRACE = 24, 20, 0.25, 22, 2


def write_known_model(folder: Path) -> Path:
    """The lab's model with these weights, tokens and template; returns its folder."""
    write_model(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = {word for recital in RECITALS for word in recital} | {*FACES, *THINK, DICE}
    new = sorted(words - set(tokenizer.get_vocab()))
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in new])
    tokenizer.save(str(folder / "tokenizer.json"))
    _change(folder / "tokenizer_config.json", chat_template=TEMPLATE)
    _change(folder / "config.json", tie_word_embeddings=False, vocab_size=SIZE, hidden_size=SIZE)
    # What the layers add to a token is nothing; the head looks at the token alone.
    weights = {name: _layer(name) for name in shapes()}
    weights["model.embed_tokens.weight"] = np.eye(SIZE)
    weights["model.norm.weight"] = np.full(SIZE, 1 / SIZE**0.5)
    weights["lm_head.weight"] = _head(tokenizer)
    save_file(
        {name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()},
        folder / "model.safetensors",
    )
    return folder


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _layer(name: str) -> np.ndarray:
    shape = shapes()[name]
    if name.endswith("norm.weight"):
        return np.ones(shape if name.endswith(("q_norm.weight", "k_norm.weight")) else SIZE)
    inner = {"q_proj": HEADS * HEAD, "k_proj": KV_HEADS * HEAD, "v_proj": KV_HEADS * HEAD}
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        return np.zeros((SIZE, shape[1]))
    return np.zeros((inner.get(name.split(".")[-2], shape[0]), SIZE))


def _head(tokenizer: Tokenizer) -> np.ndarray:
    """Logits of the next token (row) after each token (column)."""
    ids = tokenizer.token_to_id
    head = np.zeros((SIZE, SIZE))
    # Where a grammar leaves a choice, the object ends.
    head[ids("}")] = BRACE
    follows = {number: ids(END) for number in range(SIZE)}
    for recital in RECITALS:
        follows |= dict(pairwise(ids(word) for word in recital))
    head[list(follows.values()), list(follows)] = SURE
    head[ids("<tool_call>"), ids("</tool_call>")] = SECOND
    for before in (DICE, *FACES):
        head[ids(END), ids(before)] = 0
        for place, face in enumerate(FACES):
            head[ids(face), ids(before)] = FACE - STEP * place
    return head
