"""How things stand, as lines of text: what to do, what differs, and what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import tries
from reconciler.engine.managed_files import TextFile
from reconciler.engine.place import numbered
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import OFF
from reconciler.facts.layouts import GIB
from reconciler.facts.rights import denied
from reconciler.formats.sizes import binary, counted, span
from reconciler.report import bar as bars
from reconciler.report import text
from reconciler.report.verdict import ALL_REFUSED, headline, verdict
from reconciler.report.wrap import columns as columns_of
from reconciler.report.wrap import command as command_lines
from reconciler.report.wrap import hanging, padded, plain, printable, wrapped
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.last_applied import Before
    from reconciler.engine.model import Change, Plan
    from reconciler.engine.place import Place, Swap, Who
    from reconciler.engine.resource import ScheduleRuns
    from reconciler.facts.compression import Compression
    from reconciler.facts.layouts import ImageLayout, Layouts
    from reconciler.report.standing import Effect, PathEffect, PlaceStatus, Report
    from reconciler.report.wrap import Paint


_INDENT, _VALUE = 4, 19
"""Columns before a label, and before what stands behind it."""


def status(
    of: Report,
    width: int = 80,
    paint: Paint = plain,
    style: bars.Style = bars.PLAIN,
    *,
    verbose: bool = False,
) -> Iterator[str]:
    """Say the verdict and what to do, the rows that are not in sync, then what it brought.

    ``verbose`` also shows the rows that are in sync, and who set what they declare.
    """
    look = _look(of.plan)
    shown = [each for each in of.plan.changes if verbose or not is_quiet(each)]
    shown.sort(key=rank)
    hidden = [each for each in of.plan.changes if each not in shown]
    ends = "" if shown or not hidden else " (-v shows more)"
    for line in wrapped(f"{_verdict(of.plan)}{ends}", width, 0):
        yield paint(line, look)
    yield from _next(of, width)
    column = text.column(shown, width)
    for change in shown:
        yield ""
        yield from text.row(change, width, column, paint)
        yield from _places(change, of, width, verbose=verbose)
        yield from text.remarks(change, width)
    yield from _in_sync(hidden, width, is_all=not shown)
    yield from effect(of.effect, width, style)


def _look(of: Plan) -> Op:
    """The symbol whose colour the verdict has: that of the row that counts most."""
    if of.actions:
        return Op.CHANGE
    return next((op for op in (Op.BLOCKED, Op.UNKNOWN, Op.WAITS) if of.count(op)), Op.ADD)


def is_quiet(of: Change) -> bool:
    """Tell whether a row needs no reading: it is in sync, or it does not concern this host."""
    return of.op is Op.SAME or not of.applicable


def rank(of: Change) -> int:
    """What would be done comes first, then what is refused, then what cannot be seen."""
    later = (Op.BLOCKED, Op.UNKNOWN, Op.WAITS, Op.SAME)
    return later.index(of.op) + 1 if of.op in later and of.applicable else 5 * (not of.applicable)


def _verdict(of: Plan) -> str:
    """Say whether the host is as declared; where only refused rows differ, where these stand.

    What is refused is counted and named by the last line of all, which the exit code asks for.
    """
    if of.actions or not of.count(Op.BLOCKED):
        return verdict(of)
    return f"{ALL_REFUSED}: {_says(of)} why."


def _says(of: Plan) -> str:
    return "the row with ! says" if of.count(Op.BLOCKED) == 1 else "the rows with ! say"


def _next(of: Report, width: int) -> Iterator[str]:
    """What to do next; the remedies of refused rows stand at the rows."""
    for step in of.steps:
        if not step.in_row:
            yield from _step(printable(step.what), printable(step.do), width)
    if of.plan.actions and any(step.in_row for step in of.steps):
        what = f"{of.plan.count(Op.BLOCKED):,} refused"
        yield from wrapped(f"{what}: {_says(of.plan)} what helps", width, 2, 2)


def _step(what: str, do: str, width: int) -> Iterator[str]:
    """What to do, on one line where it fits; a command that is to be copied is not broken."""
    lead, _, command = do.partition("`")
    is_last = command.count("`") == 1 and command.endswith("`")
    if not is_last or columns_of(f"  {what}: {do}") <= width:
        yield from wrapped(f"{what}: {do}", width, 2, 2)
        return
    yield from wrapped(f"{what}: {lead}".rstrip(), width, 2, 2)
    yield from command_lines(command[:-1], width, 4)


def counted_quiet(of: Sequence[Change]) -> str:
    """Count the rows that need no reading; "" where there are none."""
    same = sum(each.applicable for each in of)
    apart = len(of) - same
    told = [f"{same:,} in sync"] * bool(same) + [f"{apart:,} not applicable"] * bool(apart)
    return ", ".join(told)


def _in_sync(of: Sequence[Change], width: int, *, is_all: bool) -> Iterator[str]:
    """One line for all rows that need no reading; what has a code is said all the same.

    Where there are no other rows, the verdict counts them.
    """
    notes = {(note.text, note.code): each for each in of for note in each.notes if note.code}
    if of and not is_all:
        yield ""
        yield from wrapped(f"= {counted_quiet(of)} (-v shows more)", width, 0, 2)
    elif notes:
        yield ""
    for (said, code), each in notes.items():
        yield from _labelled("also", f"{each.kind} {each.name}: {said} ({code})", width)


def _places(of: Change, report: Report, width: int, *, verbose: bool) -> Iterator[str]:
    """What a row's places should hold and do hold, and what vmtune did to them before.

    ``verbose`` also tells of places that hold what they should.
    """
    mine = {each.place: each for each in report.standings if each.owner == f"{of.kind} {of.name}"}
    for swap in of.swaps:
        known = mine.pop(swap.place, None)
        since = f" ({_since(known)})" if known else ""
        yield from _labelled(
            text.label(swap.place, of), f"{differing(swap, report.who)}{since}", width
        )
    for each in mine.values() if verbose else ():
        if each.is_as_wanted and not _idle(each):
            by = f", set by run {each.written.run}" if _is_vmtunes(each) and each.written else ""
            said = f"{_value(each.place, each.wanted)}{by}"
            yield from _labelled(text.label(each.place, of), said, width)


def _labelled(label: str, said: str, width: int) -> Iterator[str]:
    """A labelled line, in the columns that a plan has."""
    head = f"{'':{_INDENT}}{printable(label)}".ljust(_VALUE - 1) + " "
    if len(head) > _VALUE:
        yield head.rstrip()
        head = " " * _VALUE
    yield from hanging(head, printable(said), width, _VALUE)


def _idle(standing: PlaceStatus) -> bool:
    """Nothing is wanted there and nothing is there: the scheduler that was not chosen, say."""
    return standing.is_as_wanted and standing.wanted in {None, OFF, ()}


def _is_vmtunes(of: PlaceStatus) -> bool:
    return bool(of.written and tries.is_set(of.written, of.wanted))


def differing(of: Swap, who: Who = numbered) -> str:
    """Say what a place should hold, and what it holds, in the words of a plan's row."""
    if isinstance(of.place, TextFile):
        return _of_file(of.have, of.want)
    pairs = list(text.values(of, who))
    should, are = (", ".join(pair[side] for pair in pairs) for side in (1, 0))
    return f"should be {should}; is {are}"


def _since(of: PlaceStatus) -> str:
    """Tell how it came that a place is not as wanted."""
    was = of.written
    if of.is_drift and was:
        return f"changed by someone else since run {was.run} set it"
    if of.tried and of.tried.outcome != "done":
        return f"{printable(tries.told_of_try(of.tried, of.place, of.wanted))}; not applied yet"
    if was and not was.certain:
        return f"run {was.run} tried and did not finish; not applied yet"
    if was and was.values[-1] == of.there:
        return f"run {was.run} set this, and no `apply` has changed it since"
    if was:
        return f"run {was.run} set it to {_value(of.place, was.values[-1])}"
    if of.tried and of.tried.want == of.there:  # a revert, or an apply that took it back
        return f"run {of.tried.run} set this, and no `apply` has changed it since"
    return f"not applied since run {of.tried.run}" if of.tried else "never applied"


def _of_file(have: str | None, want: str | None) -> str:
    """A file is not told by its length: what it holds and what it should hold may be as long."""
    if want is None:
        return "should not be there; is there"
    return "should be there; is missing" if have is None else "should hold other text than it does"


def _value(place: Place[Any], value: Any) -> str:
    if isinstance(place, TextFile) and value is not None:
        return f"vmtune's text, {counted(len(value.splitlines()), 'line')}"
    return printable(place.shown(value))


def before_hidden(of: Before) -> str:
    """Say why it is not known how the images lay before; "" where it is."""
    if not of.is_hidden:
        return ""
    told = denied("see how the images lay before vmtune's runs", as_root=of.as_root)
    return f"{told[0].upper()}{told[1:]}."


NAMED = 10
"""Images that get a line of their own, of each path; the rest is summed up."""

_NARROWEST, _WIDEST = 12, 48
"""Columns of the longest bar."""

_MUCH = GIB
"""Bytes of data from which on fragments per GiB say something: less would be extrapolated."""


class _Column(Value):
    title: str
    cells: tuple[str, ...]
    """By the image's number; a name is left-aligned, a figure right-aligned."""

    @property
    def width(self) -> int:
        return max(len(self.title), *(len(cell) for cell in self.cells))


class _Table(Value):
    """The images that are shown, of all paths, with their figures and one scale for the bars."""

    images: tuple[ImageLayout, ...]
    names: tuple[str, ...]
    columns: tuple[_Column, ...]
    longest: int
    """Bytes that the longest bar stands for."""

    @property
    def named(self) -> int:
        """Columns that the longest name takes."""
        return max(map(columns_of, self.names))

    @property
    def figures(self) -> int:
        """Columns that the figures take, with a space of two before each."""
        return sum(column.width + 2 for column in self.columns)


def effect(of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """Nothing at all where nothing is declared on a Btrfs."""
    if said := headline(of):
        yield ""
        yield from wrapped(f"{said[0].upper()}{said[1:]}.", width, 0)
    table = _table_of(of)
    number = 0
    for path in of.paths:
        yield ""
        yield from _heading(path, width)
        shown = len(named(path.layouts)) if path.layouts else 0
        if table and shown:
            yield from _rows(table, range(number, number + shown), of, width, style)
        number += shown
        if path.layouts and (more := rest(path.layouts)):
            yield from wrapped(more, width, 4)
        if more := sharing(path):
            yield from wrapped(more, width, 4)
    if table:
        yield ""
        yield from bars.legend(table.images, style, width)
        if why := before_hidden(of.before):
            yield from wrapped(why, width, 2, 2)
    yield from _beside(of, width)


def _beside(of: Effect, width: int) -> Iterator[str]:
    """Compression and schedules."""
    if of.filesystems or of.schedules:
        yield ""
    for filesystem in of.filesystems:
        yield from wrapped(printable(compression(filesystem)), width, 2, 2)
    for schedule in of.schedules:
        yield from wrapped(printable(scheduled(schedule)), width, 2, 2)


def _table_of(of: Effect) -> _Table | None:
    """None where no image is to be shown."""
    pairs = [(p, each) for p in of.paths if p.layouts for each in named(p.layouts)]
    if not pairs:
        return None
    images = tuple(each for _, each in pairs)
    names = tuple(printable(inside(path.path, each.path)) for path, each in pairs)
    return _Table(images, names, _columns(images, of), bars.scale(images))


def named(of: Layouts) -> tuple[ImageLayout, ...]:
    """Those that get a line: the largest, and what may not be read as far as there is room."""
    return (*of.measured[:NAMED], *of.unseen[: max(1, NAMED - len(of.measured))])


def _heading(path: PathEffect, width: int) -> Iterator[str]:
    told = f"? {printable(path.hidden)}" if path.layouts is None else total(path.layouts)
    yield from wrapped(f"{printable(path.name)}   {told}", width, 2, 2)


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


_SHARERS = 3
"""Subvolumes that are named; the rest is counted."""


def sharing(of: PathEffect) -> str:
    """Say who shares data with the images; "" where nobody does."""
    if not of.layouts or not any(each.shared for each in of.layouts.measured):
        return ""
    if of.sharers is None:
        why = f": {printable(of.sharers_hidden)}" if of.sharers_hidden else ""
        return f"Which snapshots share the data is not known{why}."
    names = of.sharers.subvolumes
    told = [*map(printable, names[:_SHARERS])]
    if more := len(names) - len(told) + of.sharers.more:
        told.append(f"{more:,} more")
    if of.sharers.clones:
        told.append("clones in the same subvolume")
    *before, last = told or ["a file that was removed just now"]
    return f"shared with {', '.join(before)} and {last}" if before else f"shared with {last}"


def _columns(shown: Sequence[ImageLayout], of: Effect) -> tuple[_Column, ...]:
    """Figures, right-aligned; a column that says nothing about anything is left out."""
    rows = (
        ("size", [_size(each) for each in shown]),
        ("fragments", [_fragments(each, of) for each in shown]),
        ("per GiB", [_dense(each) or "-" for each in shown]),
        ("compressed", [_some(each.compressed) for each in shown]),
        ("shared", [_some(each.shared) for each in shown]),
    )
    kept = {"size", "fragments"}
    return tuple(
        _Column(title, tuple(cells))
        for title, cells in rows
        if title in kept or any(cell != "-" for cell in cells)
    )


def before(image: ImageLayout, of: Effect) -> int | None:
    """Its fragments when vmtune first looked; None where that is not known, or still so."""
    seen = of.before.of(image)
    return seen.fragments if seen and seen.fragments != image.fragments else None


def _fragments(of: ImageLayout, within: Effect) -> str:
    """Fragments before and now, where that is known."""
    was = before(of, within)
    return f"{was:,} -> {_number(of.fragments)}" if was is not None else _number(of.fragments)


def _dense(of: ImageLayout) -> str:
    """Fragments per GiB, where there is so much data that the figure is no extrapolation."""
    if of.fragments is None or of.fragments < 2 or of.data < _MUCH:  # noqa: PLR2004 - one is whole
        return ""
    return f"{of.per_gib:,}"


def _size(of: ImageLayout) -> str:
    """A directory that may not be entered has none that counts."""
    return binary(of.size) if of.size else "?"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _some(size: int) -> str:
    return binary(size) if size else "-"


def _figures(of: _Table, number: int | None) -> str:
    cells = ((c, c.title if number is None else c.cells[number]) for c in of.columns)
    return "".join(f"  {text:>{column.width}}" for column, text in cells)


def _rows(
    of: _Table, numbers: range, within: Effect, width: int, style: bars.Style
) -> Iterator[str]:
    """Name, figures and bar on one line, where there is room; else on two lines, or as sentences.

    All paths have the same columns, so that the bars can be compared.
    """
    beside, below = (width - 4 - each for each in (of.named + of.figures + 2, of.figures + 2))
    if beside < _NARROWEST and below < _NARROWEST:
        yield from _sentences(of, numbers, within, width, style)
        return
    space = min(_WIDEST, beside if beside >= _NARROWEST else below)
    wide = of.named if beside >= _NARROWEST else 0
    yield f"    {'':{wide}}{_figures(of, None)}"
    for number in numbers:
        name = of.names[number]
        bar = bars.bar(of.images[number], of.longest, space, style)
        if not wide:
            yield f"    {name}"
        yield f"    {padded(name if wide else '', wide)}{_figures(of, number)}  {bar}"


def _sentences(
    of: _Table, numbers: range, within: Effect, width: int, style: bars.Style
) -> Iterator[str]:
    for number in numbers:
        image = of.images[number]
        yield f"    {of.names[number]}"
        yield f"    {bars.bar(image, of.longest, width - 4, style)}"
        yield from wrapped(", ".join(words for _, words in told(image, within)), width, 4)


def told(each: ImageLayout, of: Effect | None) -> Iterator[tuple[str, str]]:
    """What there is to say of one image: the name of each figure, and a few words.

    The size comes first. Without ``of`` only how the image is now.
    """
    yield "size", _size(each)
    if each.fragments is None:
        yield "unread", "not read"
        return
    dense = f" ({_dense(each)} per GiB)" if _dense(each) else ""
    yield "fragments", counted(each.fragments, "fragment") + dense
    if of and (was := before(each, of)) is not None:
        yield "before", f"{was:,} before vmtune"
    if each.compressed:
        yield "compressed", f"{binary(each.compressed)} compressed"
    if each.shared:
        yield "shared", f"{binary(each.shared)} shared"


def alone(each: ImageLayout, name: str, of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """One image that is asked about: its bar, the same in words, what the bar's marks mean."""
    yield f"    {bars.bar(each, each.size or 1, min(_WIDEST, width - 4), style)}"
    size, *more = (words for _, words in told(each, of))
    sort = [] if each.fragments is None else ["nocow" if each.nocow else "copy-on-write"]
    said = f"{printable(name)}: {', '.join([size, *sort, *more])}"
    yield from wrapped(said, width, 4)
    yield ""
    yield from bars.legend([each], style, width)
    if why := before_hidden(of.before):
        yield from wrapped(why, width, 2, 2)


def compression(of: Compression) -> str:
    """The setting of a filesystem, now and after the next boot, and who decides it."""
    name = f"Btrfs {of.label or of.uuid[:8]} at {' '.join(of.where)}"
    if of.boot == of.now:
        return f"{name}: compression {of.now}, now and at boot; decided by {of.by}"
    boot = of.boot or "not known"
    return f"{name}: compression now {of.now}; at boot {boot}; decided by {of.by}"


def scheduled(of: ScheduleRuns) -> str:
    """What is known of a schedule's last run, and when the next one is."""
    name, run = of.entry, of.run
    if of.hidden:
        return f"{name}: ? {of.hidden}"
    if not of.scheduler:
        return f"{name}: not set up yet"
    following = f"; next run {run.next}" if run.next else ""
    if of.scheduler == "cron":
        return f"{name}: by cron, which keeps no record of its runs{following}"
    if not run.last:
        skipped = _skipped(of).get(run.result)
        known = f"no run is known; {skipped}" if skipped else "its timer has not run it yet"
        return f"{name}: by systemd; {known}{following}"
    return f"{name}: by systemd; last run {run.last}, {ended(of)}{following}"


def _skipped(of: ScheduleRuns) -> dict[str, str]:
    why = of.skips or "the job's own check said so"
    return {
        "skipped": "the last start was skipped (ConditionACPower=)",
        "exec-condition": f"the last start was skipped: {why}",
    }


def ended(of: ScheduleRuns) -> str:
    """How the last run ended, in a few words."""
    run = of.run
    took = f" in {span(run.seconds)}" if run.seconds is not None else ""
    words = {
        "success": f"went well{took}",
        "running": "still running",
        **_skipped(of),
        "exit-code": f"failed with exit code {run.status}{took}",
        "signal": f"ended by signal {run.status}{took}",
        "": "how it ended is not known (systemd forgets that at a reboot)",
    }
    return words.get(run.result, f"failed{took}: {run.result}")
