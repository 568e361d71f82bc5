"""A trial as lines of text: what it is going to do, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.benchmark import EVERY
from reconciler.formats.sizes import binary, counted
from reconciler.report.wrap import printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.benchmark import Figure, Room, Shape


_A_SECOND = 40 << 20
"""Payload bytes a second, about, on a disk without moving parts."""

_QUIET = 64 << 10
"""Bytes a second that a filesystem at rest writes by itself."""


def announced(path: str, shape: Shape, room: Room, width: int) -> Iterator[str]:
    """What will be written, where, and how long that takes, before it begins."""
    image = f"a temporary image of {binary(shape.size)}"
    writes = f"{shape.writes:,} random writes of 4 KiB with an fsync after each {EVERY}"
    yield from wrapped(
        f"In {printable(path)}: {image}, {writes}, then read; {counted(shape.rounds, 'round')}, "
        "each with a copy-on-write and a nocow one.",
        width,
        0,
    )
    yield from wrapped(
        f"Writes {binary(shape.payload)}, the disk a few times that; {binary(room.free)} are free. "
        f"Takes about {_time(shape, room)}. The images have no name, so nothing stays behind, "
        "not even when this is killed.",
        width,
        0,
    )


def _time(shape: Shape, room: Room) -> str:
    seconds = 5 * (1 + shape.payload // (5 * _A_SECOND))
    if room.rotational is False:
        return f"{seconds} s"
    sure = "this one says so" if room.rotational else "whether this one does is not known"
    return f"{seconds} s, and several times that on a disk whose heads move ({sure})"


def disturbed(others: int | None, width: int) -> Iterator[str]:
    """A warning where somebody else writes to the same disks; nothing where it is quiet."""
    if others is None:
        yield from wrapped("What the disks write is not to be had here.", width, 0)
    elif others > _QUIET:
        yield from wrapped(
            f"Others write {binary(others)} a second to the same disks: the figures are less "
            "certain for it, device bytes most of all.",
            width,
            0,
        )


def table(figures: Sequence[Figure], width: int) -> Iterator[str]:
    """A line for each figure: the medians, their ratio, and how far rounds lay apart."""
    rows = [
        ["", "cow", "nocow", "cow/nocow", "range"],
        *([_name(of), _value(of, of.cow), _value(of, of.nocow), *_ratio(of)] for of in figures),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        line = "".join(
            f"  {cell:>{wide}}" for cell, wide in zip(cells, widths[1:], strict=True)
        ).rstrip()
        if widths[0] + sum(widths[1:]) + 8 <= width:
            yield f"{name:<{widths[0]}}{line}"
        else:
            yield from [name] * bool(name)
            yield f"  {line.strip():>{sum(widths[1:]) + 6}}"


def _name(of: Figure) -> str:
    return {"read, bytes a second": "read, a second"}.get(of.name, of.name)


def _value(of: Figure, value: float | None) -> str:
    if value is None:
        return "?"
    if of.name == "read, bytes a second":
        return binary(round(value))
    if of.name == "fragments":
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - three digits tell


def _ratio(of: Figure) -> tuple[str, str]:
    if of.ratio is None or of.low is None or of.high is None:
        return "?", ""
    return _short(of.ratio), f"{_short(of.low)}-{_short(of.high)}"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"  # noqa: PLR2004 - the same
