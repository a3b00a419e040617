"""The plan as one picture (SVG): a box for each Mac with its memory as a bar, and a band over the Macs of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from fleet.links import Links
from fleet.memory import gb
from fleet.plan import Plan, Row

# Pixels.
_COLUMNS, _BOX, _GAP, _MARGIN = 4, 270, 20, 30
_BAND, _HEAD, _BAR, _LINE = 26, 62, 24, 38
# Weights, and the paler KV cache, of each model in turn.
_COLOURS = (
    ("#54aeff", "#ddf4ff"),
    ("#4ac26b", "#dafbe1"),
    ("#d4a72c", "#fff8c5"),
    ("#a475f9", "#fbefff"),
    ("#ff8182", "#ffebe9"),
    ("#fb8f44", "#fff1e5"),
)
_STYLE = """\
  <style>
    .mac { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1.5; rx: 10; }
    .band { fill-opacity: 0.25; stroke-width: 1.5; rx: 6; }
    .engine { fill: #8c959f; }
    .free { fill: #ffffff; stroke: #8c959f; }
    .kept { fill: #d0d7de; }
    .quiet { fill: #57606a; font-size: 12px; }
    .name { font-weight: bold; font-size: 16px; }
    text { fill: #1f2328; }
  </style>"""


def picture(plan: Plan) -> str:
    """The text of an SVG file."""
    colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(plan.placements)}
    shapes: list[str] = []
    top = _MARGIN + 50
    for macs in _lines(plan):
        groups = [(name, links) for name, links in _groups(plan) if any(_holds(links, row) for row in macs)]
        top += _BAND * len(groups)
        height = _HEAD + _BAR + 22 + _LINE * max(1, *(len(row.held) for row in macs))
        for lane, (name, links) in enumerate(groups):
            shapes += _band(f"{name}: {links.describe()}", links, macs, top - _BAND * (lane + 1), colours[name][0])
        for column, row in enumerate(macs):
            shapes += _box(plan, row, _left(column), top, height, colours)
        top += height + _GAP
    width = _MARGIN * 2 + min(_COLUMNS, len(plan.macs)) * (_BOX + _GAP) - _GAP
    width = max(width, 660)
    title = f"Fleet {plan.fleet.name}: what runs where, and the memory it takes"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top + 30}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="14">',
            f"  <title>{escape(title)}</title>",
            _STYLE,
            f'  <rect width="{width}" height="{top + 30}" fill="#ffffff"/>',
            _text(_MARGIN, _MARGIN + 16, title, "name"),
            *shapes,
            *_legend(top + 8),
            "</svg>",
            "",
        ]
    )


def _groups(plan: Plan) -> list[tuple[str, Links]]:
    """Every copy that several Macs hold: its model's id, and how they talk."""
    return [(name, links) for name, every in plan.links.items() for links in every]


def _holds(links: Links, row: Row) -> bool:
    """Whether the Mac is in that group."""
    return any(rank.mac == row.mac for rank in links.ranks)


def _lines(plan: Plan) -> list[list[Row]]:
    """The Macs in lines as they are drawn: in the inventory's order, the Macs of a group side by side."""
    rows = {row.mac.name: row for row in plan.macs}
    lines: list[list[Row]] = [[]]
    for row in plan.macs:
        group = next((links for _, links in _groups(plan) if _holds(links, row)), None)
        names = [rank.mac.name for rank in group.ranks] if group else [row.mac.name]
        together = [rows.pop(name) for name in names if name in rows]
        if len(lines[-1]) + len(together) > _COLUMNS and len(together) <= _COLUMNS:
            lines.append([])
        for each in together:
            if len(lines[-1]) == _COLUMNS:
                lines.append([])
            lines[-1].append(each)
    return lines


def _left(column: int) -> int:
    return _MARGIN + column * (_BOX + _GAP)


def _band(title: str, links: Links, macs: Sequence[Row], top: int, colour: str) -> Iterator[str]:
    """Over those Macs of a line that are in the group, from the first to the last."""
    columns = [column for column, row in enumerate(macs) if _holds(links, row)]
    left, right = _left(columns[0]), _left(columns[-1]) + _BOX
    yield _rect(left, top, right - left, _BAND - 4, f'class="band" fill="{colour}" stroke="{colour}"', title)
    yield _text(left + 12, top + 16, _cut(title, (right - left - 24) // 7), "quiet")


def _box(plan: Plan, row: Row, left: int, top: int, height: int, colours: dict[str, tuple[str, str]]) -> Iterator[str]:
    """One Mac: its name, its bar, and a line for each model that it holds."""
    mac, inner = row.mac, left + 16
    yield f'  <g id="{escape(mac.name)}">'
    yield _rect(left, top, _BOX, height, 'class="mac"')
    yield _text(inner, top + 26, f"{mac.name}, {'the head' if mac.is_head else 'a worker'}", "name")
    memory = f"{gb(row.memory)} GB · {gb(row.left)} GB free" if row.memory else "not asked for its memory"
    yield _text(inner, top + 46, f"{mac.node_ip} · {memory}", "quiet")
    yield from _bar(plan, row, inner, top + _HEAD, colours)
    below = top + _HEAD + _BAR + 24
    if not row.held:
        yield _text(inner, below, "no model", "quiet")
    for at, held in enumerate(row.held):
        placement = plan.placements[held.model.id]
        need, place = placement.need, below + at * _LINE
        parts = f"weights {gb(need.weights)} · cache {gb(need.kv_cache)} · engine {gb(need.overhead)}"
        if held.model.memory_gb is not None:
            parts = "as memory_gb says"
        yield _rect(inner, place - 11, 12, 12, f'fill="{colours[held.model.id][0]}"')
        yield _text(inner + 18, place, f"{_cut(held.model.id, 22)}: {gb(held.bytes)} GB")
        yield _text(inner + 18, place + 16, parts, "quiet")
    yield "  </g>"


def _bar(plan: Plan, row: Row, left: int, top: int, colours: dict[str, tuple[str, str]]) -> Iterator[str]:
    """The Mac's memory from left to right: each model's parts, what is free, what macOS keeps."""
    whole = row.memory or max(1, sum(held.bytes for held in row.held))
    start = 0
    for size, style, meaning in [*_parts(plan, row, colours), *_rest(row)]:
        # Both ends are rounded, not the width: parts then meet.
        begin, end = (round(at / whole * (_BOX - 32)) for at in (start, min(start + size, whole)))
        if end > begin:
            yield _rect(left + begin, top, end - begin, _BAR, style, f"{meaning}: {gb(size)} GB")
        start += size


def _parts(plan: Plan, row: Row, colours: dict[str, tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """What models take: bytes, how it is drawn, what it is."""
    for held in row.held:
        need, (strong, pale) = plan.placements[held.model.id].need, colours[held.model.id]
        if held.model.memory_gb is not None:
            yield held.bytes, f'fill="{strong}"', held.model.id
            continue
        yield need.weights, f'fill="{strong}"', f"{held.model.id}, weights"
        yield need.kv_cache, f'fill="{pale}" stroke="{strong}"', f"{held.model.id}, KV cache"
        yield need.overhead, 'class="engine"', f"{held.model.id}, engine"


def _rest(row: Row) -> Iterator[tuple[int, str, str]]:
    """What no model takes."""
    if row.memory and row.usable and row.left is not None:
        yield row.left, 'class="free"', "free for models"
        yield row.memory - row.usable, 'class="kept"', "macOS and Ray"


def _legend(top: int) -> Iterator[str]:
    left = _MARGIN
    strong, pale = _COLOURS[0]
    for style, meaning in (
        (f'fill="{strong}"', "weights"),
        (f'fill="{pale}" stroke="{strong}"', "KV cache"),
        ('class="engine"', "engine"),
        ('class="free"', "free for models"),
        ('class="kept"', "macOS and Ray"),
    ):
        yield _rect(left, top - 11, 12, 12, style)
        yield _text(left + 18, top, meaning, "quiet")
        left += 40 + 7 * len(meaning)


def _rect(left: int, top: int, width: int, height: int, style: str, title: str = "") -> str:
    told = f"><title>{escape(title)}</title></rect>" if title else "/>"
    return f'  <rect x="{left}" y="{top}" width="{width}" height="{height}" {style}{told}'


def _text(left: int, top: int, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'  <text x="{left}" y="{top}"{style}>{escape(text)}</text>'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
