"""What to say when a model does not get its Macs: by how much it does not fit, and with what it would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from fleet.errors import Code, Problem
from fleet.memory import gb, indivisible, need_of, weight_bits
from fleet.placement import Placement, asked, sizes
from fleet.settings import Fleet, Mac, Model

# Contexts are proposed in steps of this many tokens.
_STEP = 256
# What quantised weights are called, and the bits of one with its share of the group's scale and bias.
_QUANTISED = (("8 bit", 8.5), ("4 bit", 4.5))

Room = Mapping[str, int | None]
"""Bytes by the names of Macs; None for a Mac of unknown memory."""


def shortage(fleet: Fleet, placement: Placement, usable: Room, left: Room) -> Problem | None:
    """The problem of a model that has fewer copies than it asks for; None when it has enough.

    `usable` is what each Mac may give to models, and `left` what the plan leaves of that.
    """
    model = placement.model
    wanted = (asked(model) or (1, 1))[1]
    if len(placement.copies) >= wanted:
        return None
    field, macs = f"models[{fleet.models.index(model)}]", fleet.allowed(model)
    possible = list(sizes(model, len(macs)))
    if not possible:
        fix = "Choose another shape, or allow it more Macs."
        return Problem(Code.MODEL_TOO_BIG, "", "", f"{field}.shape", model.id, fix, _no_such_group(model, macs))
    if placement.copies:
        other = f"{_copies(placement, macs)}; {_free(placement, macs, left)}"
        fix = f"Ask for fewer replicas of {model.id}, or add Macs.{_smaller(placement, wanted, macs, left)}"
        return Problem(Code.MODEL_FITS_TOO_FEW, "", "", f"{field}.replicas", str(wanted), fix, other)
    # Were there no other model, would it fit? Of several sizes of groups, that which lacks the least.
    size = min(possible, key=lambda size: _lacking(model, size, macs, usable))
    alone = _lacking(model, size, macs, usable) > 0
    room = usable if alone else left
    size = min(possible, key=lambda size: _lacking(model, size, macs, room))
    other = _by_how_much(model, size, macs, room, "can give" if alone else "has, beside the other models,")
    return Problem(Code.MODEL_TOO_BIG, "", "", field, model.id, _fix(model, size, macs, room), other)


def _no_such_group(model: Model, macs: Sequence[Mac]) -> str:
    size = model.shape if isinstance(model.shape, int) else 1
    if size > len(macs):
        return f"its shape is a group of {size} Macs, and it may run on {len(macs)}"
    return indivisible(model, size)


def _copies(placement: Placement, macs: Sequence[Mac]) -> str:
    """How many there is room for."""
    count, size = len(placement.copies), placement.size
    return f"{count} of {len(macs)} Macs" if size == 1 else f"{count} group{'s' * (count != 1)} of {size} Macs"


def _free(placement: Placement, macs: Sequence[Mac], left: Room) -> str:
    """What the other Macs have."""
    others = ", ".join(f"{mac.name} has {gb(left[mac.name])} GB" for mac in macs if mac not in placement.macs)
    return f"a copy takes {gb(placement.need.total)} GB of a Mac, and {others or 'no other Mac is there'}"


def _smaller(placement: Placement, wanted: int, macs: Sequence[Mac], left: Room) -> str:
    """With what the missing replicas would fit into what the other Macs have, one change at a time."""
    model, missing = placement.model, wanted - len(placement.copies)
    others = [mac for mac in macs if mac not in placement.macs]
    if placement.size > 1 or model.memory_gb is not None or len(others) < missing:
        return ""
    ways = list(_changes(model, 1, _weakest(missing, others, left)[1]))
    return f" All would fit {_either(ways)}." if ways else ""


def _either(ways: Sequence[str]) -> str:
    *others, last = ways
    return f"{', '.join(others)}{' or ' if others else ''}{last}"


def _weakest(size: int, macs: Sequence[Mac], room: Room) -> tuple[str, int]:
    """Of the best group of so many Macs, the one with the least room, and its bytes."""
    known = ((mac.name, room[mac.name]) for mac in macs)
    sized = [(name, sys.maxsize if most is None else most) for name, most in known]
    return sorted(sized, key=lambda each: -each[1])[size - 1]


def _lacking(model: Model, size: int, macs: Sequence[Mac], room: Room) -> int:
    """Bytes that the weakest Mac of a group lacks; less than 0 when there is room to spare."""
    return need_of(model, size).total - _weakest(size, macs, room)[1]


def _by_how_much(model: Model, size: int, macs: Sequence[Mac], room: Room, has: str) -> str:
    need, (name, most) = need_of(model, size), _weakest(size, macs, room)
    each = f"in a group of {size} Macs it needs {gb(need.total)} GB on each" if size > 1 else ""
    which = name if size > 1 else f"{name}, the largest,"
    return (
        f"{each or f'it needs {gb(need.total)} GB'}, and {which} {has} {gb(most)} GB: {gb(need.total - most)} GB short"
    )


def _fix(model: Model, size: int, macs: Sequence[Mac], room: Room) -> str:
    """With what it would fit, one change at a time."""
    if model.memory_gb is not None:
        return "Lower its memory_gb, or add a larger Mac."
    found = list(_changes(model, size, _weakest(size, macs, room)[1]))
    if model.shape == "replica":
        groups = (k for k in range(2, len(macs) + 1) if not indivisible(model, k))
        found += [f"as a group of {k} Macs" for k in groups if _lacking(model, k, macs, room) <= 0][:1]
    reason = indivisible(model, 2) if model.shape == "group" and len(macs) > 1 else ""
    why = f" No group can hold it: {reason}." if reason else ""
    if not found:
        return f"Take a smaller model, take another one away, or add a larger Mac.{why}"
    return f"It would fit {_either(found)}.{why}"


def _changes(model: Model, size: int, most: int) -> Iterator[str]:
    """What would make it need no more than `most` bytes."""
    need = need_of(model, size)
    tokens = _STEP * _largest(
        lambda steps: need_of(replace(model, context=steps * _STEP), size).total <= most, (model.context - 1) // _STEP
    )
    if tokens:
        yield f"with a context of {tokens}"
    requests = _largest(
        lambda count: need_of(replace(model, concurrency=count), size).total <= most, model.concurrency - 1
    )
    if requests:
        yield f"with a concurrency of {requests}"
    now = weight_bits(model)
    for title, bits in _QUANTISED:
        if bits < now and need.total - need.weights + need.weights * bits / now <= most:
            yield f"in {title}"
            return


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that fits, 0 when none does. What fits with more fits with less."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
