"""One model over several Macs: a replica of Serve is rank 0 of a ring, actors in its other bundles are the rest.

`gather` brings the ranks together and waits for what is missing, a Mac or a cable, as long as it takes: Serve gives up
on a deployment whose constructor fails a few times, never on one that takes its time. From when it returns, the
processes of the ring live and die together (lifeline.py), and Serve starts the group anew as a whole.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raylab_serving.loading import MAC_LABEL, report
from raylab_serving.mlx.lifeline import BEAT_S, Lifeline
from raylab_serving.mlx.ring_join import Terms, join

if TYPE_CHECKING:
    from raylab_serving.mlx.engine import Options

logger = logging.getLogger("ray.serve.raylab.ring")

# Seconds after which a rank ends that nobody has asked anything and that has not begun.
FORGOTTEN_S = 60.0
# Seconds that a rank has for an answer before the ring calls it missing, and between two attempts to start it.
ANSWER_S = 3.0
AGAIN_S = 5.0


class Ring:
    """A ring that has begun, as seen from rank 0."""

    def __init__(self, lifeline: Lifeline, actors: Sequence[Any]) -> None:
        self._lifeline = lifeline
        self._actors = actors
        """Ray ends an actor that nobody holds."""

    @property
    def failure(self) -> BaseException | None:
        """Why the ring is ending, once it is: this process follows at once."""
        return RuntimeError(f"the ring ends: {self._lifeline.reason}") if self._lifeline.reason else None

    def check(self) -> None:
        """Raises when a rank is gone."""
        if failure := self.failure:
            raise failure

    def end(self, reason: str) -> NoReturn:
        """Ends every process of the ring, this one first; Serve starts the group anew."""
        self._lifeline.end(reason)


class RingRank:
    """One of the ranks above 0: an actor that holds its part of the model and computes what rank 0 decides."""

    def __init__(self, rank: int, terms: Terms, options: Options) -> None:
        # What takes long to import is here before the ring begins, when all must be quick.
        from raylab_serving.mlx.engine import Engine

        self._engine, self._options = Engine, options
        self._rank, self._terms = rank, terms
        self._mac = terms.macs[rank]
        self._lifeline = _lifeline(terms, rank)
        self._asked = time.monotonic()
        self._lifeline.start()
        threading.Thread(target=self._work, name="ring-rank", daemon=True).start()

    def __repr__(self) -> str:
        """What `ray list actors` shows."""
        return f"RingRank({self._rank} of {self._options.model_id} on {self._mac})"

    def standing(self) -> tuple[str, list[str]]:
        """The Mac it stands on, and what it waits for."""
        self._asked = time.monotonic()
        return _this_mac(), self._lifeline.missing()

    def _work(self) -> None:
        while not self._lifeline.begun.wait(BEAT_S):
            if time.monotonic() - self._asked > FORGOTTEN_S:
                self._lifeline.end(f"rank 0 has not asked for {FORGOTTEN_S:.0f} s")
        failure: BaseException | None = None
        try:
            join(self._terms, self._rank)
            engine = self._engine(self._options)
            engine.join()
            failure = engine.failure
        except BaseException as error:
            failure = error
        if failure is not None:
            logger.error("Rank %d of the ring of %s failed", self._rank, self._options.model_id, exc_info=failure)
        self._lifeline.end(f"the engine of {self._mac} ended: {failure!r}")


async def gather(ring: Sequence[Mapping[str, Any]], port: int, options: Options) -> Ring:
    """The ring of these Macs, in rank order, begun; called in the process that is rank 0.

    ring, port: as in Terms. Waits as long as anything is missing. Raises RuntimeError when the placement group is not
    one for this ring.
    """
    group, here = get_current_placement_group(), _this_mac()
    terms = Terms(tuple(ring), port, secrets.token_bytes(32), ray.util.get_node_ip_address())
    if group is None or here != terms.macs[0]:
        raise RuntimeError(f"rank 0 of a ring must be in a placement group, on {terms.macs[0]}: this is {here}")
    lifeline = _lifeline(terms, 0)
    lifeline.start()
    seats = [_Seat(rank, terms, options, group) for rank in range(1, len(ring))]
    said = ""
    while missing := await _missing(seats, lifeline):
        text = f"waiting for {', '.join(missing)}"
        if text != said:
            logger.info("The ring of %s is %s", options.model_id, text)
            said = text
        await asyncio.to_thread(report, options.model_id, text)
        await asyncio.sleep(BEAT_S)
    # The others join when the lifeline tells them; when this has returned, all have.
    lifeline.begin()
    try:
        await asyncio.to_thread(join, terms, 0)
    except Exception as error:
        lifeline.end(f"{terms.macs[0]} could not join: {error}")
    logger.info("The ring of %s has begun: %s", options.model_id, ", ".join(terms.macs))
    return Ring(lifeline, [seat.actor for seat in seats])


async def _missing(seats: Sequence[_Seat], lifeline: Lifeline) -> list[str]:
    """What the ring waits for: Macs, and once all ranks stand, links."""
    await asyncio.gather(*(seat.look() for seat in seats))
    absent = [seat.absent for seat in seats if seat.absent]
    return absent or [*lifeline.missing(), *(entry for seat in seats for entry in seat.missing)]


class _Seat:
    """The place of one rank, and the actor in it; made again whenever that dies."""

    def __init__(self, rank: int, terms: Terms, options: Options, group: PlacementGroup) -> None:
        self._arguments = (rank, terms, options)
        self._rank, self._mac, self._model = rank, terms.macs[rank], options.model_id
        self._group = group
        self._answer: asyncio.Future[tuple[str, list[str]]] | None = None
        self._again = 0.0
        self.actor: Any = None
        self.absent = self._mac
        """Empty while the rank stands; otherwise what is wrong."""
        self.missing: list[str] = []
        """What the rank itself waits for."""

    async def look(self) -> None:
        """Brings `absent` and `missing` up to date, within ANSWER_S. Raises RuntimeError for a wrong Mac."""
        if self._answer is None:
            if time.monotonic() < self._again:
                return
            self._answer = asyncio.ensure_future(self._ask())
        await asyncio.wait({self._answer}, timeout=ANSWER_S)
        if not self._answer.done():
            self.absent = self.absent or f"{self._mac}: no answer"
            return
        answer, self._answer = self._answer, None
        try:
            mac, self.missing = answer.result()
        except Exception as error:
            self._lost(error)
            return
        if mac != self._mac:
            raise RuntimeError(f"rank {self._rank} of the ring stands on {mac}, not on {self._mac}")
        self.absent = ""

    async def _ask(self) -> tuple[str, list[str]]:
        if self.actor is None:
            # In a thread: naming an actor waits for the head.
            self.actor = await asyncio.to_thread(self._start)
        answer: tuple[str, list[str]] = await self.actor.standing.remote()
        return answer

    def _start(self) -> Any:  # noqa: ANN401
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=self._rank, placement_group_capture_child_tasks=False
        )
        return (
            ray.remote(RingRank)
            .options(
                name=f"RING::{self._model}::{self._rank}::{secrets.token_hex(4)}",
                # The bundle is the reservation.
                num_cpus=0,
                scheduling_strategy=strategy,
            )
            .remote(*self._arguments)
        )

    def _lost(self, error: Exception) -> None:
        """The actor is gone, or cannot be made or asked now; soon a new one takes its place."""
        logger.warning("Rank %d of the ring of %s is lost: %s", self._rank, self._model, error)
        if self.actor is not None:
            ray.kill(self.actor)
        self.actor, self.missing = None, []
        self.absent = f"{self._mac}: its rank ended"
        self._again = time.monotonic() + AGAIN_S


def _lifeline(terms: Terms, rank: int) -> Lifeline:
    return Lifeline(rank, terms.macs, terms.addresses, terms.port, terms.token)


def _this_mac() -> str:
    """The name of this Mac, from the labels of its Ray node."""
    return str(ray.get_runtime_context().get_node_labels().get(MAC_LABEL, ""))
