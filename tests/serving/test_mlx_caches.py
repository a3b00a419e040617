"""What the engine keeps of prompts and answers: between requests, beside each other, and within its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

pytest.importorskip("mlx_lm")

from mlx_jobs import PROMPTS, job, produced, tokens
from mlx_models import lively, recurrent, windowed
from raylab_serving.mlx.engine import Engine, Stream
from raylab_serving.mlx.load import states
from raylab_serving.mlx.loop import Loop
from test_mlx_engine import use


def test_what_a_given_up_job_has_read_is_kept() -> None:
    async def work(engine: Engine) -> None:
        await produced(engine, job(engine, PROMPTS[1], 900), most=3)
        again = await produced(engine, job(engine, PROMPTS[1], 3))
        assert again[0].cached == len(job(engine, PROMPTS[1]).prompt) - 1

    use(work, lively())


@pytest.mark.parametrize("model", [lively, windowed])
def test_a_prompt_that_is_known_is_not_read_again(model: Callable[[], str]) -> None:
    story = PROMPTS[1] + " " + PROMPTS[1]

    async def work(engine: Engine) -> None:
        size = len(engine.model.tokenizer.encode(story))
        due = () if engine.model.divisible else (size,)
        fresh = await produced(engine, job(engine, story + " more", snapshots=due))
        assert fresh[0].cached == 0
        again = await produced(engine, job(engine, story + " other", snapshots=due))
        assert again[0].cached == size
        engine.forget()
        alone = await produced(engine, job(engine, story + " other", snapshots=due))
        assert alone[0].cached == 0
        assert [token.token for token in again] == [token.token for token in alone]

    use(work, model(), cache_gb=1)


def test_a_prompt_that_is_known_to_its_end() -> None:
    """The whole of an earlier prompt and its answer, as clients of completions send it to go on."""

    async def work(engine: Engine) -> None:
        first = job(engine, "hello", 5)
        answer = tuple(token.token for token in await produced(engine, first))
        known = job(engine, "", 5)
        known = type(known)(first.prompt + answer, 5, frozenset(), known.sampling)
        again = await produced(engine, known)
        assert again[0].cached == len(known.prompt) - 1
        whole = await tokens(engine, "hello", 10, salt="another")
        assert [*answer, *(token.token for token in again)] == whole

    use(work, lively())


def test_prompts_of_unequal_length_leave_each_other_alone() -> None:
    """Also where layers keep a state, into which padding would go."""

    async def work(engine: Engine) -> None:
        assert engine.model.recurrent
        texts = [f"{number} " + PROMPTS[number % 4] * number for number in range(1, 6)]
        together = await asyncio.gather(*(tokens(engine, text) for text in texts))
        engine.forget()
        assert together == [await tokens(engine, text) for text in texts]

    use(work, recurrent())


def test_states_carry_no_trace_of_their_prompts_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """mlx-lm counts it down by a computation that nobody asks for, one more with each token, for ever."""
    seen: list[object] = []

    class Watched(Loop):
        def _step(self) -> None:
            super()._step()
            seen[:] = [
                each
                for state in states(self._generator._generation_batch.prompt_cache)
                for each in (state.left_padding, state.lengths)
            ]

    async def work(engine: Engine) -> None:
        one = asyncio.create_task(tokens(engine, "a long one", 200))
        await tokens(engine, "beside it, and longer than that", 20)
        stream = Stream(engine, job(engine, "to the end", 1000))
        await one
        async for _ in stream:
            break
        assert seen
        assert all(each is None for each in seen)
        stream.close()

    monkeypatch.setattr("raylab_serving.mlx.engine.Loop", Watched)
    use(work, recurrent())


def test_prompts_take_no_more_than_their_part_of_the_memory() -> None:
    async def work(engine: Engine) -> None:
        # A token of this model takes 1536 bytes, and one that runs room for 256 tokens: two of these prompts are kept.
        for number in range(12):
            await tokens(engine, f"{number} " + PROMPTS[1] * 4, 5)
            assert engine.counters.kept <= 700_000
        assert engine.counters.kept > 100_000

    use(work, lively(), cache_gb=0.0007)


def test_prompts_make_room_while_a_long_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Watched(Loop):
        def _step(self) -> None:
            super()._step()
            taken.append(self._prompts.nbytes + int(self._generator.prompt_cache_nbytes))

    async def work(engine: Engine) -> None:
        for number in range(12):
            await tokens(engine, f"{number} " + PROMPTS[1] * 8, 5)
        assert engine.counters.kept > 2_000_000
        taken.clear()
        await tokens(engine, "so long: " + PROMPTS[1] * 70, 2)
        # Caches grow by 256 tokens, of 1536 bytes here.
        assert 2_500_000 < max(taken) <= 4_000_000 + 2 * 256 * 1536

    monkeypatch.setattr("raylab_serving.mlx.engine.Loop", Watched)
    use(work, lively(), cache_gb=0.004, prefill_step_size=64, context=4096)
