"""What the fleet's way costs: each engine asked through Ray Serve, beside the same engine started by itself.

One simulated Mac serves the tiny model by vLLM and by mlx-lm; beside it, on the same Mac and one at a time,
`vllm.entrypoints.openai.api_server` and `mlx_lm.server` with the same settings. 1, 8 and 32 streams at once, of
TOKENS tokens each. Run by `make bench-serving`. Needs root and a lab that is down; takes it down again.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai

from fleet.load import load
from fleet.ray import base_environment
from fleet.settings import Fleet, Model

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
INVENTORY = "inventory/bench.py"
MAC, PORT = "alpha", 8400
TOKENS = int(os.environ.get("TOKENS", "64"))
STREAMS = (1, 8, 32)
ROUNDS = {1: 8, 8: 2, 32: 1}
START_S = 300.0


@dataclass(frozen=True)
class Measured:
    """What clients saw of one server at one number of streams."""

    first: float
    """Seconds until the first token; the median."""
    rate: float
    """Tokens per second, of all streams together."""


def lab(*arguments: str) -> str:
    """`lab …`; its output."""
    done = subprocess.run([str(BIN / "lab"), *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def direct_command(fleet: Fleet, model: Model) -> list[str]:
    """The engine's own server, with the settings that Serve gives it."""
    python = f"/opt/raylab/releases/{fleet.release(fleet.head).id}/env/bin/python"
    where = ["--host", fleet.head.node_ip, "--port", str(PORT), "--model", model.path]
    if model.engine == "mlx":
        return [python, "-m", "mlx_lm", "server", *where, "--decode-concurrency", str(model.concurrency)]
    length = ["--max-model-len", str(model.context), "--max-num-seqs", str(model.concurrency)]
    return [python, "-m", "vllm.entrypoints.openai.api_server", *where, *length, "--enforce-eager"]


@contextmanager
def started(fleet: Fleet, model: Model) -> Iterator[str]:
    """The engine's own server on the Mac, by itself; its URL, once it answers."""
    variables = {**base_environment(fleet.release(fleet.head)), **model.env, "HF_HUB_OFFLINE": "1"}
    environment = [f"{name}={value}" for name, value in variables.items()]
    shell = "echo $$; exec env " + " ".join([*environment, *direct_command(fleet, model)]) + " > /tmp/direct.log 2>&1"
    command = [str(BIN / "lab"), "ssh", MAC, "sudo", "-u", "_raylab", "sh", "-c", f"'cd /tmp; {shell}'"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = process.stdout.readline().strip()
    try:
        url = f"http://{fleet.head.node_ip}:{PORT}"
        _wait_for(f"{url}/health", process)
        yield f"{url}/v1"
    finally:
        subprocess.run([str(BIN / "lab"), "ssh", MAC, "sudo", "kill", "-9", pid], cwd=ROOT, check=False)
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(lab("ssh", MAC, "tail", "-n", "40", "/tmp/direct.log")) from None
            time.sleep(1)
        else:
            return


async def _stream(client: openai.AsyncOpenAI, model: str) -> tuple[float, int]:
    """Seconds to the first token, and how many came."""
    began, first, count = time.monotonic(), 0.0, 0
    answer = await client.completions.create(
        model=model, prompt="One two three four", max_tokens=TOKENS, temperature=0, stream=True
    )
    async for chunk in answer:
        if chunk.choices and chunk.choices[0].text:
            first = first or time.monotonic() - began
            count += 1
    return first, count


async def _load(url: str, model: str, streams: int) -> Measured:
    # mlx_lm.server lets five connections wait to be accepted, and the rest come again.
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=5, timeout=600) as client:
        await _stream(client, model)  # warm
        began, found = time.monotonic(), []
        for _ in range(ROUNDS[streams]):
            found += await asyncio.gather(*(_stream(client, model) for _ in range(streams)))
        seconds = time.monotonic() - began
    total = len(found) * TOKENS
    return Measured(statistics.median(first for first, _ in found), total / seconds)


def compare(fleet: Fleet, model: Model) -> None:
    """Print one line for each number of streams."""
    serve = f"http://{fleet.head.node_ip}:{fleet.ports.serve_http}/v1"
    through = {count: asyncio.run(_load(serve, model.id, count)) for count in STREAMS}
    with started(fleet, model) as url:
        alone = {count: asyncio.run(_load(url, model.path, count)) for count in STREAMS}
    for count in STREAMS:
        here, there = through[count], alone[count]
        print(
            f"{model.engine:<5} {count:>2} streams   "
            f"first token {here.first * 1e3:6.0f} ms / {there.first * 1e3:6.0f} ms = {here.first / there.first:5.2f}   "
            f"tokens/s {here.rate:7.1f} / {there.rate:7.1f}"
            f" = {here.rate / there.rate:5.2f}",
            flush=True,
        )
    sooner = through[8].rate / through[1].rate
    print(f"{model.engine:<5} 8 requests at once are done {sooner:.2f} times as fast as one after another", flush=True)


def main() -> None:
    """Converge one Mac, measure, take it down."""
    lab("up", MAC)
    try:
        subprocess.run([str(BIN / "pyinfra"), "-y", INVENTORY, "deploy/cluster.py"], cwd=ROOT, check=True)
        fleet = load(ROOT / INVENTORY, ROOT)
        print(f"{TOKENS} tokens a stream; each figure: through Serve / the engine's own server = ratio")
        for model in fleet.models:
            compare(fleet, model)
    finally:
        lab("down")


if __name__ == "__main__":
    main()
