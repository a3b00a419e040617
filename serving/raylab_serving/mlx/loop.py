"""The loop that writes every answer: mlx-lm's BatchGenerator, fed and emptied step by step, on every rank of a ring.

mlx_lm.server has such a loop, but one that cannot be changed from outside where it must be: a request with a seed
waits until it is alone, a new one up to half a second; a prompt that is cached to its last token ends the thread, as
any other error does, while its requests wait for ever; an answer loses the characters whose decoding was not finished.

Rank 0 decides and shares what it decided, so that all ranks do the same steps in the same order.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.generate import BatchGenerator, GenerationBatch, SequenceStateMachine

from raylab_serving.mlx.jobs import Job, Produced
from raylab_serving.mlx.load import Model, states
from raylab_serving.mlx.options import Options
from raylab_serving.mlx.prompts import Prompts
from raylab_serving.mlx.sampling import Sampler
from raylab_serving.mlx.sharing import Orders, share

# Seconds that an idle ring sleeps before its ranks look again: a rank that waits for the others keeps a core busy.
IDLE_S = 0.05
# Seconds of generation in a ring between two orders: to share them costs about as much as a small step.
TURN_S = 0.1
MOST_STEPS = 25
# Steps between two looks at the memory that caches take.
WEIGH_EVERY = 32
# Which part of the cache budget mlx may always keep of the memory it has freed, for the next step.
SPARE = 1 / 16


@dataclass(frozen=True)
class Command:
    """What rank 0 is asked for: a new job, the end of one, to forget all prompts, or to stop."""

    kind: str
    number: int = 0
    job: Job | None = None


@dataclass
class Counters:
    """What a loop has done since it began."""

    steps: int = 0
    """Passes through the model that wrote tokens."""
    tokens: int = 0
    """Tokens that were written, of all jobs."""
    largest: int = 0
    """Jobs that one pass wrote for, at most."""
    kept: int = 0
    """Bytes that prompts of earlier jobs take."""


@dataclass
class _Running:
    number: int
    job: Job
    cached: int
    due: list[int]
    """Snapshots that are still to be taken, as lengths of the prompt."""


class _Batch(GenerationBatch):  # type: ignore[misc]
    """mlx-lm's, but for two oversights in 0.31.3."""

    def _step(self) -> tuple[list[int], list[mx.array]]:
        """Without the padding of prompts: it is counted down, never computed, and grows by a node with each token."""
        written: tuple[list[int], list[mx.array]] = super()._step()
        for state in states(self.prompt_cache):
            state.left_padding = state.lengths = None
        return written

    def filter(self, keep: list[int]) -> None:
        """Rows that go leave the list of samplers, also when all of these are None."""
        samplers = [self.samplers[place] for place in keep]
        super().filter(keep)
        self.samplers: list[Any] = samplers


class Loop:
    """What the engine's thread runs, on every rank."""

    def __init__(
        self,
        model: Model,
        options: Options,
        ring: mx.distributed.Group | None,
        inbox: queue.SimpleQueue[Command],
        post: Callable[[Sequence[tuple[int, Produced]]], None],
    ) -> None:
        self.counters = Counters()
        self._options, self._ring = options, ring
        self._first = ring is None or ring.rank() == 0
        self._inbox, self._post = inbox, post
        self._sampler = Sampler(ring)
        # The stream of all other work of this thread, so that a ring's messages keep their order. On Metal the
        # generator also raises the limit of wired memory to what macOS recommends at most.
        self._generator = BatchGenerator(
            model.network,
            sampler=self._sampler,
            completion_batch_size=options.concurrency,
            # What pads prompts to the same length becomes part of the states that some models' layers keep.
            prefill_batch_size=1 if model.recurrent else min(options.prompt_concurrency, options.concurrency),
            prefill_step_size=options.prefill_step_size,
            stream=mx.default_stream(mx.default_device()),
        )
        self._generator._generation_batch = _Batch.empty(model.network, self._sampler)
        self._prompts = Prompts()
        self._waiting: deque[tuple[int, Job]] = deque()
        self._running: dict[int, _Running] = {}
        """By the generator's numbers."""
        self._gone: set[int] = set()
        self._grown = False
        """Whether caches may take more memory than when it was last looked at."""
        self._step_s = TURN_S

    def run(self) -> None:
        """Until the order to stop. Raises whatever goes wrong: the engine cannot go on then."""
        while True:
            orders = share(self._decide() if self._first else None, self._ring)
            if orders.stop:
                return
            self._obey(orders)
            for _ in range(orders.steps):
                if self._running:
                    self._step()
            if not (self._first or self._running):
                time.sleep(IDLE_S * 0.8)

    # Rank 0's part

    def _decide(self) -> Orders:
        orders = Orders()
        self._take_in(orders)
        if self._grown and orders.kept is None:
            orders.kept = self._prompts.fitting(self._rest())
        orders.removed = [place for place, running in self._running.items() if running.number in self._gone]
        self._waiting = deque(entry for entry in self._waiting if entry[0] not in self._gone)
        self._gone.clear()
        free = self._options.concurrency - len(self._running) + len(orders.removed)
        orders.jobs = self._chosen(free)
        if self._ring is not None:
            orders.steps = max(1, min(int(TURN_S / self._step_s), MOST_STEPS))
        return orders

    def _chosen(self, free: int) -> list[tuple[int, Job]]:
        """Who waits no longer: first of the request with the fewest jobs that run, so that none takes all places."""
        running = Counter(each.job.request for each in self._running.values())
        chosen: list[tuple[int, Job]] = []
        while self._waiting and len(chosen) < free:
            entry = min(self._waiting, key=lambda waiting: running[waiting[1].request])
            self._waiting.remove(entry)
            running[entry[1].request] += 1
            chosen.append(entry)
        return chosen

    def _take_in(self, orders: Orders) -> None:
        """What has come in. Waits for something to do."""
        with suppress(queue.Empty):
            command = self._next()
            while True:
                if command.kind == "submit" and command.job is not None:
                    self._waiting.append((command.number, command.job))
                elif command.kind == "cancel":
                    self._gone.add(command.number)
                elif command.kind == "forget":
                    orders.kept = 0
                elif command.kind == "stop":
                    orders.stop = True
                command = self._inbox.get_nowait()

    def _next(self) -> Command:
        if self._running or self._waiting:
            return self._inbox.get_nowait()
        # The others of a ring wait for orders, even if there are none.
        return self._inbox.get(timeout=None if self._ring is None else IDLE_S)

    # Every rank's

    def _obey(self, orders: Orders) -> None:
        if orders.removed:
            self._remove(orders.removed)
        if orders.kept is not None:
            self._shrink(orders.kept)
        for number, job in orders.jobs:
            self._begin(number, job)
        self._grown = self._grown or bool(orders.jobs or orders.removed)

    def _begin(self, number: int, job: Job) -> None:
        cache, cached = self._prompts.nearest(job.prompt, job.salt)
        due = [length for length in job.snapshots if cached < length < len(job.prompt)]
        segments = [list(job.prompt[start:end]) for start, end in pairwise((cached, *due, len(job.prompt)))]
        ends = {"normal": [((token,), None) for token in sorted(job.ends)]} if job.ends else {}
        (place,) = self._generator.insert_segments(
            segments=[segments],
            max_tokens=[job.max_tokens],
            caches=[cache],
            all_tokens=[list(job.prompt[:cached])],
            logits_processors=[[self._sampler.row(job)]],
            state_machines=[SequenceStateMachine(ends)],
        )
        self._running[place] = _Running(number, job, cached, due)

    def _remove(self, places: Sequence[int]) -> None:
        """Free the places of jobs before their end; what they have read may be of use to others."""
        # One that has read nothing yet has nothing to keep, and mlx-lm no way to take it out.
        begun = {place: entry for place, entry in self._generator.extract_cache(list(places)).items() if entry[1]}
        for place, (cache, tokens) in begun.items():
            self._prompts.keep(tokens, self._running[place].job.salt, cache)
        self._generator.remove(list(places))
        for place in places:
            del self._running[place]

    def _step(self) -> None:
        begun = time.monotonic()
        read, written = self._generator.next()
        self._step_s += (time.monotonic() - begun - self._step_s) / 8
        self._take_snapshots(read)
        self._grown = self._grown or bool(read)
        if not written:
            return
        self.counters.steps += 1
        self.counters.tokens += len(written)
        self.counters.largest = max(self.counters.largest, len(written))
        if self._first:
            self._post([self._produced(response) for response in written])
        finished = [response for response in written if response.finish_reason is not None]
        for response in finished:
            running = self._running.pop(response.uid)
            self._prompts.keep(response.all_tokens, running.job.salt, response.prompt_cache)
        self._grown = self._grown or bool(finished) or self.counters.steps % WEIGH_EVERY == 0

    def _take_snapshots(self, read: Sequence[Any]) -> None:
        reached = []
        for response in read:
            running = self._running[response.uid]
            if running.due and running.cached + response.progress[0] == running.due[0]:
                del running.due[0]
                reached.append(response.uid)
        for place, (cache, tokens) in self._generator.extract_cache(reached).items():
            self._prompts.keep(tokens, self._running[place].job.salt, cache)
            self._grown = True

    def _produced(self, response: Any) -> tuple[int, Produced]:  # noqa: ANN401
        running = self._running[response.uid]
        count = running.job.logprobs
        if count is None:
            return running.number, Produced(response.token, response.finish_reason, running.cached)
        # In numpy: the next step is on its way, and another computation of mlx would wait for it.
        logprobs = np.asarray(response.logprobs)
        likeliest = np.argpartition(-logprobs, count - 1)[:count] if count else np.empty(0, dtype=np.int64)
        likeliest = likeliest[np.argsort(-logprobs[likeliest], kind="stable")]
        top = tuple((int(token), float(logprobs[token])) for token in likeliest)
        return running.number, Produced(
            response.token, response.finish_reason, running.cached, float(logprobs[response.token]), top
        )

    def _shrink(self, count: int) -> None:
        """Keep so many prompts. What they leave of the budget is mlx's, for the memory that it has freed."""
        self._prompts.shrink(count)
        self.counters.kept = self._prompts.nbytes
        self._grown = False
        mx.set_cache_limit(int(max(self._rest() - self.counters.kept, self._options.cache_bytes * SPARE)))

    def _rest(self) -> int:
        """Bytes of the budget that running jobs leave: they take what they need."""
        return max(self._options.cache_bytes - int(self._generator.prompt_cache_nbytes), 0)
