"""The rows of ``vmtune doctor`` as lines of text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Op
from reconciler.facts.discovered import Health
from reconciler.report.wrap import columns, led, padded, plain, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.discovered import Row
    from reconciler.report.wrap import Paint


_COLOURS = {
    Health.OK: Op.SAME,
    Health.WARN: Op.CHANGE,
    Health.FAIL: Op.BLOCKED,
    Health.UNSEEN: Op.UNKNOWN,
}

_COUNTED = {Health.OK: "ok", Health.WARN: "warn", Health.FAIL: "fail", Health.UNSEEN: "not seen"}

_HEALTH = 6

_NAMES = 28
"""Columns of the longest subject that others are lined up with."""

_NARROW = 60
"""Below it the text stands under the subject."""


def lines(rows: Sequence[Row], width: int, paint: Paint = plain) -> Iterator[str]:
    """A row each, its remedy below it, then how many came out how."""
    shown = [printable(row.subject) for row in rows]
    fitting = [wide for name in shown if (wide := columns(name)) <= _NAMES]
    longest = min(max(fitting, default=0), width // 3) + 2 if width >= _NARROW else 0
    column = 2 + _HEALTH + longest
    for row, name in zip(rows, shown, strict=True):
        head = f"  {row.health:<{_HEALTH}}{name}"
        text = f"{printable(row.text)}   {row.code}"
        if columns(head) + 2 > column:
            found = [head, *led(" " * column, text, width, column)]
        else:
            found = led(padded(head, column), text, width, column)
        found[0] = found[0].replace(row.health, paint(row.health, _COLOURS[row.health]), 1)
        yield from found
        if row.remedy:
            yield from led(" " * column + "-> ", printable(row.remedy), width, column + 3)
    yield ""
    counts = Counter(row.health for row in rows)
    told = [f"{counts[h]} {word}" for h, word in _COUNTED.items() if counts[h] or h is Health.OK]
    yield f"{', '.join(told)}."
