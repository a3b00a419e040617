"""Which model runs on which Mac, what it takes there, and what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

from fleet.cables import PortReport
from fleet.errors import Problem
from fleet.links import Links, make_links, used_cables
from fleet.memory import UNKNOWN_CACHE, cache_of, default_limit, gb, usable_bytes, wired_limit_mb
from fleet.placement import Before, Placement, asked, place
from fleet.settings import GB, Fleet, Mac, Model
from fleet.shortage import shortage

# The versions that a person wants to see, and their products' names.
TITLES = {
    "python": "Python",
    "ray": "Ray",
    "vllm": "vLLM",
    "vllm-metal": "vllm-metal",
    "mlx": "MLX",
    "valkey": "Valkey",
}


@dataclass(frozen=True)
class Held:
    """A copy of a model, or one Mac's part of it."""

    model: Model
    bytes: int


@dataclass(frozen=True)
class Row:
    """One Mac of the plan, and what it holds."""

    mac: Mac
    memory: int | None
    """The Mac's memory in bytes; None when it was not asked."""
    usable: int | None
    """What models may take of it."""
    held: tuple[Held, ...]
    """In the settings' order."""
    wired_limit_mb: int | None
    """What the GPU's limit must be set to, in MB; None when macOS's own suffices."""

    @property
    def left(self) -> int | None:
        """Usable bytes that the models leave."""
        return None if self.usable is None else self.usable - sum(held.bytes for held in self.held)


@dataclass(frozen=True)
class Plan:
    """The placement of every model."""

    fleet: Fleet
    macs: tuple[Row, ...]
    """One row per Mac, in the inventory's order."""
    placements: dict[str, Placement]
    """By model id, in the settings' order."""
    links: dict[str, tuple[Links, ...]]
    """How the Macs of each group talk to each other, by model id; none for copies on one Mac."""
    problems: tuple[Problem, ...]
    """Models that fit nowhere, or on too few Macs."""
    moves: tuple[str, ...]
    """What runs elsewhere than before, one sentence each."""

    @property
    def replicas(self) -> dict[str, int]:
        """How many copies there are of each model, by model id."""
        return {name: len(placement.copies) for name, placement in self.placements.items()}

    @property
    def placed(self) -> dict[str, list[list[str]]]:
        """What the next plan is given as `before`."""
        return {
            name: [[mac.name for mac in copy] for copy in placement.copies]
            for name, placement in self.placements.items()
        }

    def models_on(self, mac: Mac) -> tuple[Model, ...]:
        """Every model that this Mac may come to run."""
        return tuple(each.model for each in self.placements.values() if mac in each.macs)

    def rows(self) -> list[dict[str, object]]:
        """The plan as data: one dict per Mac, memory in bytes."""
        return [
            {
                "mac": row.mac.name,
                "role": row.mac.role,
                "node_ip": row.mac.node_ip,
                "memory": row.memory,
                "usable": row.usable,
                "models": {held.model.id: held.bytes for held in row.held},
                "left": row.left,
                "wired_limit_mb": row.wired_limit_mb,
            }
            for row in self.macs
        ]

    def table(self) -> str:
        """The plan as a person reads it at the start of a run."""
        fleet = self.fleet
        models = _counted(len(self.placements), "model") if self.placements else "no model"
        lines = [f"Plan of {fleet.name}: {_counted(len(fleet.macs), 'Mac')}, {models}", *_release_lines(fleet), ""]
        head = ("Mac", "role", "node IP", "model", "weights", "KV cache", "engine", "needs", "may use", "has", "left")
        lines += _aligned([head, *(cells for row in self.macs for cells in _mac_cells(self, row))], 4)
        lines += ["", "Memory in GB."]
        if self.placements:
            names = ("model", "engine", "runs as", "on", "at once")
            lines += ["", *_aligned([names, *(_model_cells(fleet, each) for each in self.placements.values())], 5)]
        if remarks := _remarks(self):
            lines += ["", *remarks]
        return "\n".join(lines)


def make_plan(
    fleet: Fleet,
    memory: Mapping[str, int],
    before: Before | None = None,
    reports: Mapping[str, PortReport] | None = None,
) -> Plan:
    """Place the models. `memory` is what the Macs themselves report, in bytes by Mac name.

    A Mac that does not report is taken at its memory_gb; without that it is trusted to fit any model. What stands in
    `before`, which is another plan's `placed`, stays where it is. `reports` is what the Macs say of their Thunderbolt
    ports, by name.
    """
    before, reports = before or {}, reports or {}
    known = {mac.name: memory.get(mac.name) or (mac.memory_gb or 0) * GB or None for mac in fleet.macs}
    usable = {name: usable_bytes(size) if size else None for name, size in known.items()}
    placements = place(fleet, usable, before, used_cables(fleet, reports).keys())
    rows = tuple(_row(mac, known[mac.name], usable[mac.name], placements) for mac in fleet.macs)
    left = {row.mac.name: row.left for row in rows}
    links = {
        name: tuple(make_links(fleet, copy, reports) for copy in each.copies if len(copy) > 1)
        for name, each in placements.items()
    }
    problems = (shortage(fleet, placement, usable, left) for placement in placements.values())
    moves = tuple(move for placement in placements.values() for move in _moves(placement, before))
    return Plan(fleet, rows, placements, links, tuple(problem for problem in problems if problem), moves)


def _row(mac: Mac, memory: int | None, usable: int | None, placements: Mapping[str, Placement]) -> Row:
    held = tuple(Held(each.model, each.need.total) for each in placements.values() if mac in each.macs)
    limit = wired_limit_mb(memory, sum(each.bytes for each in held)) if memory else None
    return Row(mac, memory, usable, held, limit)


def _moves(placement: Placement, before: Before) -> list[str]:
    """Copies that were on other Macs before."""
    was = [list(names) for names in before.get(placement.model.id, ())]
    copies = [[mac.name for mac in copy] for copy in placement.copies]
    gone = ["+".join(names) for names in was if names not in copies]
    new = ["+".join(names) for names in copies if names not in was]
    return [f"{placement.model.id} moves from {old} to {now}." for old, now in zip(gone, new, strict=False)]


def _mac_cells(plan: Plan, row: Row) -> list[tuple[str, ...]]:
    """A line for each model that the Mac holds; the Mac itself is told in the first one."""
    mac = row.mac
    named, sizes = (mac.name, mac.role, mac.node_ip), (gb(row.usable), gb(row.memory), gb(row.left))
    models = [_held_cells(plan.placements[held.model.id], mac) for held in row.held] or [("-",) * 5]
    first, *others = models
    return [(*named, *first, *sizes), *(("", "", "", *cells, "", "", "") for cells in others)]


def _held_cells(placement: Placement, mac: Mac) -> tuple[str, ...]:
    model, need = placement.model, placement.need
    sizes = [gb(part) for part in (need.weights, need.kv_cache, need.overhead, need.total)]
    if model.memory_gb is not None:
        sizes[:3] = ["-"] * 3  # the total was given, not summed
    copy = next(copy for copy in placement.copies if mac in copy)
    part = f" {copy.index(mac) + 1}/{len(copy)}" if len(copy) > 1 else ""
    return (model.id + part, *sizes)


def _model_cells(fleet: Fleet, placement: Placement) -> tuple[str, ...]:
    """How a model runs, and what it can work on at most."""
    model, copies = placement.model, sorted(placement.copies, key=lambda copy: fleet.macs.index(copy[0]))
    count = f"{placement.minimum} to {len(copies)}" if placement.minimum < len(copies) else str(len(copies))
    kind = "replica" if placement.size == 1 else "group"
    members = f" of {placement.size} Macs" if placement.size > 1 else ""
    runs_as = f"{count} {kind}{'s' * (count != '1')}{members}" if copies else "nothing"
    macs = ", ".join("+".join(mac.name for mac in copy) for copy in copies)
    most = model.concurrency * len(copies)
    at_once = f"{_counted(most, 'request')} of {model.context} tokens" if copies and model.config is None else "-"
    return (model.id, model.engine if model.config is None else "Ray's own", runs_as, macs or "-", at_once)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _release_lines(fleet: Fleet) -> list[str]:
    """The releases of the plan, with their versions; one line when all Macs run the same."""
    lines = []
    for locks, release in fleet.releases.items():
        versions = ", ".join(
            f"{title} {release.versions[name]}" for name, title in TITLES.items() if name in release.versions
        )
        names = [mac.name for mac in fleet.macs if mac.locks == locks]
        on = "" if len(names) == len(fleet.macs) else f" on {', '.join(names)}"
        lines.append(f"Release {release.id} ({release.platform}){on}: {versions}")
    return lines


def _remarks(plan: Plan) -> list[str]:
    """What the tables alone do not say."""
    lines = list(plan.moves)
    for placement in plan.placements.values():
        lines += _uncounted(placement.model)
        lines += _not_everywhere(plan, placement)
        lines += [f"{placement.model.id}: {links.describe()}." for links in plan.links[placement.model.id]]
    for row in plan.macs:
        if row.wired_limit_mb and row.memory:
            limit, default = gb(row.wired_limit_mb * 1024**2), gb(default_limit(row.memory))
            lines.append(f"{row.mac.name}: its GPU's limit becomes {limit} GB, instead of macOS's {default} GB.")
    unknown = [row.mac.name for row in plan.macs if row.memory is None]
    if unknown:
        lines.append(f"Not asked for their memory: {', '.join(unknown)}.")
    return lines


def _uncounted(model: Model) -> list[str]:
    """What its memory does not include."""
    if model.memory_gb is not None:
        return []
    if not model.weights.files:
        return [f"{model.id}: nobody knows what it takes; memory_gb would tell the plan."]
    cache = cache_of(model)
    if cache is None or not cache.layers:
        assumed = gb(UNKNOWN_CACHE)
        return [f"{model.id}: config.json does not tell the size of its KV cache, which is counted as {assumed} GB."]
    if cache.states and not cache.state_bytes:
        layers = _counted(cache.states, "layer")
        return [f"{model.id}: {layers} keep a state instead of a KV cache; it is not counted."]
    return []


def _not_everywhere(plan: Plan, placement: Placement) -> list[str]:
    """Macs that a model which takes all of them does not get."""
    model, need = placement.model, placement.need
    if asked(model) or not placement.copies or placement.size > 1:
        return []
    short = [
        f"{row.mac.name} ({gb(need.total - row.left)} GB short)"
        for row in plan.macs
        if row.mac in plan.fleet.allowed(model) and row.mac not in placement.macs and row.left is not None
    ]
    return [f"{model.id} does not fit {', '.join(short)}."] if short else []


def _aligned(cells: list[tuple[str, ...]], left_columns: int) -> list[str]:
    """Text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    return [
        "  ".join(
            text.ljust(width) if index < left_columns else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
