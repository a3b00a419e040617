"""docs/day_two.svg: how long each request took, over time, and what became of it.

As a program, `python -m benchmarks.day_two.plot docs/day_two.json`, it draws anew what was measured.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.day_two.summary import Mark, Phase, phases

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 66, 736, 110, 340
# Long streams are bars below the dots.
BAR_HEIGHT = 5.0
COLOURS = {"pair": "#0b7a5c", "single": "#c2660c", "long": "#7a5bb5"}
TITLES = {"pair": "two doors, one retry", "single": "one door, no retry", "long": "long streams"}
WRONG = "#c0182b"
INK, FAINT, GRID, SHADE = "#1f2933", "#66727f", "#e3e7eb", "#f3f5f7"
# How wide a letter is, roughly, where something must fit or follow.
LETTER = 6.3


class Scale:
    """Where a moment and a duration are in the picture; durations by their logarithm."""

    def __init__(self, requests: Sequence[Mapping[str, Any]], spans: Sequence[Phase]) -> None:
        self.since, self.until = spans[0].since, spans[-1].until
        taken = [each["seconds"] for each in requests if each["kind"] != "long"] or [1.0]
        self.low = math.floor(math.log10(max(min(taken), 0.001)))
        self.high = max(math.ceil(math.log10(max(taken))), self.low + 1)

    def x(self, at: float) -> float:
        """Of seconds since 1970."""
        return LEFT + (RIGHT - LEFT) * (at - self.since) / max(self.until - self.since, 0.001)

    def y(self, seconds: float) -> float:
        """Of a duration."""
        power = math.log10(max(seconds, 10**self.low))
        return BOTTOM - (BOTTOM - TOP) * (power - self.low) / (self.high - self.low)


def _text(x: float, y: float, words: str, **attributes: object) -> str:
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{given}>{escape(words)}</text>'


def _shades(spans: Sequence[Phase], scale: Scale) -> Iterator[str]:
    """Every other phase on a darker ground, with its name where that fits."""
    # One that nobody can see would give its two neighbours the same ground.
    wide = [span for span in spans if scale.x(span.until) - scale.x(span.since) >= 1]
    for number, span in enumerate(wide):
        left, right = scale.x(span.since), scale.x(span.until)
        if number % 2:
            size = f'width="{right - left:.1f}" height="{BOTTOM - TOP + 34:.1f}"'
            yield f'<rect x="{left:.1f}" y="{TOP - 22:.1f}" {size} fill="{SHADE}"/>'
        if len(span.name) * LETTER < right - left:
            yield _text((left + right) / 2, TOP - 8, span.name, text_anchor="middle", fill=FAINT)


def _grid(scale: Scale) -> Iterator[str]:
    for power in range(scale.low, scale.high + 1):
        y = scale.y(10.0**power)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}" stroke="{GRID}"/>'
        label = f"{10**power} s" if power >= 0 else f"{10 ** (power + 3)} ms"
        yield _text(LEFT - 10, y + 4.5, label, text_anchor="end", fill=FAINT)
    step = _step(scale.until - scale.since)
    for number in range(int((scale.until - scale.since) / step) + 1):
        told = f"{number * step / 60:g} min" if step >= 60 else f"{number * step:g} s"
        yield _text(scale.x(scale.since + number * step), BOTTOM + 32, told, text_anchor="middle", fill=FAINT)


def _step(span: float) -> float:
    """Seconds between two marks of the time axis: at most eight of them."""
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800)
    return next((step for step in steps if span / step <= 8), 3600)


def _dots(requests: Sequence[Mapping[str, Any]], scale: Scale) -> Iterator[str]:
    """Each kind as one path of points; those that fall on one another are drawn once."""
    for kind in ("single", "pair"):
        answered = [each for each in requests if each["kind"] == kind and each["outcome"] == "ok"]
        points = dict.fromkeys(f"M{scale.x(each['at']):.1f} {scale.y(each['seconds']):.1f}h0" for each in answered)
        style = 'stroke-width="3.4" stroke-linecap="round" stroke-opacity="0.55" fill="none"'
        if points:
            yield f'<path d="{"".join(points)}" stroke="{COLOURS[kind]}" {style}/>'


def _bars(requests: Sequence[Mapping[str, Any]], scale: Scale) -> Iterator[str]:
    """Long streams from their beginning to their end, those at the same door in one row."""
    doors = sorted({each["url"] for each in requests if each["kind"] == "long"})
    for each in requests:
        if each["kind"] == "long":
            y = BOTTOM + 4 + doors.index(each["url"]) * (BAR_HEIGHT + 1)
            left, right = scale.x(each["at"]), scale.x(each["at"] + each["seconds"])
            size = f'width="{max(right - left - 1, 1):.1f}" height="{BAR_HEIGHT}"'
            yield f'<rect x="{left:.1f}" y="{y:.1f}" {size} rx="1.5" fill="{COLOURS["long"]}" fill-opacity="0.6"/>'
            if each["outcome"] in ("failed", "cut"):
                yield _cross(right, y + BAR_HEIGHT / 2)


def _cross(x: float, y: float) -> str:
    return f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8" stroke="{WRONG}" stroke-width="2.2"/>'


def _crosses(requests: Sequence[Mapping[str, Any]], scale: Scale) -> Iterator[str]:
    """Where and when a request ended badly."""
    for each in requests:
        if each["kind"] != "long" and each["outcome"] in ("failed", "cut"):
            yield _cross(scale.x(each["at"] + each["seconds"]), scale.y(each["seconds"]))


def _legend(requests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    x, y = 24.0, HEIGHT - 22.0
    for kind, title in TITLES.items():
        of_kind = [each for each in requests if each["kind"] == kind]
        if not of_kind:
            continue
        wrong = sum(each["outcome"] in ("failed", "cut") for each in of_kind)
        words = f"{title}: {len(of_kind)}, {wrong} failed"
        yield f'<circle cx="{x + 4:.1f}" cy="{y - 4.5:.1f}" r="4" fill="{COLOURS[kind]}"/>'
        yield _text(x + 14, y, words, fill=WRONG if wrong else INK, font_size=12.5)
        x += 26 + len(words) * LETTER


def drawn(found: Mapping[str, Any]) -> str:
    """The picture, as SVG, of what the benchmark found."""
    requests = [dict(zip(found["fields"], row, strict=True)) for row in found["requests"]]
    spans = phases(requests, [Mark(**mark) for mark in found["marks"]])
    scale = Scale(requests, spans)
    shapes = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
        _text(24, 34, found["title"], font_size=18, font_weight=700),
        _text(24, 57, found["about"], fill=FAINT),
        *_shades(spans, scale),
        *_grid(scale),
        *_dots(requests, scale),
        *_bars(requests, scale),
        *_crosses(requests, scale),
        *_legend(requests),
    ]
    font = "font-family=\"-apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"13.5\""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join([f'{head} {font} fill="{INK}">', *shapes, "</svg>", ""])


if __name__ == "__main__":
    source = Path(sys.argv[1])
    source.with_suffix(".svg").write_text(drawn(json.loads(source.read_text())))
