"""The engine: one thread that holds a model and writes every answer, and the streams that its tokens come out of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

from raylab_serving.mlx.errors import EngineFailed
from raylab_serving.mlx.jobs import Job, Produced
from raylab_serving.mlx.load import Model, group, load
from raylab_serving.mlx.loop import Command, Counters, Loop
from raylab_serving.mlx.options import Options

__all__ = ["Engine", "Options", "Stream"]

logger = logging.getLogger("ray.serve.raylab.mlx")

Report = Callable[[str, float | None], None]


class Engine:
    """A model that answers until it fails; in a ring, one rank of it. Its methods may be called from any thread."""

    def __init__(self, options: Options, report: Report = lambda text, part: None) -> None:
        """Returns when the model is in memory. Raises what loading raised."""
        self.options = options
        self.failure: BaseException | None = None
        """What the engine ended by."""
        self.model: Model
        self.counters: Counters
        self._report = report
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._ended = False
        loaded = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(loaded,), name="mlx-engine", daemon=True)
        self._thread.start()
        loaded.wait()
        if self.failure is not None:
            raise self.failure

    def submit(self, job: Job, stream: Stream) -> int:
        """Take a job in, whose tokens go to that stream; its number. Raises EngineFailed."""
        with self._lock:
            self.check()
            self._last += 1
            self._streams[self._last] = stream
            self._inbox.put(Command("submit", self._last, job))
            return self._last

    def cancel(self, number: int) -> None:
        """Nobody waits for this job any more."""
        self._streams.pop(number, None)
        self._inbox.put(Command("cancel", number))

    def forget(self) -> None:
        """Forget the prompts that have been read."""
        self._inbox.put(Command("forget"))

    def stop(self) -> None:
        """End the engine; jobs that run fail."""
        self._inbox.put(Command("stop"))

    def join(self) -> None:
        """Wait until the engine has ended."""
        self._thread.join()

    def check(self) -> None:
        """Raises EngineFailed when the engine does not answer any more."""
        if self._ended:
            raise self._end()

    def _end(self) -> EngineFailed:
        why = "has stopped" if self.failure is None else f"failed: {self.failure!r}"
        return EngineFailed(f"the engine of {self.options.model_id} {why}")

    # In the engine's thread

    def _run(self, loaded: threading.Event) -> None:
        try:
            ring = group()
            self.model = load(self.options, ring, self._report)
            loop = Loop(self.model, self.options, ring, self._inbox, self._post)
            self.counters = loop.counters
            loaded.set()
            loop.run()
        except BaseException as error:
            logger.exception("The engine of %s failed", self.options.model_id)
            self.failure = error
        with self._lock:
            self._ended = True
            streams = list(self._streams.values())
        loaded.set()
        _hand_out([(stream, self._end()) for stream in streams])

    def _post(self, produced: Sequence[tuple[int, Produced]]) -> None:
        events: list[tuple[Stream, Produced | EngineFailed]] = []
        for number, token in produced:
            stream = self._streams.get(number)
            if stream is not None:
                events.append((stream, token))
                if token.finish is not None:
                    self._streams.pop(number, None)
        for stream in _hand_out(events):
            self.cancel(stream.number)


class Stream:
    """The tokens of one job, as an event loop reads them. Close it: what is not read to its end keeps its place."""

    def __init__(self, engine: Engine, job: Job, pause: float = 0.0) -> None:
        """Tokens that come within `pause` seconds of those before them come together. Raises EngineFailed."""
        self.loop = asyncio.get_running_loop()
        self._engine, self._pause = engine, pause
        self._queue: asyncio.Queue[Produced | EngineFailed] = asyncio.Queue()
        self._over = asyncio.Event()
        self._open = True
        self.number = engine.submit(job, self)

    async def __aiter__(self) -> AsyncIterator[list[Produced]]:
        """All tokens that have come, again and again. Raises EngineFailed."""
        while self._open:
            events = [await self._queue.get()]
            while not self._queue.empty():
                events.append(self._queue.get_nowait())
            self._open = not self._over.is_set()
            if tokens := [event for event in events if isinstance(event, Produced)]:
                yield tokens
            for event in events:
                if isinstance(event, EngineFailed):
                    raise event
            if self._open and self._pause:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), self._pause)

    def put(self, event: Produced | EngineFailed) -> None:
        """One more, in the stream's event loop."""
        self._queue.put_nowait(event)
        if isinstance(event, EngineFailed) or event.finish is not None:
            self._over.set()

    def close(self) -> None:
        """Ends the job if it still runs."""
        if self._open:
            self._open = False
            self._engine.cancel(self.number)


def _hand_out(events: Sequence[tuple[Stream, Produced | EngineFailed]]) -> list[Stream]:
    """Give events to their streams, waking each event loop once. Those whose event loop has ended."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Stream, Produced | EngineFailed]]] = defaultdict(list)
    for stream, event in events:
        by_loop[stream.loop].append((stream, event))
    lost = []
    for loop, some in by_loop.items():
        try:
            loop.call_soon_threadsafe(_put, some)
        except RuntimeError:
            lost += [stream for stream, _ in some]
    return lost


def _put(events: Sequence[tuple[Stream, Produced | EngineFailed]]) -> None:
    for stream, event in events:
        stream.put(event)
