"""The fleet with every engine and shape, and how its tests ask it."""

from __future__ import annotations

import ssl

import openai
from harness import CA, KEY, door

INVENTORY = "inventory/engines.py"
MODELS = ("tiny", "tiny-mlx", "tiny-ring")


def client(mac: str = "alpha") -> openai.OpenAI:
    """The official client, through one Mac."""
    http = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=str(CA)))
    key = KEY.read_text().strip()
    return openai.OpenAI(base_url=door(mac), api_key=key, timeout=120, max_retries=0, http_client=http)


def greedy(model: str, mac: str = "alpha") -> str:
    """What the model says when nothing is left to chance."""
    done = client(mac).completions.create(model=model, prompt="One two three", max_tokens=24, temperature=0)
    return done.choices[0].text
