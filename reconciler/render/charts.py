"""Charts as inline SVG: what colours tell, patterns and words tell too."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from reconciler.core.sizes import binary
from reconciler.render import bars

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS = {**bars.WORDS, "plain": "not compressed"}
_CELLS = 400
"""Steps of a bar: the smallest part gets one, so as to be seen."""
_PATTERNS = {
    "cow": '<path class="mark" d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"/>',
    "compressed": '<circle class="dot" cx="2" cy="2" r="1"/><circle class="dot" cx="6" cy="6" '
    'r="1"/>',
    "shared": '<path class="mark" d="M0 0 L8 8 M8 0 L0 8"/>',
    "unread": '<path class="mark" d="M2 0 L2 8 M6 0 L6 8"/>',
}

PATTERNS = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="p-{name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect class="{name}" width="8" height="8"/>{inside}</pattern>'
        for name, inside in _PATTERNS.items()
    )
    + "</defs></svg>"
)
"""Once on a page that has bars."""


def stacked(parts: Sequence[tuple[str, int]]) -> str:
    """Parts side by side, in proportion to their bytes; hovering, or a reader, tells each."""
    total = sum(size for _, size in parts) or 1
    told = ", ".join(f"{_WORDS.get(name, name)} {binary(size)}" for name, size in parts)
    return f'<svg class="bar" role="img" aria-label="{escape(told)}">{_rects(parts, total)}</svg>'


def _rects(parts: Sequence[tuple[str, int]], total: int) -> str:
    made, at = [], 0
    for (name, size), (_, cells) in zip(parts, bars.cells(parts, _CELLS), strict=True):
        title = f"{_WORDS.get(name, name)}: {binary(size)}, {100 * size / total:.0f} %"
        made.append(
            f'<rect {_look(name)} x="{100 * at / _CELLS}%" width="{100 * cells / _CELLS}%" '
            f'height="100%"><title>{escape(title)}</title></rect>'
        )
        at += cells
    return "".join(made)


def _look(name: str) -> str:
    return f'fill="url(#p-{name})"' if name in _PATTERNS else f'class="{name}"'


def swatch(name: str) -> str:
    """A sample for the legend."""
    look = _look(name)
    return (
        f'<span><svg aria-hidden="true"><rect {look} width="100%" height="100%"/></svg>'
        f"{_WORDS[name]}</span>"
    )


def counted(value: int, most: int, name: str, told: str) -> str:
    """One number as a bar, of which ``most`` would fill the line."""
    share = max(0.5, 100 * value / most) if value else 0  # one of 48,211 is to be seen
    return (
        f'<svg class="pieces" role="img" aria-label="{escape(told)}">'
        f'<rect {_look(name)} width="{share:.3f}%" height="100%"/></svg>'
    )
