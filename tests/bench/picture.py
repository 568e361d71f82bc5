"""Growth as one picture: small multiples, both axes logarithmic, readable on dark and on light."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from tests.bench.growth import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.growth import Curve, Grown

_COLUMNS, _WIDTH, _HEIGHT = 2, 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 128, 34, 34
_FOOT = 24
_LINE = 13
"""Between two lines of text."""
_GREY = "#76818d"
_COLOURS = {"plan": "#3f83d8", "status": "#2f9e6e", "extents": "#c96f26", "images": "#9a6ad8"}
"""Of vmtune's own; peers are grey. Each has at least a contrast of 3 on white and on black."""
_WORDS = {0.001: "1 ms", 0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 10: "10 s", 100: "100 s"}
_SIZES = ["1", "10", "100", "1k", "10k", "100k", "1M"]
_NOTE = (
    "Both axes logarithmic. The power of n: fitted to the time beyond that of the smallest size. "
    "Dashed: other programs."
)
_BY = {"cpu": "CPU time", "wall": "wall time"}


@dataclass(frozen=True)
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
    panels: dict[str, dict[str, Curve]] = {}
    for each in grown:
        title = f"{each.series.panel or each.series.name}, {_BY[each.series.by]}"
        panels.setdefault(title, {}).update(each.curves)
    width, height = _COLUMNS * _WIDTH, ceil(len(panels) / _COLUMNS) * _HEIGHT + _FOOT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>'
    parts = [head, _title(grown)]
    for number, (title, curves) in enumerate(panels.items()):
        at = f"{number % _COLUMNS * _WIDTH} {number // _COLUMNS * _HEIGHT}"
        parts += [f'<g transform="translate({at})">', *_panel(title, curves), "</g>"]
    return "\n".join([*parts, f'<text x="{_LEFT}" y="{height - 9}">{_NOTE}</text>', "</svg>\n"])


_FONT = f'font-family="sans-serif" font-size="11" fill="{_GREY}"'


def _title(grown: Sequence[Grown]) -> str:
    """What a reader hears who sees no picture."""
    said = (
        f"{each.series.name}: "
        + ", ".join(f"{name} {fitted(curve)}" for name, curve in each.curves.items())
        for each in grown
    )
    return f"<title>How time grows, fitted exponents. {'; '.join(said)}</title>"


def _panel(title: str, curves: Mapping[str, Curve]) -> Iterator[str]:
    sizes = [size for curve in curves.values() for size in curve]
    took = [each for curve in curves.values() for each in curve.values()]
    fast, slow = floor(log10(min(took))), ceil(log10(max(took)))
    low, high = floor(log10(min(sizes))), ceil(log10(max(sizes)))
    panel = _Panel(low, max(high, low + 1), fast, max(slow, fast + 1))
    yield from _frame(panel, title)
    ends = {name: panel.y(curve[max(curve)]) for name, curve in curves.items()}
    places = _apart({name: y for name, y in ends.items() if max(curves[name]) == max(sizes)})
    for name, curve in curves.items():
        yield from _curve(panel, name, curve)
        yield _label(panel, name, curve, places.get(name))


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
        yield f'<text x="{panel.x(10.0**power)}" y="{bottom + 16}" {_MIDDLE}>{_SIZES[power]}</text>'


_END, _MIDDLE = 'text-anchor="end"', 'text-anchor="middle"'


def _curve(panel: _Panel, name: str, curve: Curve) -> Iterator[str]:
    """Its line and points."""
    colour = _COLOURS.get(name, _GREY)
    dashes = "" if name in _COLOURS else ' stroke-dasharray="5 3"'
    points = [(panel.x(size), panel.y(took)) for size, took in curve.items()]
    joined = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points)


def _label(panel: _Panel, name: str, curve: Curve, place: float | None) -> str:
    """Its name, its last figure and the exponent: beside its end, or above where others go on."""
    x, took = panel.x(max(curve)), curve[max(curve)]
    at = f'x="{x + 9:.1f}" y="{place + 4:.1f}"' if place else f'x="{x}" y="{panel.y(took) - 9:.1f}"'
    anchor = "" if place else _END
    colour = _COLOURS.get(name, _GREY)
    return f'<text {at} {anchor} fill="{colour}">{name} {_time(took)}, {_power(curve)}</text>'


def _power(curve: Curve) -> str:
    found = fitted(curve)
    return "flat" if found == "-" else f'n<tspan dy="-4" font-size="9">{found}</tspan>'


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _apart(ends: Mapping[str, float]) -> dict[str, float]:
    """Where the labels go: at the ends of their lines, but none on another."""
    names = sorted(ends, key=ends.__getitem__)
    places = {name: max(ends[name], _TOP) for name in names}
    for above, below in pairwise(names):
        places[below] = max(places[below], places[above] + _LINE)
    over = max(0.0, places[names[-1]] - (_HEIGHT - _BOTTOM))
    return {name: place - over for name, place in places.items()}
