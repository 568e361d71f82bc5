"""A trial as lines of text: what it is going to do, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.benchmark import EVERY
from reconciler.formats.sizes import binary, counted
from reconciler.report.wrap import aligned, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.benchmark import Figure, Room, Shape


_A_SECOND = 40 << 20
"""Payload bytes a second, about, on a disk without moving parts."""

_QUIET = 64 << 10
"""Bytes a second that a filesystem at rest writes by itself."""


def announced(path: str, shape: Shape, room: Room, width: int) -> Iterator[str]:
    """What will be written, where, and how long that takes, before it begins."""
    yield from wrapped(
        f"Compares copy-on-write and nocow in {printable(path)}, "
        f"{counted(shape.rounds, 'round')}: in each round and for each of the two, vmtune writes "
        f"a temporary image of {binary(shape.size)}, writes to {shape.writes:,} random blocks of "
        f"4 KiB (fsync after each {EVERY}), and reads the image.",
        width,
        0,
    )
    yield from wrapped(
        f"Writes {binary(shape.payload)}, and the disk writes a few times as much; "
        f"{binary(room.free)} are free. Takes about {_time(shape, room)}. The images have no name, "
        "so nothing is left behind, not even if vmtune is killed.",
        width,
        0,
    )


def _time(shape: Shape, room: Room) -> str:
    seconds = 5 * (1 + shape.payload // (5 * _A_SECOND))
    if room.rotational is False:
        return f"{seconds} s"
    sure = " (the kernel says that this is one)" if room.rotational else ""
    return f"{seconds} s, and several times as long on a spinning hard disk{sure}"


def disturbed(others: int | None, width: int) -> Iterator[str]:
    """A warning where somebody else writes to the same disks; nothing where it is quiet."""
    if others is None:
        yield from wrapped("How much the disks write cannot be seen here.", width, 0)
    elif others > _QUIET:
        yield from wrapped(
            f"Other programs write {binary(others)} a second to the same disks. So the figures "
            "are less certain, above all the bytes that the disk writes.",
            width,
            0,
        )


_CLEAR = 1.05
"""A ratio below this is no difference that anybody would notice."""

_PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 10: "a tenth"}


def verdict(figures: Sequence[Figure], rounds: int, width: int) -> Iterator[str]:
    """The last line: what nocow brings here, in one sentence."""
    once = " Measured once: more --rounds make it more certain." if rounds == 1 else ""
    yield from wrapped(f"{sentence(figures)}{once}", width, 0)


def sentence(figures: Sequence[Figure]) -> str:
    """What nocow brings; where the rounds do not agree, there is no clear difference."""
    found = {of.name: of for of in figures}
    told = [
        _less(found["disk bytes per byte"]),
        _more(found["writes a second"], "the writes a second", "as many writes a second"),
        _pieces(found["fragments"]),
        _more(found["read, bytes a second"], "the reading speed", "the same reading speed"),
    ]
    return f"nocow: {', '.join(word for word in told if word)}."


def _gain(of: Figure, *, is_less: bool) -> float | None:
    """How many times better nocow is, by the medians; 1.0 where the rounds do not agree."""
    if not of.ratio or not of.low or not of.high:
        return None
    if of.low <= 1 <= of.high or 1 / _CLEAR < of.ratio < _CLEAR:
        return 1.0
    return of.ratio if is_less else 1 / of.ratio


def _less(of: Figure) -> str:
    gain = _gain(of, is_less=True)
    if gain is None:
        return ""
    if gain == 1:
        return "about as many disk writes"
    if gain < 1:
        return f"{1 / gain:.1f} times the disk writes"
    whole = next((part for part in _PARTS if abs(gain - part) < part / 8), 0)
    part = f"{_PARTS[whole]}" if whole else f"{100 / gain:.0f} %"
    return f"{part} of the disk writes"


def _more(of: Figure, what: str, same: str) -> str:
    gain = _gain(of, is_less=False)
    if gain is None:
        return ""
    times = f"{gain:.1f}" if gain < 10 else f"{gain:,.0f}"  # noqa: PLR2004 - two digits tell
    return f"about {same}" if gain == 1 else f"{times} times {what}"


def _pieces(of: Figure) -> str:
    if of.cow is None or of.nocow is None:
        return ""
    pieces = counted(round(of.nocow), "fragment")
    is_same = round(of.nocow) == round(of.cow)
    return f"{pieces} as well" if is_same else f"{pieces} instead of {round(of.cow):,}"


def table(figures: Sequence[Figure], width: int) -> Iterator[str]:
    """A line for each figure: the medians, the first divided by the second, and that by round."""
    rows = [
        ["", "copy-on-write", "nocow", "ratio", "lowest-highest"],
        *([of.name, _value(of, of.cow), _value(of, of.nocow), *_ratio(of)] for of in figures),
    ]
    first, *columns = zip(*rows, strict=True)
    names = [name.replace("read, bytes a second", "read, a second") for name in first]
    longest = max(map(len, names))
    lines = map("".join, zip(*map(aligned, columns), strict=True))
    for name, line in zip(names, lines, strict=True):
        if longest + len(line) <= width:
            yield f"{name:<{longest}}{line}".rstrip()
        else:
            yield from [name] * bool(name)
            yield f"{line.strip():>{len(line)}}"


def _value(of: Figure, value: float | None) -> str:
    if value is None:
        return "?"
    if of.name == "read, bytes a second":
        return binary(round(value))
    return f"{value:,.0f}" if of.name == "fragments" else _short(value)


def _ratio(of: Figure) -> tuple[str, str]:
    if of.ratio is None or of.low is None or of.high is None:
        return "?", ""
    return _short(of.ratio), f"{_short(of.low)}-{_short(of.high)}"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:,.0f}"  # noqa: PLR2004 - three digits tell
