"""The engine: many answers at once, each as if it were alone, until it fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("mlx_lm")

import mlx.core as mx
from free_ports import free_ports
from mlx_jobs import PROMPTS, job, options, produced, tokens, tokens_of_all
from mlx_lm.generate import generate_step
from mlx_lm.utils import load
from mlx_models import lively, piped, reciting, windowed
from raylab_serving.mlx.engine import Engine, Stream
from raylab_serving.mlx.errors import EngineFailed

T = TypeVar("T")


def use(work: Callable[[Engine], Awaitable[T]], path: str, **arguments: object) -> T:
    """What comes of work with an engine, which is ended afterwards."""
    engine = Engine(options(path, **arguments))

    async def bounded() -> T:
        return await asyncio.wait_for(work(engine), 60)

    try:
        return asyncio.run(bounded())
    finally:
        engine.stop()
        engine.join()


def by_mlx_lm(path: str, text: str, count: int = 20) -> list[int]:
    """What mlx-lm writes by itself, one request at a time."""
    model, tokenizer, *_ = load(path)
    steps = generate_step(mx.array(tokenizer.encode(text)), model, max_tokens=count)
    return [int(token) for token, _ in steps]


@pytest.mark.parametrize("stride", [2048, 3])
@pytest.mark.parametrize("model", [lively, windowed])
def test_one_job_is_written_as_mlx_lm_writes_it(model: Callable[[], str], stride: int) -> None:
    expected = [by_mlx_lm(model(), text) for text in PROMPTS]

    async def work(engine: Engine) -> list[list[int]]:
        return [await tokens(engine, text) for text in PROMPTS]

    assert use(work, model(), prefill_step_size=stride) == expected


def test_many_jobs_share_the_passes_through_the_model() -> None:
    async def work(engine: Engine) -> tuple[int, int, int]:
        found = await asyncio.gather(*(tokens(engine, f"number {number} is", 30) for number in range(8)))
        assert [len(some) for some in found] == [30] * 8
        return engine.counters.steps, engine.counters.tokens, engine.counters.largest

    steps, written, largest = use(work, lively())
    assert written == 240
    assert largest == 8
    # Alone each takes 30; those that came a pass later end a pass later.
    assert steps < 60


def test_jobs_beyond_the_concurrency_wait_and_are_served() -> None:
    async def work(engine: Engine) -> int:
        found = await asyncio.gather(*(tokens(engine, f"number {number} is", 5) for number in range(20)))
        assert [len(some) for some in found] == [5] * 20
        return engine.counters.largest

    assert use(work, lively(), concurrency=3) == 3


def test_a_request_of_many_jobs_leaves_room_for_the_next() -> None:
    async def work(engine: Engine) -> None:
        ended: list[str] = []

        async def one(name: str, number: int) -> None:
            await tokens(engine, f"number {number} is", 10, request=name)
            ended.append(name)

        await asyncio.gather(*(one("first", number) for number in range(12)), one("second", 12))
        assert 1 <= ended.index("second") <= 5

    use(work, lively(), concurrency=2)


def test_a_seed_gives_the_same_answer_alone_and_among_others() -> None:
    async def work(engine: Engine) -> None:
        wanted = {"temperature": 1.2, "seed": 42, "top_p": 0.95}
        alone = await tokens(engine, "[plain]", 25, **wanted, logit_bias={100: 3.0})
        others = [tokens(engine, "[plain]", 25, temperature=1.0, seed=number) for number in range(6)]
        among, *_ = await asyncio.gather(tokens(engine, "[plain]", 25, **wanted, logit_bias={100: 3.0}), *others)
        assert among == alone
        assert alone != await tokens(engine, "[plain]", 25, **{**wanted, "seed": 43}, logit_bias={100: 3.0})

    # This model's numbers are exact in a batch of any size, and its likeliest token hardly likelier than others.
    use(lambda engine: work(_flat(engine)), reciting())


def _flat(engine: Engine) -> Engine:
    head = engine.model.network.lm_head
    head.weight = head.weight * 0.1
    mx.eval(head.weight)
    return engine


def test_settings_of_one_job_do_not_touch_another() -> None:
    """mlx-lm 0.31.3 forgets the processors of a job that comes after one without any."""

    async def work(engine: Engine) -> None:
        plain = await tokens(engine, "[long]", 6)
        banned = await tokens(engine, "[long]", 6, logit_bias={plain[0]: -100.0})
        assert plain[0] not in banned
        both = await asyncio.gather(
            tokens(engine, "[long]", 6), tokens(engine, "[long]", 6, logit_bias={plain[0]: -100.0})
        )
        assert both == [plain, banned]

    use(work, reciting())


def test_a_job_that_nobody_waits_for_gives_its_place_away() -> None:
    async def work(engine: Engine) -> None:
        stream = Stream(engine, job(engine, "one", 900))
        async for some in stream:
            assert some
            break
        waiting = asyncio.create_task(tokens(engine, "two", 5))
        await asyncio.sleep(0)
        assert not waiting.done()
        stream.close()
        assert len(await waiting) == 5
        assert engine.counters.tokens < 900

    use(work, lively(), concurrency=1)


def test_a_job_may_be_given_up_while_its_prompt_is_read() -> None:
    story = " ".join(PROMPTS) * 8

    async def work(engine: Engine) -> None:
        alone = await tokens(engine, "one", 60)
        beside = asyncio.create_task(tokens(engine, "one", 60, salt="another"))
        while engine.counters.steps < 62:
            await asyncio.sleep(0.001)
        long, other = (Stream(engine, job(engine, f"{way} {story}", 5)) for way in ("left", "right"))
        before = engine.counters.steps
        while engine.counters.steps < before + 3:
            await asyncio.sleep(0.001)
        long.close()
        written = [token async for some in other for token in some]
        assert len(written) == 5
        assert await beside == alone

    use(work, lively(), prefill_step_size=8)


def test_a_job_that_never_began_can_be_given_up() -> None:
    async def work(engine: Engine) -> None:
        first = Stream(engine, job(engine, "one", 900))
        second = Stream(engine, job(engine, "two", 900))
        second.close()
        first.close()
        assert len(await tokens(engine, "three", 5)) == 5
        assert engine.counters.largest == 1

    use(work, lively(), concurrency=1)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Engine, Callable[[], None]]]:
    """An engine, and what makes its model fail from then on, as Metal does when it has no memory."""
    engine = Engine(options(lively(), concurrency=1))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("[metal::malloc] no memory")

    yield engine, lambda: monkeypatch.setattr(type(engine.model.network), "__call__", fail)
    engine.stop()
    engine.join()


def test_a_failure_reaches_everybody(failing: tuple[Engine, Callable[[], None]]) -> None:
    engine, fail = failing

    async def work() -> None:
        running = Stream(engine, job(engine, "one", 900))
        parts = aiter(running)
        assert await anext(parts)
        waiting = asyncio.create_task(tokens(engine, "two", 5))
        await asyncio.sleep(0)
        fail()
        with pytest.raises(EngineFailed, match="no memory"):
            async for _ in running:
                pass
        with pytest.raises(EngineFailed, match="no memory"):
            await waiting
        with pytest.raises(EngineFailed, match="no memory"):
            Stream(engine, job(engine, "three"))
        with pytest.raises(EngineFailed, match="no memory"):
            engine.check()

    asyncio.run(asyncio.wait_for(work(), 60))
    assert isinstance(engine.failure, RuntimeError)


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="unheard-of not supported"):
        Engine(options(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "qwen3", "model_file": "evil.py"}')
    with pytest.raises(ValueError, match=r"evil\.py: set trust_remote_code"):
        Engine(options(str(tmp_path)))


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    """mlx-lm's own loader for several Macs would leave them random."""
    for file in Path(lively()).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights: dict[str, Any] = mx.load(str(tmp_path / "model.safetensors"))
    mx.eval(weights)
    del weights["model.layers.1.mlp.up_proj.weight"]
    mx.save_safetensors(str(tmp_path / "model.safetensors"), weights)
    with pytest.raises(ValueError, match=r"up_proj\.weight"):
        Engine(options(str(tmp_path)))


def test_probabilities_are_the_models() -> None:
    model, *_ = load(lively())

    async def work(engine: Engine) -> None:
        one = job(engine, "hello there", 4, logprobs=3)
        found = await produced(engine, one)
        sequence = list(one.prompt)
        for token in found:
            logits = model(mx.array([sequence]))[0, -1].astype(mx.float32)
            expected = logits - mx.logsumexp(logits)
            assert token.logprob == pytest.approx(expected[token.token].item(), abs=0.0005)
            likely = mx.argsort(-expected)[:3].tolist()
            assert [top for top, _ in token.top] == likely
            assert [value for _, value in token.top] == pytest.approx(expected[mx.array(likely)].tolist(), abs=0.0005)
            sequence.append(token.token)

    use(work, lively())


@pytest.mark.parametrize(("model", "pipeline"), [(lively, False), (piped, True)])
def test_two_macs_write_what_one_writes(model: Callable[[], str], pipeline: bool) -> None:
    """Two processes on loopback, each with half of the model."""
    options_of_all = json.dumps({"pipeline": pipeline})
    port, _ = free_ports(2)
    ranks = [
        subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("mlx_rank.py")),
                str(rank),
                str(port),
                model(),
                options_of_all,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for rank in ranks:
            assert rank.stdout is not None
            assert rank.stdin is not None
            assert rank.stdout.readline() == "ready\n"
        for rank in ranks:
            assert rank.stdin is not None
            rank.stdin.write("begin\n")
            rank.stdin.flush()
        (first, _), (second, _) = [rank.communicate(timeout=240) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    answers, counters = map(json.loads, first.splitlines())
    assert answers == use(tokens_of_all, model())
    # Both made the same steps, though only one was asked.
    assert json.loads(second) == counters


def test_a_new_job_begins_while_others_run() -> None:
    async def work(engine: Engine) -> None:
        running = asyncio.create_task(tokens(engine, "one", 300))
        while not engine.counters.tokens:
            await asyncio.sleep(0.001)
        before = engine.counters.steps
        await tokens(engine, "two", 1)
        assert engine.counters.steps - before < 100
        assert not running.done()
        await running

    use(work, lively())
