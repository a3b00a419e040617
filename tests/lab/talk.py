"""Talk to one endpoint with the official OpenAI client, as a program on the LAN would; prints JSON.

Usage: python talk.py BASE_URL MODEL
"""

from __future__ import annotations

import json
import sys

import openai


def talk(base_url: str, model: str) -> dict[str, object]:
    """Model list, a chat completion streamed and not, and a text completion."""
    client = openai.OpenAI(base_url=base_url, api_key="none", timeout=60, max_retries=0)
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
    print(json.dumps(talk(sys.argv[1], sys.argv[2])))
