"""Growth as one picture: small multiples, both axes logarithmic, readable on dark and on light."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from tests.bench.growth import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.growth import Curve, Grown

_COLUMNS, _WIDTH, _HEIGHT = 2, 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 112, 34, 30
_LINE = 13
"""Between two lines of text."""
_GREY = "#808890"
_COLOURS = {"plan": "#3f83d8", "status": "#2f9e6e", "apply": "#d0762a"}
"""Of vmtune's own; peers are grey. Each has at least a contrast of 3 on white and on black."""
_WORDS = {0.001: "1 ms", 0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 10: "10 s", 100: "100 s"}
_BY = {"cpu": "CPU time", "wall": "wall time"}


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where numbers are: exponents of ten at its four sides."""

    low: int
    high: int
    fast: int
    slow: int

    def x(self, size: float) -> float:
        share = (log10(size) - self.low) / (self.high - self.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, took: float) -> float:
        share = (log10(took) - self.fast) / (self.slow - self.fast)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def drawn(grown: Sequence[Grown]) -> str:
    """An SVG, which needs no style sheet and no font of its own."""
    rows = ceil(len(grown) / _COLUMNS)
    box = f"0 0 {_COLUMNS * _WIDTH} {rows * _HEIGHT}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {_FONT}>', _title(grown)]
    for number, each in enumerate(grown):
        at = f"{number % _COLUMNS * _WIDTH} {number // _COLUMNS * _HEIGHT}"
        parts += [f'<g transform="translate({at})">', *_panel(each), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


_FONT = f'font-family="sans-serif" font-size="11" fill="{_GREY}"'


def _title(grown: Sequence[Grown]) -> str:
    """What a reader hears who sees no picture."""
    said = (
        f"{each.series.name}: "
        + ", ".join(f"{name} {fitted(curve)}" for name, curve in each.curves.items())
        for each in grown
    )
    return f"<title>How time grows, fitted exponents. {'; '.join(said)}</title>"


def _panel(grown: Grown) -> Iterator[str]:
    curves = grown.curves
    sizes = [size for curve in curves.values() for size in curve]
    took = [each for curve in curves.values() for each in curve.values()]
    fast, slow = floor(log10(min(took))), ceil(log10(max(took)))
    low, high = floor(log10(min(sizes))), ceil(log10(max(sizes)))
    panel = _Panel(low, max(high, low + 1), fast, max(slow, fast + 1))
    yield from _frame(panel, f"{grown.series.name}, {_BY[grown.series.by]}")
    ends = {name: panel.y(curve[max(curve)]) for name, curve in curves.items()}
    places = _apart(ends, _TOP, _HEIGHT - _BOTTOM)
    for name, curve in curves.items():
        yield from _curve(panel, name, curve, places[name])


def _frame(panel: _Panel, title: str) -> Iterator[str]:
    """The title, and a fine line at each power of ten."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    yield f'<text x="{_LEFT}" y="18" font-size="13" font-weight="bold">{title}</text>'
    lines = [f"M{_LEFT} {panel.y(10.0**p)}H{right}" for p in range(panel.fast, panel.slow + 1)]
    lines += [f"M{panel.x(10.0**p)} {_TOP}V{bottom}" for p in range(panel.low, panel.high + 1)]
    yield f'<path d="{"".join(lines)}" stroke="{_GREY}" stroke-opacity=".3" fill="none"/>'
    for power in range(panel.fast, panel.slow + 1):
        word = _WORDS.get(round(10.0**power, 3), f"1e{power} s")
        yield f'<text x="{_LEFT - 6}" y="{panel.y(10.0**power) + 4}" {_END}>{word}</text>'
    for power in range(panel.low, panel.high + 1):
        yield f'<text x="{panel.x(10.0**power)}" y="{bottom + 16}" {_MIDDLE}>{10**power:,}</text>'


_END, _MIDDLE = 'text-anchor="end"', 'text-anchor="middle"'


def _curve(panel: _Panel, name: str, curve: Curve, label: float) -> Iterator[str]:
    """Its line and points; at the end its name, its last figure, and the exponent below."""
    colour = _COLOURS.get(name, _GREY)
    dashes = "" if name in _COLOURS else ' stroke-dasharray="5 3"'
    points = [(panel.x(size), panel.y(took)) for size, took in curve.items()]
    joined = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points)
    x, last = points[-1][0], curve[max(curve)]
    found = fitted(curve)
    word = "flat" if found == "-" else f"n^{found}"
    yield f'<text x="{x + 9}" y="{label + 4:.1f}" fill="{colour}">{name} {_time(last)}, {word}</text>'


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _apart(ends: dict[str, float], top: float, bottom: float) -> dict[str, float]:
    """Where the labels go: at the ends of their lines, but none on another."""
    names = sorted(ends, key=ends.__getitem__)
    places = {name: min(max(ends[name], top), bottom) for name in names}
    for above, below in pairwise(names):
        places[below] = max(places[below], places[above] + _LINE)
    over = max(0.0, places[names[-1]] - bottom)
    return {name: place - over for name, place in places.items()}
