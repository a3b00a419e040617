"""The prompts that are kept: which one is found, how much of it, and what goes when there is no room."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mlx_lm")

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, KVCache
from raylab_serving.mlx.prompts import Prompts


def kv(length: int) -> list[Any]:
    """A cache of so many tokens, which says of each where it was."""
    cache = KVCache()
    values = mx.arange(length, dtype=mx.float32).reshape(1, 1, length, 1)
    cache.update_and_fetch(values, values)
    return [cache]


def state(length: int) -> list[Any]:
    """A cache that cannot be cut."""
    cache = ArraysCache(1)
    cache[0] = mx.full((1, 4), float(length))
    return [cache]


def test_nothing_is_found_in_nothing() -> None:
    assert Prompts().nearest([1, 2, 3], "") == (None, 0)


def test_the_common_beginning_is_found() -> None:
    prompts = Prompts()
    prompts.keep([1, 2, 3, 4, 5], "", kv(5))
    prompts.keep([1, 2, 9], "", kv(3))
    cache, saved = prompts.nearest([1, 2, 3, 4, 8, 8], "")
    assert saved == 4
    assert cache is not None
    assert cache[0].offset == 4


def test_the_last_token_is_always_left() -> None:
    """Something must be read for there to be a next token."""
    prompts = Prompts()
    prompts.keep([1, 2, 3], "", kv(3))
    assert prompts.nearest([1, 2, 3], "")[1] == 2
    assert prompts.nearest([1], "")[1] == 0


def test_what_cannot_be_cut_is_used_whole_or_not_at_all() -> None:
    prompts = Prompts()
    prompts.keep([1, 2], "", state(2))
    prompts.keep([1, 2, 3, 4], "", state(4))
    cache, saved = prompts.nearest([1, 2, 3, 5], "")
    assert saved == 2
    assert cache is not None
    assert cache[0][0].tolist() == [[2.0] * 4]
    # It ends with the prompt: nothing would be left to read.
    assert prompts.nearest([1, 2, 3, 4], "")[1] == 2


def test_a_copy_may_be_changed() -> None:
    prompts = Prompts()
    prompts.keep([1, 2, 3, 4], "", kv(4))
    cache, _ = prompts.nearest([1, 2, 3, 4, 5], "")
    assert cache is not None
    cache[0].trim(3)
    cache[0].update_and_fetch(mx.zeros((1, 1, 3, 1)), mx.zeros((1, 1, 3, 1)))
    again, saved = prompts.nearest([1, 2, 3, 4, 5], "")
    assert again is not None
    assert saved == 4
    assert again[0].state[0].reshape(-1).tolist() == [0, 1, 2, 3]


def test_salts_keep_prompts_apart() -> None:
    prompts = Prompts()
    prompts.keep([1, 2, 3], "mine", kv(3))
    assert prompts.nearest([1, 2, 3, 4], "") == (None, 0)
    assert prompts.nearest([1, 2, 3, 4], "mine")[1] == 3


def test_a_longer_one_replaces_its_beginnings() -> None:
    prompts = Prompts()
    prompts.keep([1, 2], "", kv(2))
    prompts.keep([1, 2, 3], "", kv(3))
    assert len(prompts) == 1
    prompts.keep([1], "", state(1))
    prompts.keep([1, 2], "", state(2))
    assert len(prompts) == 3


def test_the_least_recently_used_goes_first() -> None:
    prompts = Prompts()
    for first in (1, 2, 3):
        prompts.keep([first, 0, 0], "", kv(3))
    prompts.nearest([1, 0, 0, 0], "")
    one = prompts.nbytes // 3
    assert prompts.fitting(2 * one) == 2
    assert prompts.fitting(one - 1) == 0
    prompts.shrink(2)
    assert [prompts.nearest([first, 0, 0, 0], "")[1] for first in (1, 2, 3)] == [3, 0, 3]
