"""Ask doors at a steady rate, as clients on the LAN do, until stdin closes; prints one JSON line per request.

Usage: python load.py MODEL REQUESTS_PER_SECOND [URL...] [--pair URL URL]... [--long URL]... [--ca FILE] [--key FILE]

Three kinds of client, all at once:
- `single`, one for each URL: it knows one address and never asks twice;
- `pair`: it knows two addresses, turns to each in turn, and asks the other one once when nothing has come back;
- `long`: one stream after the other, each of many tokens, asked once.
The first two send a plain request and a streamed one in turn, at the given rate each, whether or not earlier ones
have been answered. Addresses end with /v1. `--ca` says who signs the doors' certificates, `--key` where the key is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

CONNECT_S = 5.0
# Without a word from the other end; an answer that is not streamed has none until it is whole.
SILENCE_S = 60.0
SHORT_TOKENS = 4
SINGLE, PAIR, LONG = "single", "pair", "long"
OK, FAILED, CUT, OPEN = "ok", "failed", "cut", "open"


@dataclass
class Answer:
    """What became of asking one address once."""

    url: str
    begun: bool = False
    """Whether a part of a stream has come: the request must not be sent again, its answer was seen."""
    first: float | None = None
    """When the first token came, on the clock of `time.monotonic`."""
    tokens: int = 0
    error: str = ""

    @property
    def outcome(self) -> str:
        """`failed` before anything had come back, `cut` after that."""
        return (CUT if self.begun else FAILED) if self.error else OK


@dataclass
class Client:
    """A program on the LAN, with connections of its own that it keeps."""

    kind: str
    urls: Sequence[str]
    model: str
    http: httpx2.AsyncClient = field(repr=False)

    async def ask(self, at: int, streamed: bool, tokens: int) -> None:
        """One request, to the address number `at` first; its record is printed."""
        began, started = time.time(), time.monotonic()
        answers = [Answer(self.urls[at % len(self.urls)])]
        try:
            await self._send(answers[-1], streamed, tokens)
            if answers[-1].outcome == FAILED and len(self.urls) > 1:
                answers.append(Answer(self.urls[(at + 1) % len(self.urls)]))
                await self._send(answers[-1], streamed, tokens)
            outcome = answers[-1].outcome
        except asyncio.CancelledError:
            outcome = OPEN
        last = answers[-1]
        record = {
            "at": round(began, 3),
            "kind": self.kind,
            "url": last.url,
            "streamed": streamed,
            "outcome": outcome,
            "first": None if last.first is None else round(last.first - started, 3),
            "seconds": round(time.monotonic() - started, 3),
            "tokens": last.tokens,
            "error": last.error,
            "before": [f"{answer.url}: {answer.error}" for answer in answers[:-1]],
        }
        print(json.dumps(record), flush=True)

    async def _send(self, answer: Answer, streamed: bool, tokens: int) -> None:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": tokens,
            "stream": streamed,
            # A long stream is as long as asked; vLLM's and mlx-lm's word for it.
            **({"ignore_eos": True} if self.kind == LONG else {}),
        }
        try:
            async with self.http.stream("POST", f"{answer.url}/chat/completions", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode(errors="replace")
                    answer.error = f"{response.status_code} {text[:300]}"
                elif streamed:
                    await _read_stream(response, answer)
                else:
                    answer.tokens = json.loads(await response.aread())["usage"]["completion_tokens"]
                    answer.error = "" if answer.tokens else "no tokens"
        except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            answer.error = f"{type(error).__name__}: {_told(error)}"[:300]


def _told(error: BaseException) -> str:
    """What went wrong; a connection that ends says it by the error below its own, or not at all."""
    below = error.__cause__ or error.__context__
    return str(error) or (f"{type(below).__name__} {_told(below)}".strip() if below else "")


async def _read_stream(response: httpx2.Response, answer: Answer) -> None:
    """The chunks of a stream up to its end, which it must say."""
    async for line in response.aiter_lines():
        if not line.startswith("data:"):
            continue
        told = line.removeprefix("data:").strip()
        if told == "[DONE]":
            answer.error = "" if answer.tokens else "no tokens"
            return
        chunk: dict[str, Any] = json.loads(told)
        if "error" in chunk:
            answer.error = f"in the stream: {chunk['error']}"[:300]
            return
        answer.begun = True
        for choice in chunk.get("choices", []):
            # The role comes by itself, before any token is there.
            if choice["delta"].get("content") or choice.get("finish_reason"):
                answer.tokens += 1
                answer.first = answer.first or time.monotonic()
    answer.error = "the stream ended without [DONE]"


async def steady(client: Client, rate: float, delay: float, stop: asyncio.Event) -> None:
    """Requests at this rate until `stop`; then until those that are under way have ended."""
    due = time.monotonic() + delay
    async with asyncio.TaskGroup() as under_way:
        for number in itertools.count():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
            if stop.is_set():
                return
            # Plain and streamed at the first address, then both at the second.
            under_way.create_task(client.ask(number // 2, number % 2 == 1, SHORT_TOKENS))
            due += 1 / rate


async def endless(client: Client, tokens: int, stop: asyncio.Event) -> None:
    """One long stream after the other; the one that is under way at the end is left open."""
    while not stop.is_set():
        stream = asyncio.create_task(client.ask(0, True, tokens))
        ended = asyncio.create_task(stop.wait())
        began = time.monotonic()
        await asyncio.wait({stream, ended}, return_when=asyncio.FIRST_COMPLETED)
        stream.cancel()
        ended.cancel()
        await asyncio.wait({stream, ended})
        # A door that is away is not asked a hundred times a second.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, began + 1 - time.monotonic()))


async def run(options: argparse.Namespace) -> None:
    """Every client until stdin closes."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    stdin = threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stop.set)), daemon=True)
    stdin.start()
    trusted = ssl.create_default_context(cafile=options.ca)
    headers = {"Authorization": f"Bearer {options.key.read_text().strip()}"} if options.key else {}
    known = [
        *((SINGLE, [url]) for url in options.urls),
        *((PAIR, urls) for urls in options.pair),
        *((LONG, [url]) for url in options.long),
    ]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            Client(kind, urls, options.model, await stack.enter_async_context(_http(trusted, headers)))
            for kind, urls in known
        ]
        asking = [client for client in clients if client.kind != LONG]
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(asking):
                tasks.create_task(steady(client, options.rate, number / len(asking) / options.rate, stop))
            for client in clients:
                if client.kind == LONG:
                    tasks.create_task(endless(client, options.long_tokens, stop))


def _http(trusted: ssl.SSLContext, headers: dict[str, str]) -> httpx2.AsyncClient:
    # Not through a proxy that this machine may use.
    return httpx2.AsyncClient(
        verify=trusted,
        headers=headers,
        timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
        trust_env=False,
    )


def main(arguments: Sequence[str]) -> None:
    """Ask until stdin closes."""
    parser = argparse.ArgumentParser(prog="load.py")
    parser.add_argument("model")
    parser.add_argument("rate", type=float, metavar="REQUESTS_PER_SECOND")
    parser.add_argument("urls", nargs="*", metavar="URL")
    parser.add_argument("--pair", nargs=2, action="append", default=[], metavar="URL")
    parser.add_argument("--long", action="append", default=[], metavar="URL")
    parser.add_argument("--long-tokens", type=int, default=400)
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--key", type=Path)
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
