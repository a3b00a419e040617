"""The fleet with every engine and shape, and how its tests ask it."""

from __future__ import annotations

import openai
from harness import ADDRESSES

INVENTORY = "inventory/engines.py"
MODELS = ("tiny", "tiny-mlx", "tiny-ring")


def client(mac: str = "alpha") -> openai.OpenAI:
    """The official client, through one Mac."""
    return openai.OpenAI(base_url=f"http://{ADDRESSES[mac]}:8000/v1", api_key="none", timeout=120, max_retries=0)


def greedy(model: str, mac: str = "alpha") -> str:
    """What the model says when nothing is left to chance."""
    done = client(mac).completions.create(model=model, prompt="One two three", max_tokens=24, temperature=0)
    return done.choices[0].text
