"""How things stand, as lines of text: verdict, rows of the plan, places, and what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import tries
from reconciler.engine.managed_files import TextFile
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import OFF
from reconciler.formats.sizes import binary, counted
from reconciler.report import bar as bars
from reconciler.report import text
from reconciler.report.wrap import plain, printable, wrapped
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.model import Plan
    from reconciler.engine.resource import ScheduleRuns
    from reconciler.facts.compression import Compression
    from reconciler.facts.host import Layout, Layouts
    from reconciler.report.standing import Effect, PathEffect, PlaceStatus, Report
    from reconciler.report.wrap import Paint


_INDENT = 6


def status(
    of: Report, width: int = 80, paint: Paint = plain, style: bars.Style = bars.PLAIN
) -> Iterator[str]:
    """The verdict, every row with the places behind it, then what it brought."""
    behind: dict[str, list[PlaceStatus]] = {}
    for standing in of.standings:
        if not _idle(standing):
            behind.setdefault(standing.owner, []).append(standing)
    yield from wrapped(verdict(of.plan), width, 0)
    if of.plan.changes:
        yield ""
    column = text.column(of.plan.changes, width)
    for change in of.plan.changes:
        yield from text.row(change, width, column, paint)
        for standing in behind.get(f"{change.kind} {change.name}", ()):
            yield from wrapped(
                f"{printable(standing.place.label)}: {_words(standing)}", width, _INDENT
            )
        yield from text.remarks(change, width)
    yield from effect(of.effect, width, style)


def verdict(of: Plan) -> str:
    """In one line whether the host is as declared; what sets the exit code is counted."""
    if not of.changes:
        return "Nothing is declared."
    counts = [(of.count(op), word) for op, word in (*text.COUNTED, text.WAITING)]
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    apart = sum(not change.applicable for change in of.changes)
    told = ", ".join(filter(None, (told, f"{apart} not applicable" if apart else "")))
    if of.actions:
        return f"Not as declared: {told}."
    if of.count(Op.BLOCKED):
        return f"Nothing to do, but not all is as declared: {told}."
    if of.count(Op.UNKNOWN):
        return f"As declared, as far as can be seen from here: {told}."
    if of.count(Op.WAITS):
        return f"As declared after the next reboot: {told}."
    return f"As declared: {told}."


def _idle(standing: PlaceStatus) -> bool:
    """Nothing is wanted there and nothing is there: the scheduler that was not chosen, say."""
    return standing.is_as_wanted and standing.wanted in {None, OFF, ()}


def _words(standing: PlaceStatus) -> str:
    """Wanted, there and last written, in as few words as tell them apart."""
    was = standing.written
    if standing.is_as_wanted:
        by = f", set by run {was.run}" if was and tries.is_set(was, standing.wanted) else ""
        return f"{_value(standing, standing.there)}, as wanted{by}"
    wanted = f"wanted {_value(standing, standing.wanted)}, there {_value(standing, standing.there)}"
    if standing.is_drift and was:
        return f"{wanted}; changed by someone else since run {was.run} set it"
    if standing.tried and standing.tried.outcome != "done":
        told = printable(tries.told_of_try(standing.tried, standing.place, standing.wanted))
        return f"{wanted}; {told}; not applied yet"
    if was and not was.certain:
        return f"{wanted}; run {was.run} tried and did not finish; not applied yet"
    if was:
        return f"{wanted}; run {was.run} wrote {_value(standing, was.values[-1])}"
    return f"{wanted}; not applied yet"


def _value(standing: PlaceStatus, value: Any) -> str:
    """A file is not told by its length where its wanted and its present text differ in words."""
    if isinstance(standing.place, TextFile) and value is not None:
        return "vmtune's text" if value == standing.wanted else "another text"
    return printable(standing.place.words(value))


BEFORE_IS_ROOTS = "how images lay before vmtune's runs: root sees it"

NAMED = 10
"""Images that get a line of their own, of each path; the rest is summed up."""

_EFFECT_INDENT = 4

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
        if of.before.is_hidden:
            yield from wrapped(BEFORE_IS_ROOTS, width, 2, 2)
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
    room = width - _EFFECT_INDENT - figures - 2
    if room - max(map(len, names)) >= _NARROWEST:
        space = min(_WIDEST, room - max(map(len, names)))
        yield from _table(shown, names, columns, space, style)
    elif width - _EFFECT_INDENT - figures >= _NARROWEST:
        space = min(_WIDEST, width - _EFFECT_INDENT - figures)
        yield from _two_lines(shown, names, columns, space, style)
    else:
        yield from _sentences(shown, names, of, width, style)
    if more := rest(path.layouts):
        yield from wrapped(more, width, _EFFECT_INDENT)


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
    seen = of.before.of(image)
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
    yield f"{'':{_EFFECT_INDENT + space}}{_row(columns, None)}"
    for number, (each, name) in enumerate(zip(shown, names, strict=True)):
        bar = bars.bar(each, space, style)
        yield f"{'':{_EFFECT_INDENT}}{bar}{_row(columns, number)}  {name}"


def _two_lines(
    shown: Sequence[Layout],
    names: Sequence[str],
    columns: Sequence[_Column],
    space: int,
    style: bars.Style,
) -> Iterator[str]:
    yield f"{'':{_EFFECT_INDENT + space}}{_row(columns, None)}"
    for number, (each, name) in enumerate(zip(shown, names, strict=True)):
        yield f"{'':{_EFFECT_INDENT}}{name}"
        yield f"{'':{_EFFECT_INDENT}}{bars.bar(each, space, style)}{_row(columns, number)}"


def _sentences(
    shown: Sequence[Layout], names: Sequence[str], of: Effect, width: int, style: bars.Style
) -> Iterator[str]:
    for each, name in zip(shown, names, strict=True):
        yield f"{'':{_EFFECT_INDENT}}{name}"
        yield f"{'':{_EFFECT_INDENT}}{bars.bar(each, width - _EFFECT_INDENT, style)}"
        yield from wrapped(", ".join(told(each, of)), width, _EFFECT_INDENT)


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
    yield f"{'':{_EFFECT_INDENT}}{bars.bar(each, min(_WIDEST, width - _EFFECT_INDENT), style)}"
    size, *more = told(each, of)
    sort = [] if each.fragments is None else ["nocow" if each.nocow else "copy-on-write"]
    said = f"{printable(name)}: {', '.join([size, *sort, *more])}"
    yield from wrapped(said, width, _EFFECT_INDENT)
    yield ""
    yield from bars.legend([each], style, width)
    if of.before.is_hidden:
        yield from wrapped(BEFORE_IS_ROOTS, width, 2, 2)


def compression(of: Compression) -> str:
    """The setting of a filesystem, now and after the next boot, and who decides it."""
    name = f"Btrfs {of.label or of.uuid[:8]} at {' '.join(of.where)}"
    if of.boot == of.now:
        return f"{name}: compression {of.now}, now and at boot; decided by {of.by}"
    boot = of.boot or "not known"
    return f"{name}: compression now {of.now}; at boot {boot}; decided by {of.by}"


_SKIPPED = {
    "skipped": "the last start was skipped (ConditionACPower=)",
    "exec-condition": "the last start was skipped: snapshots or clones share data there",
}


def scheduled(of: ScheduleRuns) -> str:
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
        skipped = _SKIPPED.get(run.result)
        known = f"no run is known; {skipped}" if skipped else "its timer has not run it yet"
        return f"{name}: {known}{following}, by systemd"
    return f"{name}: last run {run.last}, {_ended(of)}{following}, by systemd"


def _ended(of: ScheduleRuns) -> str:
    run = of.run
    took = f" in {_duration(run.seconds)}" if run.seconds is not None else ""
    words = {
        "success": f"went well{took}",
        "running": "still running",
        **_SKIPPED,
        "exit-code": f"failed{took} with exit code {run.status}",
        "signal": f"killed by signal {run.status}{took}",
        "": "how that ended was forgotten at a reboot",
    }
    return words.get(run.result, f"failed{took}: {run.result}")


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
