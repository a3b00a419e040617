"""Which model runs on which Mac, what it takes there, and what is left.

An estimate that errs on the safe side: weights as they are on disk, the KV cache of every concurrent request
at full length, and what the engine itself needs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

from fleet.errors import Code, Problem
from fleet.settings import GB, Fleet, Mac, Model

# What one replica's processes take beside weights and KV cache, Serve's own on that Mac included; measured
# 3.2 GB with vLLM on Linux, pages that they share counted twice.
ENGINE_BYTES = 3 * GB
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
class Need:
    """The memory one replica of a model takes, in bytes."""

    weights: int
    kv_cache: int
    overhead: int
    total: int
    """The sum, or what the model's memory_gb says."""


@dataclass(frozen=True)
class Row:
    """One Mac of the plan, and what it holds."""

    mac: Mac
    memory: int | None
    """The Mac's memory in bytes; None when it was not asked."""
    usable: int | None
    """What models may take of it."""
    model: Model | None
    """What it holds; None when no model is left for it, or none fits."""
    need: Need | None

    @property
    def left(self) -> int | None:
        """Usable bytes that the model leaves."""
        if self.usable is None:
            return None
        return self.usable - (self.need.total if self.need else 0)


@dataclass(frozen=True)
class Plan:
    """The placement of every model."""

    fleet: Fleet
    macs: tuple[Row, ...]
    """One row per Mac, in the inventory's order."""
    replicas: dict[str, int]
    """How many Macs hold each model, by model id."""
    mixed: bool
    """True when some model does not fit every Mac, so that Ray must be told how much memory each one has."""
    problems: tuple[Problem, ...]
    """Models that fit nowhere, or on too few Macs."""

    def rows(self) -> list[dict[str, object]]:
        """The plan as data: one dict per Mac, memory in bytes."""
        return [
            {
                "mac": row.mac.name,
                "role": row.mac.role,
                "node_ip": row.mac.node_ip,
                "memory": row.memory,
                "usable": row.usable,
                "model": row.model.id if row.model else None,
                "needs": row.need.total if row.need else 0,
                "left": row.left,
            }
            for row in self.macs
        ]

    def table(self) -> str:
        """The plan as a person reads it at the start of a run."""
        fleet = self.fleet
        count = f"{len(fleet.macs)} Mac{'s' * (len(fleet.macs) != 1)}"
        lines = [f"Plan of {fleet.name}: {count}, {_models_line(self)}", *_release_lines(fleet), ""]
        head = (
            "Mac",
            "role",
            "node IP",
            "model",
            "weights",
            "KV cache",
            "engine",
            "needs",
            "may use",
            "has",
            "left",
        )
        lines += _aligned([head, *map(_cells, self.macs)], left_columns=4)
        lines += ["", "Memory in GB.", *_remarks(self)]
        return "\n".join(lines)


def usable_bytes(memory: int) -> int:
    """What a Mac of this memory, in bytes, can give to models.

    macOS lets the GPU wire two thirds of it, or three quarters when it has more than 36 GB. The rest is for
    macOS, Ray and its object store.
    """
    return memory * 3 // 4 if memory > 36 * GB else memory * 2 // 3


def need_of(model: Model) -> Need:
    """What one replica takes."""
    weights = model.weights.tensor_bytes
    kv_cache = (model.weights.kv_bytes_per_token or 0) * model.context * model.concurrency
    total = weights + kv_cache + ENGINE_BYTES
    if model.memory_gb is not None:
        total = int(model.memory_gb * GB)
    return Need(weights, kv_cache, ENGINE_BYTES, total)


def make_plan(fleet: Fleet, memory: Mapping[str, int]) -> Plan:
    """Place the models. `memory` is what the Macs themselves report, in bytes by Mac name.

    A Mac that does not report is taken at its memory_gb; without that it is trusted to fit any model.
    """
    known = {mac.name: memory.get(mac.name, (mac.memory_gb or 0) * GB) or None for mac in fleet.macs}
    usable = {name: usable_bytes(size) if size else None for name, size in known.items()}
    needs = {model.id: need_of(model) for model in fleet.models}
    free = list(fleet.macs)
    held: dict[str, Model] = {}
    problems = []
    # Counted models choose first, the largest of them first: what is left goes to the models that take all.
    for model in sorted(fleet.models, key=lambda model: (model.replicas == "all", -needs[model.id].total)):
        fitting = [mac for mac in free if _fits(needs[model.id], usable[mac.name])]
        # The smallest Macs that fit, so that large ones stay free for large models.
        fitting.sort(key=lambda mac: usable[mac.name] or sys.maxsize)
        chosen = _share(fleet, model, fitting)
        held.update({mac.name: model for mac in chosen})
        free = [mac for mac in free if mac not in chosen]
        problem = _shortage(fleet, model, needs[model.id], usable, len(chosen))
        problems += [problem] if problem else []
    rows = tuple(
        Row(
            mac,
            known[mac.name],
            usable[mac.name],
            held.get(mac.name),
            needs[held[mac.name].id] if mac.name in held else None,
        )
        for mac in fleet.macs
    )
    replicas = {model.id: sum(holds is model for holds in held.values()) for model in fleet.models}
    mixed = any(not _fits(need, size) for need in needs.values() for size in usable.values())
    return Plan(fleet, rows, replicas, mixed, tuple(problems))


def _share(fleet: Fleet, model: Model, fitting: list[Mac]) -> list[Mac]:
    """As many of the Macs that fit as this model asks for."""
    if model.replicas != "all":
        return fitting[: model.replicas]
    # Several models that take "all" share what is left evenly, the first ones getting the odd Macs.
    greedy = [other.id for other in fleet.models if other.replicas == "all"]
    waiting = len(greedy) - greedy.index(model.id) if model.id in greedy else 1
    return fitting if waiting <= 1 else fitting[: -(-len(fitting) // waiting)]


def _fits(need: Need, usable: int | None) -> bool:
    return usable is None or need.total <= usable


def _shortage(fleet: Fleet, model: Model, need: Need, usable: Mapping[str, int | None], placed: int) -> Problem | None:
    """What to say when a model does not get its Macs."""
    known = {name: size for name, size in usable.items() if size is not None}
    fitting = sum(_fits(need, size) for size in usable.values())
    asked = 1 if model.replicas == "all" else model.replicas
    field = f"models[{fleet.models.index(model)}]"
    if not fitting:
        name, largest = max(known.items(), key=lambda item: item[1])
        other = (
            f"it needs {gb(need.total)} GB, and {name}, the largest, can give {gb(largest)} GB: "
            f"{gb(need.total - largest)} GB short"
        )
        fix = "Lower its context or concurrency, take a smaller quantisation, or add a larger Mac."
        return Problem(Code.MODEL_TOO_BIG, "", "", field, model.id, fix, other)
    if placed < asked:
        other = f"{fitting} of {len(fleet.macs)} Macs, {placed} of them free"
        fix = f"Ask for fewer replicas of {model.id}, or add Macs."
        return Problem(Code.MODEL_FITS_TOO_FEW, "", "", f"{field}.replicas", str(asked), fix, other)
    return None


def gb(size: int | None) -> str:
    """Bytes as GB with one decimal; `?` when nobody knows."""
    if size is None:
        return "?"
    return "<0.1" if 0 < size < GB / 20 else f"{size / GB:.1f}"


def _cells(row: Row) -> tuple[str, ...]:
    need = row.need
    parts = (need.weights, need.kv_cache, need.overhead, need.total) if need else ()
    sizes = [gb(part) for part in parts] or ["-"] * 4
    if row.model and row.model.memory_gb is not None:
        sizes[:3] = ["-"] * 3  # the total was given, not summed
    model = row.model.id if row.model else "-"
    mac = row.mac
    return (mac.name, mac.role, mac.node_ip, model, *sizes, gb(row.usable), gb(row.memory), gb(row.left))


def _models_line(plan: Plan) -> str:
    count = len(plan.replicas)
    return f"{count} model{'s' * (count != 1)}" if count else "no model"


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
    """What the table alone does not say."""
    lines = []
    for model in plan.fleet.models:
        placed = plan.replicas[model.id]
        macs = f"{placed} Mac{'s' * (placed != 1)}"
        work = f"up to {model.concurrency} requests of {model.context} tokens at once on each"
        lines.append(f"{model.id}: {model.engine} on {macs}, {work}.")
        able = sum(row.model in (model, None) and _fits(need_of(model), row.usable) for row in plan.macs)
        if able > placed:
            lines.append(f"{model.id}: Ray chooses which {placed} of the {able} Macs that fit it.")
        if model.weights.kv_bytes_per_token is None and model.memory_gb is None:
            lines.append(f"{model.id}: config.json does not tell the size of its KV cache, which is not counted.")
        need = need_of(model)
        for row in plan.macs:
            if row.usable is not None and not _fits(need, row.usable):
                lines.append(f"{model.id} does not fit {row.mac.name}: {gb(need.total - row.usable)} GB short.")
    unknown = [row.mac.name for row in plan.macs if row.memory is None]
    if unknown:
        lines.append(f"Not asked for their memory: {', '.join(unknown)}.")
    return lines


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
