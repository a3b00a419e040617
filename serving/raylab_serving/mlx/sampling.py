"""How the next token of every sequence of a batch is chosen, each by its own settings and its own random numbers.

mlx-lm calls the logits processors of each row, in the order of the rows, and then one sampler for the whole batch. So
each row has one processor, which changes its logits and tells the sampler that the next row is its own. mlx-lm's own
processors and samplers are not used: they count the prompt as if it had been generated, look back 20 tokens only, draw
all rows' random numbers from one source, and sample one row after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.core as mx

from raylab_serving.mlx.jobs import Job

# Below this a temperature means: always the likeliest. As in vLLM.
GREEDY = 1e-5


class Sampler:
    """Chooses one token per row of a batch."""

    def __init__(self, group: mx.distributed.Group | None = None) -> None:
        self._group = group
        self._rows: list[Row] = []

    def row(self, job: Job) -> Row:
        """A job's processor of logits."""
        return Row(job, self._rows.append)

    def __call__(self, logprobs: mx.array) -> mx.array:
        """The chosen tokens. logprobs: rows × vocabulary, in the order in which the rows have just been called."""
        rows, self._rows[:] = list(self._rows), []
        if len(rows) != logprobs.shape[0]:
            raise RuntimeError(f"{logprobs.shape[0]} rows to sample, {len(rows)} have been prepared")
        chosen = mx.argmax(logprobs, axis=-1)
        drawn = [place for place, row in enumerate(rows) if not row.greedy]
        if drawn:
            chosen[mx.array(drawn)] = _draw(logprobs[mx.array(drawn)], [rows[place] for place in drawn])
        return self._agreed(chosen)

    def _agreed(self, chosen: mx.array) -> mx.array:
        """In a ring, what rank 0 chose: Macs of different kinds round differently, and must not disagree."""
        if self._group is None:
            return chosen
        mine = chosen if self._group.rank() == 0 else mx.zeros_like(chosen)
        return mx.distributed.all_sum(mine, group=self._group)


class Row:
    """One sequence's part of it: called once for every token."""

    def __init__(self, job: Job, announce: Callable[[Row], None]) -> None:
        self.sampling = job.sampling
        self.greedy = job.sampling.temperature < GREEDY
        self._key = mx.random.key(job.sampling.seed % 2**64)
        self._read = len(job.prompt)
        self._announce = announce
        self._ends = mx.array(sorted(job.ends)) if job.ends else None
        bias = job.sampling.logit_bias
        self._bias = (mx.array(list(bias)), mx.array([float(value) for value in bias.values()])) if bias else None
        self._allowed = None if job.sampling.allowed is None else mx.array(job.sampling.allowed)

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """The logits (1 × vocabulary) as this row wants them. tokens: its prompt, and what it has written since."""
        self._announce(self)
        # In models of 16 bits the probabilities would have two digits.
        logits = logits.astype(mx.float32)
        written = tokens[self._read :]
        return self._penalised(self._limited(logits, written), tokens, written)

    def next_key(self) -> mx.array:
        """A key for the random numbers of one token."""
        self._key, key = mx.random.split(self._key)
        return key

    def _limited(self, logits: mx.array, written: mx.array) -> mx.array:
        if self._allowed is not None:
            only = mx.full(logits.shape, -mx.inf)
            only[:, self._allowed] = logits[:, self._allowed]
            logits = only
        for word in self.sampling.banned:
            logits = _without(word, logits, written)
        if self._ends is not None and len(written) < self.sampling.min_tokens:
            logits[:, self._ends] = -mx.inf
        if self._bias is not None:
            logits = logits.at[:, self._bias[0]].add(self._bias[1])
        return logits

    def _penalised(self, logits: mx.array, tokens: mx.array, written: mx.array) -> mx.array:
        sampling = self.sampling
        if sampling.repetition_penalty != 1.0:
            known = _counts(tokens, logits) > 0
            changed = mx.where(logits > 0, logits / sampling.repetition_penalty, logits * sampling.repetition_penalty)
            logits = mx.where(known, changed, logits)
        if sampling.frequency_penalty or sampling.presence_penalty:
            counts = _counts(written, logits)
            logits = logits - sampling.frequency_penalty * counts - sampling.presence_penalty * (counts > 0)
        return logits


def _counts(tokens: mx.array, logits: mx.array) -> mx.array:
    """How often each token of the vocabulary is among these."""
    return mx.zeros(logits.shape[-1]).at[tokens].add(1.0)


def _without(word: tuple[int, ...], logits: mx.array, written: mx.array) -> mx.array:
    """The last token of a banned word cannot come where its others have just come."""
    *before, last = word
    if len(written) < len(before):
        return logits
    if before:
        due = mx.all(written[len(written) - len(before) :] == mx.array(before))
        logits[:, last] = mx.where(due, -mx.inf, logits[:, last])
    else:
        logits[:, last] = -mx.inf
    return logits


def _draw(logprobs: mx.array, rows: Sequence[Row]) -> mx.array:
    """One token per row at random. Temperature first, then min_p, top_k and top_p, as in vLLM."""
    settings = [row.sampling for row in rows]
    scores = logprobs / mx.array([[setting.temperature] for setting in settings])
    if any(setting.min_p > 0 for setting in settings):
        least = [[math.log(setting.min_p) if setting.min_p > 0 else -math.inf] for setting in settings]
        scores = mx.where(scores < scores.max(axis=-1, keepdims=True) + mx.array(least), -mx.inf, scores)
    cut = [place for place, setting in enumerate(settings) if setting.top_k > 0 or setting.top_p < 1]
    if cut:
        few = [settings[place] for place in cut]
        scores[mx.array(cut)] = _cut(
            scores[mx.array(cut)], [setting.top_k for setting in few], [setting.top_p for setting in few]
        )
    # The largest of scores with Gumbel noise is a draw from their softmax.
    noise = mx.stack([mx.random.gumbel((logprobs.shape[-1],), key=row.next_key()) for row in rows])
    return mx.argmax(scores + noise, axis=-1)


def _cut(scores: mx.array, top_k: Sequence[int], top_p: Sequence[float]) -> mx.array:
    """The scores, -inf where a row's top_k or top_p leaves a token out."""
    size = scores.shape[-1]
    order = mx.argsort(-scores, axis=-1)
    ranked = mx.take_along_axis(scores, order, axis=-1)
    most = mx.array([[count if 0 < count < size else size] for count in top_k])
    ranked = mx.where(mx.arange(size) < most, ranked, -mx.inf)
    chances = mx.softmax(ranked, axis=-1)
    # The likeliest token stays: nothing is before it. 2 is more than rounding can make of a sum of 1.
    before = mx.cumsum(chances, axis=-1) - chances
    enough = mx.array([[part if part < 1 else 2.0] for part in top_p])
    ranked = mx.where(before < enough, ranked, -mx.inf)
    return mx.put_along_axis(mx.full(scores.shape, -mx.inf), order, ranked, axis=-1)
