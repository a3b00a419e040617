"""docs/fanout.svg: time as parts of the limit over the number of Macs, a line for each method.

As a program, `python -m benchmarks.fanout.plot docs/fanout.json`, it draws anew what was measured.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 66, 590, 84, 376
COLOURS = {"relay chain": "#0b7a5c", "libtorrent": "#c2660c", "pyinfra": "#7a5bb5", "scp": "#5b6672"}
TICKS = (1, 2, 4, 8)
# Lines of text closer than this touch.
LABEL_GAP = 19.0
INK, FAINT, GRID = "#1f2933", "#66727f", "#e3e7eb"


def _x(count: float) -> float:
    return LEFT + 24 + (RIGHT - LEFT - 36) * math.log2(count) / math.log2(TICKS[-1])


def _y(ratio: float, top: float) -> float:
    return BOTTOM - 14 - (BOTTOM - TOP - 20) * math.log2(ratio) / math.log2(top)


def _text(x: float, y: float, words: str, **attributes: object) -> str:
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{given}>{words}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'


def _grid(top: float) -> Iterator[str]:
    for tick in TICKS:
        y = _y(tick, top)
        yield _line(LEFT, y, RIGHT, y, GRID)
        yield _text(LEFT - 10, y + 4.5, f"{tick}×", text_anchor="end", fill=FAINT)
        yield _text(_x(tick), BOTTOM + 22, str(tick), text_anchor="middle", fill=FAINT)
    yield _text((LEFT + RIGHT) / 2, BOTTOM + 46, "Macs that get the file", text_anchor="middle", fill=FAINT)


def _curves(lines: Mapping[str, Sequence[tuple[int, float]]], top: float) -> Iterator[str]:
    # The chain last, over the others.
    for method, points in reversed(list(lines.items())):
        colour = COLOURS[method]
        path = " ".join(f"{_x(count):.1f},{_y(ratio, top):.1f}" for count, ratio in points)
        dash = ' stroke-dasharray="7 5"' if method == "pyinfra" else ""
        wide = 3.5 if method == "relay chain" else 2.25
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"{dash}/>'
        for count, ratio in points:
            yield f'<circle cx="{_x(count):.1f}" cy="{_y(ratio, top):.1f}" r="4" fill="{colour}" stroke="#fff"/>'


def _labels(lines: Mapping[str, Sequence[tuple[int, float]]], top: float) -> Iterator[str]:
    """Names beside the ends of the curves, from the lowest up, moved apart where they would touch."""
    free = float(HEIGHT)
    for method, points in sorted(lines.items(), key=lambda entry: entry[1][-1][1]):
        end, ratio = _y(points[-1][1], top), points[-1][1]
        y = min(end + 5, free - LABEL_GAP)
        free = y
        yield _line(RIGHT - 6, end, RIGHT + 10, y - 5, COLOURS[method], ' stroke-opacity="0.5"')
        weight = 700 if method == "relay chain" else 500
        yield _text(RIGHT + 15, y, f"{method} {ratio:.2f}×", fill=COLOURS[method], font_weight=weight)


def drawn(found: Mapping[str, Any]) -> str:
    """The picture, as SVG, of what the benchmark found."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in found["fleets"]:
        lines.setdefault(result["method"], []).append((result["macs"], result["ratio"]))
    top = max(ratio for points in lines.values() for _, ratio in points) * 1.06
    size, rate = found["size"] // 2**20, found["rate"] // 10**6
    about = f"{size} MiB, every link {rate} Mbit/s each way. 1× is what one copy takes at that rate, without headers."
    shapes = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
        _text(24, 34, "The same file to N Macs: time, as a multiple of one copy", font_size=18, font_weight=700),
        _text(24, 57, about, fill=FAINT),
        *_grid(top),
        *_curves(lines, top),
        *_labels(lines, top),
    ]
    font = "font-family=\"-apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"13.5\""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join([f'{head} {font} fill="{INK}">', *shapes, "</svg>", ""])


if __name__ == "__main__":
    source = Path(sys.argv[1])
    source.with_suffix(".svg").write_text(drawn(json.loads(source.read_text())))
