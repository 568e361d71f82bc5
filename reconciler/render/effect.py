"""What it brought, as lines of text: the images of each path, compression, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.sizes import binary, counted
from reconciler.render import bars
from reconciler.render.layout import printable, wrapped
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.compression import Compression
    from reconciler.core.effect import Effect, PathEffect, ScheduleEffect
    from reconciler.core.layout import Layout, Layouts

NAMED = 10
"""Images that get a line of their own, of each path; the rest is summed up."""
_INDENT = 4
_NARROWEST, _WIDEST = 12, 48
"""Columns of a bar that stands in a table."""


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(len(self.title), *(len(cell) for cell in self.cells))


def effect(of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """Nothing at all where nothing is declared on a Btrfs."""
    for path in of.paths:
        yield ""
        yield from _path(path, of, width, style)
    shown = [each for path in of.paths if path.layouts for each in named(path.layouts)]
    if shown:
        yield ""
        yield from bars.legend(shown, style, width)
    if of.filesystems or of.schedules:
        yield ""
    for filesystem in of.filesystems:
        yield from wrapped(printable(compression(filesystem)), width, 2, 2)
    for schedule in of.schedules:
        yield from wrapped(printable(scheduled(schedule)), width, 2, 2)


def named(of: Layouts) -> tuple[Layout, ...]:
    """Those that get a line: the largest, and what may not be read as far as there is room."""
    return (*of.measured[:NAMED], *of.unseen[: max(1, NAMED - len(of.measured))])


def _path(path: PathEffect, of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    name = printable(path.name)
    if path.layouts is None:
        yield from wrapped(f"{name}   ? {printable(path.hidden)}", width, 2, 2)
        return
    shown = named(path.layouts)
    yield from wrapped(f"{name}   {total(path.layouts)}", width, 2, 2)
    if not shown:
        return
    names = [printable(inside(path.path, each.path)) for each in shown]
    columns = _columns(shown, of)
    figures = sum(column.width + 2 for column in columns)
    room = width - _INDENT - figures - 2
    if room - max(map(len, names)) >= _NARROWEST:
        space = min(_WIDEST, room - max(map(len, names)))
        yield from _table(shown, names, columns, space, style)
    elif width - _INDENT - figures >= _NARROWEST:
        space = min(_WIDEST, width - _INDENT - figures)
        yield from _two_lines(shown, names, columns, space, style)
    else:
        yield from _sentences(shown, names, of, width, style)
    if more := rest(path.layouts):
        yield from wrapped(more, width, _INDENT)


def total(of: Layouts) -> str:
    """All that is below the path, in a few words."""
    unread = counted(of.unseen_count, "entry", "entries")
    closed = f", {unread} not readable" if of.unseen_count else ""
    if not of.count:
        return f"no images yet{closed}" if not closed else closed[2:]
    return f"{counted(of.count, 'file')}, {binary(of.size)}{closed}"


def inside(path: str, image: str) -> str:
    """The image's name below its path."""
    return image.removeprefix(path.rstrip("/") + "/")


def rest(of: Layouts) -> str:
    """The files without a line of their own, summed up; "" without any."""
    more, hidden = of.count - len(of.measured[:NAMED]), of.measured[NAMED:]
    if more <= 0:
        return ""
    size = of.size - sum(each.size for each in of.measured[:NAMED])
    text = f"and {counted(more, 'smaller file')}, {binary(size)}"
    if not hidden:
        return text
    pieces = sum(each.fragments or 0 for each in hidden)
    cow = sum(not each.nocow for each in hidden)
    which = f"the {len(hidden)} largest of them" if len(hidden) < more else "they"
    return f"{text}: {which} have {counted(pieces, 'fragment')}, {cow} copy-on-write"


def _columns(shown: Sequence[Layout], of: Effect) -> tuple[_Column, ...]:
    """Figures, right-aligned; a column that says nothing about anything is left out."""
    was = [before(each, of) for each in shown]
    rows = (
        ("size", [_size(each) for each in shown]),
        ("was", [_number(pieces) if pieces is not None else "-" for pieces in was]),
        ("fragments", [_number(each.fragments) for each in shown]),
        ("per GiB", [_number(each.per_gib) if _scattered(each) else "-" for each in shown]),
        ("compressed", [_some(each.compressed) for each in shown]),
        ("shared", [_some(each.shared) for each in shown]),
    )
    kept = {"size", "fragments"}
    return tuple(
        _Column(title, tuple(cells))
        for title, cells in rows
        if title in kept or any(cell != "-" for cell in cells)
    )


def before(image: Layout, of: Effect) -> int | None:
    """Its fragments when vmtune first looked; None where that is not known, or still so."""
    seen = of.before.get(image.key)
    return seen.fragments if seen and seen.fragments != image.fragments else None


def _scattered(of: Layout) -> bool:
    return of.fragments is not None and of.fragments > 1


def _size(of: Layout) -> str:
    """A directory that may not be entered has none that counts."""
    return binary(of.size) if of.size else "?"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _some(size: int) -> str:
    return binary(size) if size else "-"


def _row(columns: Sequence[_Column], number: int | None) -> str:
    cells = ((c, c.title if number is None else c.cells[number]) for c in columns)
    return "".join(f"  {text:>{column.width}}" for column, text in cells)


def _table(
    shown: Sequence[Layout],
    names: Sequence[str],
    columns: Sequence[_Column],
    space: int,
    style: bars.Style,
) -> Iterator[str]:
    yield f"{'':{_INDENT + space}}{_row(columns, None)}"
    for number, (each, name) in enumerate(zip(shown, names, strict=True)):
        bar = bars.bar(each, space, style)
        yield f"{'':{_INDENT}}{bar}{_row(columns, number)}  {name}"


def _two_lines(
    shown: Sequence[Layout],
    names: Sequence[str],
    columns: Sequence[_Column],
    space: int,
    style: bars.Style,
) -> Iterator[str]:
    yield f"{'':{_INDENT + space}}{_row(columns, None)}"
    for number, (each, name) in enumerate(zip(shown, names, strict=True)):
        yield f"{'':{_INDENT}}{name}"
        yield f"{'':{_INDENT}}{bars.bar(each, space, style)}{_row(columns, number)}"


def _sentences(
    shown: Sequence[Layout], names: Sequence[str], of: Effect, width: int, style: bars.Style
) -> Iterator[str]:
    for each, name in zip(shown, names, strict=True):
        yield f"{'':{_INDENT}}{name}"
        yield f"{'':{_INDENT}}{bars.bar(each, width - _INDENT, style)}"
        yield from wrapped(", ".join(told(each, of)), width, _INDENT)


def told(each: Layout, of: Effect | None) -> Iterator[str]:
    """What there is to say of one image, in a few words each; without ``of`` only how it is now."""
    yield _size(each)
    if each.fragments is None:
        yield "not read"
        return
    dense = f" ({each.per_gib:,} per GiB)" if _scattered(each) and each.per_gib else ""
    yield counted(each.fragments, "fragment") + dense
    if of and (was := before(each, of)) is not None:
        yield f"was {was:,}"
    if each.compressed:
        yield f"{binary(each.compressed)} compressed"
    if each.shared:
        yield f"{binary(each.shared)} shared"


def alone(each: Layout, name: str, of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """One image that is asked about: its bar, the same in words, what the bar's marks mean."""
    yield f"{'':{_INDENT}}{bars.bar(each, min(_WIDEST, width - _INDENT), style)}"
    size, *more = told(each, of)
    sort = [] if each.fragments is None else ["nocow" if each.nocow else "copy-on-write"]
    said = f"{printable(name)}: {', '.join([size, *sort, *more])}"
    yield from wrapped(said, width, _INDENT)
    yield ""
    yield from bars.legend([each], style, width)


def compression(of: Compression) -> str:
    """The setting of a filesystem, now and after the next boot, and who decides it."""
    name = f"Btrfs {of.label or of.uuid[:8]} at {' '.join(of.where)}"
    if of.boot == of.now:
        return f"{name}: compression {of.now}, now and at boot; decided by {of.by}"
    boot = of.boot or "not known"
    return f"{name}: compression now {of.now}; at boot {boot}; decided by {of.by}"


def scheduled(of: ScheduleEffect) -> str:
    """What is known of a schedule's last run, and when the next one is."""
    name, run = f"defrag {of.name}", of.run
    if of.hidden:
        return f"{name}: ? {of.hidden}"
    if not of.scheduler:
        return f"{name}: not set up yet"
    following = f"; next {run.next}" if run.next else ""
    if of.scheduler == "cron":
        return f"{name}: last run not known, cron keeps no record of it{following}, by cron"
    if not run.last:
        return f"{name}: has not run yet{following}, by systemd"
    return f"{name}: last run {run.last}, {_ended(of)}{following}, by systemd"


def _ended(of: ScheduleEffect) -> str:
    run = of.run
    took = f" in {_duration(run.seconds)}" if run.seconds is not None else ""
    words = {
        "success": f"went well{took}",
        "running": "still running",
        "skipped": "the run after it was skipped (ConditionACPower=)",
        "exit-code": f"failed{took} with exit code {run.status}",
        "signal": f"killed by signal {run.status}{took}",
        "": "with a result that was forgotten at a reboot",
    }
    return words.get(run.result, f"failed{took}: {run.result}")


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
