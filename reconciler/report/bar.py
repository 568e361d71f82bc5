"""The bar of one image, drawn: its parts as a row of characters, on a scale for all images.

Figures beside it: report/status.py. The sort (nocow or copy-on-write) has a colour; the characters
say it as well. What snapshots or clones share has the same colour and lighter characters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.report.wrap import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.facts.images import ImageLayout
    from reconciler.report.wrap import Paint


Style = Callable[[str, int], str]
"""Draws a part of a bar, that many columns of it, as a terminal shows it."""

WORDS = {
    "nocow": "nocow",
    "nocow-shared": "nocow, shared",
    "cow": "copy-on-write",
    "cow-shared": "copy-on-write, shared",
    "hole": "no data",
    "unread": "not read",
}
"""Every part that a bar can have, in the order in which the legend explains them."""


def style(tint: Paint, *, unicode: bool) -> Style:
    """Return blocks where the locale has them (a text console has these six, too), else ASCII."""
    marks = dict(zip(WORDS, "█▄▒░·?" if unicode else "#+=-.?", strict=True))
    return lambda part, count: tint(marks[part] * count, part)


PLAIN = style(plain, unicode=False)


def parts(of: ImageLayout) -> tuple[tuple[str, int], ...]:
    """Divide a file's size, in bytes, into what a bar shows; what was not read is one part."""
    if of.fragments is None:
        return (("unread", max(of.size, 1)),)
    sort = "nocow" if of.nocow else "cow"
    found = (
        (sort, of.data - of.shared),
        (f"{sort}-shared", of.shared),
        ("hole", of.size - of.data),
    )
    return tuple((name, size) for name, size in found if size > 0)


def scale(of: Iterable[ImageLayout]) -> int:
    """Return the size in bytes that the longest bar stands for."""
    return max((each.size for each in of), default=0) or 1


def cells(of: Sequence[tuple[str, int]], width: int) -> Iterator[tuple[str, int]]:
    """Give each part its columns: in proportion, ``width`` in all, each at least one.

    Where there are fewer columns than parts, the largest parts are shown.
    """
    if len(of) > width:
        kept = sorted(of, key=lambda part: -part[1])[:width]
        of = [part for part in of if part in kept]
    total, used = sum(size for _, size in of), 0
    for left, (name, size) in zip(range(len(of) - 1, -1, -1), of, strict=True):
        fair = round(width * size / total) if left else width - used
        # The parts behind this one get at least one column each.
        count = max(1, min(fair, width - used - left))
        used += count
        yield name, count


def bar(of: ImageLayout, longest: int, width: int, style: Style) -> str:
    """Draw a file on a scale: its own data first, then what is shared, its holes last.

    The longest file has ``width`` columns, and no file has none.
    """
    room = max(1, min(width, round(width * of.size / longest)))
    return "".join(style(name, count) for name, count in cells(parts(of), room))


def legend(of: Iterable[ImageLayout], style: Style, width: int) -> Iterator[str]:
    """Explain the characters that are used, on as many lines as it takes."""
    used = {name for each in of for name, _ in parts(each)}
    line, long = "", 0
    for name in (name for name in WORDS if name in used):
        wide = len("  ? ") + len(WORDS[name])
        if line and long + wide > width:
            yield line
            line, long = "", 0
        line += f"  {style(name, 1)} {WORDS[name]}"
        long += wide
    if line:
        yield line
