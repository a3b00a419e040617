"""Which copy of which model goes to which Mac.

Counted models choose before those that take all, those with few Macs to choose from before the others, large ones
before small ones; each copy goes to the Mac with the most memory left. What was placed before stays where it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fleet.cables import Pairs
from fleet.engines import is_ring
from fleet.memory import Need, indivisible, need_of
from fleet.settings import Fleet, Mac, Model

# How many models can be told apart on a Mac: each Mac offers Ray one of `slot-0` … `slot-63`.
SLOTS = 64

Copy = tuple[Mac, ...]
"""The Macs of one copy in rank order: one, or those of a group."""
Before = Mapping[str, Sequence[Sequence[str]]]
"""The names of the Macs of each copy, by model id, as a run has left them."""


@dataclass(frozen=True)
class Placement:
    """Where one model runs."""

    model: Model
    slot: int
    """Which of Ray's `slot-…` resources keeps two of its copies from one Mac."""
    copies: tuple[Copy, ...]
    """One for each replica; as many as there are at most, when their number changes."""
    minimum: int
    """How many of them always run."""
    pinned: bool
    """Whether Ray must be told the Macs. Otherwise, wherever it puts a copy is right."""
    need: Need
    """What a copy takes on each of its Macs."""

    @property
    def size(self) -> int:
        """How many Macs hold a copy."""
        return len(self.copies[0]) if self.copies else 1

    @property
    def macs(self) -> tuple[Mac, ...]:
        """All that hold the model, or a part of it."""
        return tuple(mac for copy in self.copies for mac in copy)


class Room:
    """What models may take of each Mac, and what they have taken."""

    def __init__(self, fleet: Fleet, usable: Mapping[str, int | None], cables: Pairs) -> None:
        self.fleet, self.usable, self.cables = fleet, usable, cables
        self.taken = {mac.name: 0 for mac in fleet.macs}
        self.copies: dict[str, list[Copy]] = {model.id: [] for model in fleet.models}

    def left(self, mac: Mac) -> int | None:
        """Bytes; None when nobody knows the Mac's memory, which is then trusted to suffice."""
        usable = self.usable[mac.name]
        return None if usable is None else usable - self.taken[mac.name]

    def takes(self, model: Model, mac: Mac, need: Need) -> bool:
        """Whether a copy, or its part, still fits there, and the Mac has none yet."""
        left = self.left(mac)
        return (left is None or need.total <= left) and all(mac not in copy for copy in self.copies[model.id])

    def put(self, model: Model, copy: Copy, need: Need) -> None:
        """The copy is there now."""
        self.copies[model.id].append(copy)
        for mac in copy:
            self.taken[mac.name] += need.total

    def add(self, model: Model, size: int) -> bool:
        """Puts one more copy on so many Macs; False when there is no room for it."""
        need = need_of(model, size)
        fitting = [mac for mac in self.fleet.allowed(model) if self.takes(model, mac, need)]
        if len(fitting) < size:
            return False
        fitting.sort(key=self._rank)
        chosen = (self._joined(fitting, size) if size > 1 else None) or fitting[:size]
        self.put(model, tuple(mac for mac in self.fleet.macs if mac in chosen), need)
        return True

    def _joined(self, fitting: Sequence[Mac], size: int) -> Sequence[Mac] | None:
        """The best Macs that a ring of cables joins, else the Thunderbolt Bridge: a group is as fast as its links."""

        def extend(path: Copy) -> Copy | None:
            if len(path) == size:
                return path if size == 2 or frozenset((path[-1].name, path[0].name)) in self.cables else None
            near = [mac for mac in fitting if frozenset((path[-1].name, mac.name)) in self.cables]
            return next((whole for mac in near if mac not in path and (whole := extend((*path, mac)))), None)

        if ring := next((ring for mac in fitting if (ring := extend((mac,)))), None):
            return ring
        bridged = [mac for mac in fitting if mac.thunderbolt_ip]
        return bridged[:size] if len(bridged) >= size else None

    def _rank(self, mac: Mac) -> tuple[bool, int]:
        """The most left first. Among Macs of unknown memory, the least taken."""
        left = self.left(mac)
        return (True, self.taken[mac.name]) if left is None else (False, -left)


def place(fleet: Fleet, usable: Mapping[str, int | None], before: Before, cables: Pairs) -> dict[str, Placement]:
    """Every model's placement, by its id; one that does not get what it asks for has fewer copies.

    `usable` is what each Mac may give, in bytes by name. A copy of `before` stays while it fits; when that leaves a
    model without room that it would have otherwise, all are placed anew. `cables` joins pairs of Macs, by their names.
    """
    room = _placed(Room(fleet, usable, cables), before)
    if before and (short := _short(room)):
        anew = _placed(Room(fleet, usable, cables), {})
        if _short(anew) < short:
            room = anew
    slots = _slots(fleet)
    return {model.id: _placement(room, model, slots[model.id]) for model in fleet.models}


def asked(model: Model) -> tuple[int, int] | None:
    """The fewest and the most copies that it shall have; None for all that fit."""
    if isinstance(model.replicas, str):
        return None
    if isinstance(model.replicas, int):
        return model.replicas, model.replicas
    return model.replicas["min"], model.replicas["max"]


def sizes(model: Model, macs: int) -> Iterator[int]:
    """How many Macs may hold a copy together, the fewest first, when there are so many to choose from."""
    if isinstance(model.shape, int):
        wanted: Sequence[int] = (model.shape,)
    else:
        wanted = range(1, macs + 1) if model.shape == "group" else (1,)
    return (size for size in wanted if size <= macs and not indivisible(model, size))


def _placed(room: Room, before: Before) -> Room:
    fleet = room.fleet
    order = sorted(
        fleet.models,
        key=lambda model: (len(fleet.allowed(model)), asked(model) is None, -need_of(model).total),
    )
    for model in order:
        _keep(room, model, before.get(model.id, ()))
    for model in order:
        _fill(room, model)
    # Each model has what it needs: only now do those that want all Macs take the rest, in turns.
    greedy = [model for model in order if asked(model) is None and room.copies[model.id]]
    greedy = [model for model in greedy if not is_ring(model, len(room.copies[model.id][0]))]
    while greedy:
        greedy = [model for model in greedy if room.add(model, len(room.copies[model.id][0]))]
    return room


def _keep(room: Room, model: Model, before: Sequence[Sequence[str]]) -> None:
    """What was placed stays, as far as the settings still allow it."""
    allowed = {mac.name: mac for mac in room.fleet.allowed(model)}
    limits = asked(model)
    for names in before[: limits[1] if limits else None]:
        copy = tuple(allowed[name] for name in names if name in allowed)
        size = len(room.copies[model.id][0]) if room.copies[model.id] else len(names)
        if room.copies[model.id] and is_ring(model, size):
            return
        if len(copy) == len(names) == size and size in sizes(model, len(allowed)):
            need = need_of(model, size)
            if all(room.takes(model, mac, need) for mac in copy):
                room.put(model, copy, need)


def _fill(room: Room, model: Model) -> None:
    """The copies that the model lacks, all of one size: as many as it asks for, or the first one of all."""
    limits = asked(model)
    wanted = limits[1] if limits else 1
    if kept := room.copies[model.id]:
        while len(kept) < (1 if is_ring(model, len(kept[0])) else wanted) and room.add(model, len(kept[0])):
            pass
        return
    possible = list(sizes(model, len(room.fleet.allowed(model))))
    counts = {size: _count(room, model, size, wanted) for size in possible}
    best = max(possible, key=lambda size: (counts[size], -size), default=1)
    for _ in range(counts.get(best, 0)):
        room.add(model, best)


def _count(room: Room, model: Model, size: int, wanted: int) -> int:
    """How many copies on so many Macs each there is room for."""
    need = need_of(model, size)
    wanted = 1 if is_ring(model, size) else wanted
    return min(wanted, sum(room.takes(model, mac, need) for mac in room.fleet.allowed(model)) // size)


def _short(room: Room) -> int:
    """Copies that were asked for, and for which there is no room."""
    limits = {model.id: asked(model) or (1, 1) for model in room.fleet.models}
    return sum(max(0, most - len(room.copies[name])) for name, (_, most) in limits.items())


def _placement(room: Room, model: Model, slot: int) -> Placement:
    copies = tuple(room.copies[model.id])
    limits = asked(model)
    minimum = min(limits[0], len(copies)) if limits else len(copies)
    need = need_of(model, len(copies[0]) if copies else 1)
    return Placement(model, slot, copies, minimum, _pinned(room, model, copies, need), need)


def _pinned(room: Room, model: Model, copies: tuple[Copy, ...], need: Need) -> bool:
    """Not when there is a copy on every Mac with enough memory: elsewhere, Ray itself would refuse it."""
    if asked(model) or model.macs or any(len(copy) > 1 for copy in copies):
        return True
    held = {mac.name for copy in copies for mac in copy}
    usable = room.usable
    return any(name not in held and (size is None or need.total <= size) for name, size in usable.items())


def _slots(fleet: Fleet) -> dict[str, int]:
    """A number for each model, which a model added behind it does not change."""
    found: dict[str, int] = {}
    for model in fleet.models:
        first = int.from_bytes(hashlib.sha256(model.id.encode()).digest()[:4]) % SLOTS
        free = ((first + step) % SLOTS for step in range(SLOTS))
        # Of more models than slots, two can then not share a Mac.
        found[model.id] = next((slot for slot in free if slot not in found.values()), first)
    return found
