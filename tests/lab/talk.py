"""Talk to one endpoint with the official OpenAI client, as a program on the LAN would; prints JSON.

Usage: python talk.py BASE_URL MODEL CA_FILE KEY_FILE
"""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path

import openai


def talk(base_url: str, model: str, ca: str, key_file: str) -> dict[str, object]:
    """Model list, a chat completion streamed and not, and a text completion."""
    http = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=ca))
    key = Path(key_file).read_text().strip()
    client = openai.OpenAI(base_url=base_url, api_key=key, timeout=60, max_retries=0, http_client=http)
    messages: list[dict[str, str]] = [{"role": "user", "content": "Say something."}]
    chat = client.chat.completions.create(model=model, messages=messages, max_tokens=8)  # type: ignore[arg-type]
    stream = client.chat.completions.create(
        model=model,
        messages=messages,  # type: ignore[arg-type]
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = client.completions.create(model=model, prompt="Once upon", max_tokens=8)
    return {
        "models": [listed.id for listed in client.models.list()],
        "chat_tokens": chat.usage.completion_tokens if chat.usage else 0,
        "chat_role": chat.choices[0].message.role,
        "stream_chunks": len(chunks),
        "stream_tokens": chunks[-1].usage.completion_tokens if chunks[-1].usage else 0,
        "text_tokens": text.usage.completion_tokens if text.usage else 0,
    }


if __name__ == "__main__":
    print(json.dumps(talk(*sys.argv[1:5])))
