"""How time grows with what there is: figures by size, and the exponent fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from statistics import linear_regression, median
from typing import TYPE_CHECKING

from tests.bench.measure import in_turn, values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.ground import Ground
    from tests.bench.measure import Contestant

Curve = dict[int, float]
"""Median seconds by size."""

_LARGE = 100_000
_CLEAR = 1.25
"""So many times the start-up, and a figure says more of the work than of chance."""


@dataclass(frozen=True)
class Series:
    """``at`` makes the ground so large, and says who runs on it, by the name of the curve."""

    name: str
    by: str
    sizes: Sequence[int]
    at: Callable[[Ground, int], Mapping[str, Contestant]]
    rounds: int = 5
    panel: str = ""
    """The title of the picture that it shares with others."""


@dataclass(frozen=True)
class Grown:
    """One series, measured."""

    series: Series
    curves: Mapping[str, Curve]


def measured(series: Series, ground: Ground, largest: int) -> Grown:
    """Size after size; where one run takes long, fewer of them say as much."""
    curves: dict[str, Curve] = {}
    for size in (size for size in series.sizes if size <= largest):
        rounds = series.rounds if size < _LARGE else 3 if size == _LARGE else 1
        there = series.at(ground, size)
        ran = in_turn(there, series.by, rounds, warm=rounds > 1)
        for name, each in ran.items():
            curves.setdefault(name, {})[size] = median(values(each, series.by))
    return Grown(series, curves)


def exponent(curve: Curve) -> float | None:
    """Of the time beyond that of the smallest size: 1 is linear. None where none is to be seen."""
    least = curve[min(curve)]
    more = {n: took - least for n, took in curve.items() if took > least * _CLEAR}
    if len(more) < 2:
        return None
    return linear_regression([log(n) for n in more], [log(took) for took in more.values()]).slope


def fitted(curve: Curve) -> str:
    """The exponent in words."""
    found = exponent(curve)
    return "-" if found is None else f"{found:.2f}"


def table(grown: Grown) -> list[str]:
    """In Markdown, which a terminal shows as well: a line for each curve, milliseconds."""
    sizes = sorted({size for curve in grown.curves.values() for size in curve})
    head = [f"{grown.series.name}: {grown.series.by}, ms", *(f"{size:,}" for size in sizes)]
    rows = [
        [name, *(f"{curve[size] * 1000:,.0f}" for size in sizes), fitted(curve)]
        for name, curve in grown.curves.items()
    ]
    return [_cells([*head, "exponent"]), _cells(["---"] * (len(sizes) + 2)), *map(_cells, rows)]


def _cells(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"
