"""Prompts that have been read, kept for requests that begin the same way.

mlx-lm's LRUPromptCache does not do here: looking for the nearest prompt takes it time with the square of the longest
one (0.3 s at 16,000 tokens, 40 times that at 100,000), in which nothing is generated; a prompt that it holds exactly
leaves no token to go on from, which ends mlx-lm's batch; and what was used most recently is not kept longest.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache
from numpy.typing import NDArray

Cache = list[Any]
"""What mlx-lm keeps of one sequence: one object per layer."""


@dataclass(eq=False)
class _Entry:
    tokens: NDArray[np.int64]
    salt: str
    cache: Cache
    nbytes: int


class Prompts:
    """Caches of token sequences, the least recently used first."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def nearest(self, prompt: Sequence[int], salt: str) -> tuple[Cache | None, int]:
        """A copy of the cache that saves most of a prompt, and how many tokens it saves: at most all but the last."""
        wanted = np.asarray(prompt, dtype=np.int64)
        best, saved = None, 0
        for entry in self._entries:
            usable = _usable(entry, wanted) if entry.salt == salt else 0
            if usable > saved:
                best, saved = entry, usable
        if best is None:
            return None, 0
        self._entries.remove(best)
        self._entries.append(best)
        cache = copy.deepcopy(best.cache)
        if len(best.tokens) > saved:
            trim_prompt_cache(cache, len(best.tokens) - saved)
        return cache, saved

    def keep(self, tokens: Sequence[int], salt: str, cache: Cache) -> None:
        """Keep the cache of these tokens. It is not to be used by anybody else."""
        if not tokens:
            return
        # What is not computed yet would hold on to the caches of the whole batch.
        mx.eval([part.state for part in cache])
        kept = np.asarray(tokens, dtype=np.int64)
        shorter = can_trim_prompt_cache(cache)
        self._entries = [entry for entry in self._entries if not _replaces(kept, salt, entry, shorter)]
        self._entries.append(_Entry(kept, salt, cache, sum(part.nbytes for part in cache)))

    def fitting(self, nbytes: int) -> int:
        """How many of them, the most recently used ones, fit into so many bytes."""
        count = 0
        for entry in reversed(self._entries):
            nbytes -= entry.nbytes
            if nbytes < 0:
                break
            count += 1
        return count

    def shrink(self, count: int) -> None:
        """Forget all but so many."""
        del self._entries[: max(len(self._entries) - count, 0)]

    @property
    def nbytes(self) -> int:
        """What they take."""
        return sum(entry.nbytes for entry in self._entries)


def _usable(entry: _Entry, wanted: NDArray[np.int64]) -> int:
    """How many tokens of a prompt an entry saves; the last one must be read in any case."""
    common = _common(entry.tokens, wanted)
    usable = min(common, len(wanted) - 1)
    if usable == len(entry.tokens) or can_trim_prompt_cache(entry.cache):
        return usable
    return 0


def _common(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    size = min(len(left), len(right))
    differs = left[:size] != right[:size]
    return int(differs.argmax()) if differs.any() else size


def _replaces(kept: NDArray[np.int64], salt: str, entry: _Entry, shorter: bool) -> bool:
    """Whether an entry is of no use beside a new one: the same tokens, or fewer where caches can be cut."""
    if entry.salt != salt or len(entry.tokens) > len(kept):
        return False
    same = _common(entry.tokens, kept) == len(entry.tokens)
    return same and (shorter or len(entry.tokens) == len(kept))
