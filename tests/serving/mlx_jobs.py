"""Jobs for an engine, and their tokens, for tests."""

from __future__ import annotations

import asyncio
from typing import Any

from raylab_serving.mlx.engine import Engine, Stream
from raylab_serving.mlx.jobs import Job, Produced, Sampling
from raylab_serving.mlx.options import Options, read_options

PROMPTS = ("hello there", "the head keeps the cluster's state and the others go on without it", "one", "two three")


def options(path: str, **arguments: object) -> Options:
    """Of a model in that folder."""
    return read_options("tests/model", path, {"context": 1024, "concurrency": 8, "cache_gb": 0.05, **arguments})


def job(engine: Engine, text: str, count: int = 20, **settings: Any) -> Job:  # noqa: ANN401
    """So many tokens after a text, whatever they are. Settings of the job, or of its sampling."""
    own = {
        name: settings.pop(name) for name in ("logprobs", "salt", "snapshots", "ends", "request") if name in settings
    }
    prompt = tuple(engine.model.tokenizer.encode(text))
    return Job(prompt, count, own.pop("ends", frozenset()), Sampling(**settings), **own)


async def produced(engine: Engine, one: Job, most: int | None = None) -> list[Produced]:
    """What becomes of a job; ended early after `most` tokens."""
    stream = Stream(engine, one)
    found: list[Produced] = []
    async for tokens in stream:
        found += tokens
        if most is not None and len(found) >= most:
            stream.close()
    return found


async def tokens(engine: Engine, text: str, count: int = 20, **settings: Any) -> list[int]:  # noqa: ANN401
    """The tokens after a text."""
    return [token.token for token in await produced(engine, job(engine, text, count, **settings))]


async def tokens_of_all(engine: Engine) -> list[list[int]]:
    """One after the other, greedy, at random, and with a prompt that is known; then all at once."""
    alone = [await tokens(engine, text) for text in PROMPTS]
    alone.append(await tokens(engine, PROMPTS[0], temperature=1.0, seed=5, top_p=0.9))
    alone.append(await tokens(engine, PROMPTS[1] + " and on"))
    together = await asyncio.gather(
        *(tokens(engine, f"number {number}", 10 + number) for number in range(12)),
        produced(engine, job(engine, "long", 500), most=15),
    )
    return alone + [[len(some)] for some in together[:-1]]
