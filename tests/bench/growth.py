"""How the time of a plan grows with what is declared: figures, the exponent, and a picture."""

from __future__ import annotations

from math import log, log10
from statistics import linear_regression, median

from tests.bench.ground import DATA, Ground, declare
from tests.bench.measure import Contestant, once
from tests.btrfs.outside import run

SIZES = (1, 3, 10, 32, 100, 316, 1000)
ROUNDS = 7
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560, 260, 60, 40
Figures = dict[int, float]
"""Median CPU seconds by the number of declared directories."""


def measured(ground: Ground) -> Figures:
    """All sizes in turn, directories all as they should be."""
    top = DATA / "growth"
    top.mkdir()
    run("chattr", "+C", top)
    for number in range(max(SIZES)):
        (top / f"{number:04}").mkdir()
    took: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            entries = (f"  - {{path: {top}/{n:04}, nocow: true}}\n" for n in range(size))
            declare("paths:\n" + "".join(entries))
            took[size].append(once(Contestant([*ground.vmtune, "plan"]), "cpu"))
    return {size: median(each) for size, each in took.items()}


def exponent(figures: Figures) -> float:
    """Of the time beyond that of one entry, from ten entries on: 1 is linear."""
    more = {n: took - figures[1] for n, took in figures.items() if n >= 10 and took > figures[1]}
    return linear_regression([log(n) for n in more], [log(took) for took in more.values()]).slope


def lines(figures: Figures) -> list[str]:
    shown = ", ".join(f"{n:,}: {took * 1000:.0f}" for n, took in figures.items())
    each = (figures[1000] - figures[1]) / 999 * 1000
    return [
        f"plan by declared directories   (cpu, {ROUNDS} rounds)   ms for {shown}",
        f"    exponent {exponent(figures):.2f}, {each:.2f} ms an entry",
    ]


def picture(figures: Figures) -> str:
    """Both axes logarithmic; an SVG that is readable on dark and on light."""
    low, high = 10 ** int(log10(min(figures.values())) - 1), max(figures.values()) * 2

    def at(n: float, took: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - 20) * log(n) / log(max(SIZES))
        y = (_HEIGHT - _BOTTOM) * (1 - log(took / low) / log(high / low))
        return round(x, 1), round(y, 1)

    points = [at(n, took) for n, took in figures.items()]
    marks = [f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in points]
    words = [
        f'<text x="{x}" y="{y - 10:.1f}">{took * 1000:.0f} ms</text>'
        f'<text x="{x}" y="{_HEIGHT - 18}">{n:,}</text>'
        for (x, y), (n, took) in zip(points, figures.items(), strict=True)
    ]
    joined = " ".join(f"{x},{y}" for x, y in points)
    about = f"CPU time of a plan by declared directories; exponent {exponent(figures):.2f}"
    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    font = 'font-family="sans-serif" font-size="11" fill="#4078c0" text-anchor="middle"'
    return "\n".join(
        [
            f"<svg {box} {font}>",
            f"<title>{about}</title>",
            f'<polyline points="{joined}" fill="none" stroke="#4078c0" stroke-width="2"/>',
            *marks,
            *words,
            f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 3}">{about}</text>',
            "</svg>\n",
        ]
    )
