"""How tokens are chosen: against what numpy makes of the same numbers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("mlx_lm")

import mlx.core as mx
import numpy as np
from raylab_serving.mlx.jobs import Job, Sampling
from raylab_serving.mlx.sampling import Sampler

LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -3.0]


def job(prompt: tuple[int, ...] = (0,), ends: frozenset[int] = frozenset(), **sampling: Any) -> Job:  # noqa: ANN401
    return Job(prompt, 100, ends, Sampling(**sampling))


def logits_of(tokens: list[int], one: Job, logits: list[float] = LOGITS) -> list[float]:
    row = Sampler().row(one)
    result: list[float] = row(mx.array(tokens), mx.array([logits]))[0].tolist()
    return result


def drawn(count: int, **sampling: Any) -> Counter[int]:  # noqa: ANN401
    """What comes of so many draws, rows of a batch with seeds of their own."""
    sampler = Sampler()
    logprobs = mx.array([LOGITS] * count)
    logprobs = logprobs - mx.logsumexp(logprobs, axis=-1, keepdims=True)
    for seed in range(count):
        sampler.row(job(seed=seed, **sampling))(mx.array([0]), mx.array([LOGITS]))
    return Counter(sampler(logprobs).tolist())


def test_temperature_0_takes_the_likeliest() -> None:
    assert set(drawn(5)) == {0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_probabilities(temperature: float) -> None:
    count = 4000
    found = drawn(count, temperature=temperature)
    weights = np.exp(np.array(LOGITS) / temperature)
    for token, chance in enumerate(weights / weights.sum()):
        assert abs(found[token] / count - chance) < 4 * math.sqrt(chance * (1 - chance) / count) + 1e-3


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 100}, {0, 1, 2, 3, 4, 5}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"top_p": 0.85}, {0, 1, 2}),
        ({"min_p": 0.3}, {0, 1}),
        ({"top_k": 3, "top_p": 0.95, "min_p": 0.2}, {0, 1, 2}),
    ],
)
def test_unlikely_tokens_are_left_out(limits: dict[str, Any], left: set[int]) -> None:
    assert set(drawn(2500, temperature=1.0, **limits)) == left


def test_rows_of_one_batch_keep_their_own_settings() -> None:
    sampler = Sampler()
    jobs = [job(), job(temperature=2.0, top_k=1), job(temperature=1.0, logit_bias={5: 100.0}), job(logit_bias={3: 50})]
    rows = [sampler.row(one) for one in jobs]
    logits = mx.concatenate([row(mx.array([0]), mx.array([LOGITS])) for row in rows])
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    assert sampler(logprobs).tolist() == [0, 0, 5, 3]


def test_a_seed_makes_the_same_row_in_any_batch() -> None:
    def tokens(beside: int) -> list[int]:
        sampler = Sampler()
        mine = sampler.row(job(seed=11, temperature=1.5))
        others = [sampler.row(job(seed=number, temperature=1.0)) for number in range(beside)]
        found = []
        for _ in range(30):
            for row in (*others, mine):
                row(mx.array([0]), mx.array([LOGITS]))
            logprobs = mx.array([LOGITS] * (beside + 1))
            found.append(sampler(logprobs - mx.logsumexp(logprobs, axis=-1, keepdims=True)).tolist()[-1])
        return found

    assert tokens(0) == tokens(3) == tokens(7)
    assert len(set(tokens(0))) > 1


def test_seeds_may_be_anything_in_64_bits() -> None:
    for seed in (-(2**63), -1, 0, 2**63 - 1, 2**63 + 5):
        Sampler().row(job(seed=seed, temperature=1.0)).next_key()


def test_a_batch_that_was_not_prepared_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="1 rows to sample, 0"):
        Sampler()(mx.array([LOGITS]))


def test_penalties_count_the_answer_and_not_the_prompt() -> None:
    one = job(prompt=(5, 5, 1), frequency_penalty=0.5, presence_penalty=0.25)
    assert logits_of([5, 5, 1], one) == LOGITS
    expected = [2.0 - 0.5 * 2 - 0.25, *LOGITS[1:]]
    assert logits_of([5, 5, 1, 0, 0], one) == pytest.approx(expected)


def test_repetition_penalty_counts_both() -> None:
    one = job(prompt=(5, 5), repetition_penalty=2.0)
    assert logits_of([5, 5, 0], one) == pytest.approx([1.0, *LOGITS[1:5], -6.0])


def test_bias_and_the_tokens_that_are_allowed() -> None:
    assert logits_of([0], job(logit_bias={4: 10.0, 1: -100.0})) == pytest.approx([2.0, -99.0, 0.5, 0.0, 9.0, -3.0])
    allowed = logits_of([0], job(allowed=(2, 3)))
    assert [token for token, value in enumerate(allowed) if value > -math.inf] == [2, 3]


def test_no_end_before_min_tokens() -> None:
    one = job(prompt=(1, 2), ends=frozenset({0}), min_tokens=2)
    assert logits_of([1, 2], one)[0] == logits_of([1, 2, 3], one)[0] == -math.inf
    assert logits_of([1, 2, 3, 3], one)[0] == 2.0


def test_banned_words() -> None:
    """Only the last token of one, and only where the others have just been written."""
    one = job(prompt=(3, 4), banned=((0,), (3, 4, 1)))
    assert logits_of([3, 4], one)[:2] == [-math.inf, 1.0]
    assert logits_of([3, 4, 3, 4], one)[:2] == [-math.inf, -math.inf]
    assert logits_of([3, 4, 4, 3], one)[:2] == [-math.inf, 1.0]


def test_probabilities_are_precise_in_models_of_16_bits() -> None:
    row = Sampler().row(job())
    assert row(mx.array([0]), mx.array([LOGITS], dtype=mx.bfloat16)).dtype == mx.float32
