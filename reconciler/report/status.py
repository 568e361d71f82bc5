"""How things stand, as lines of text: what to do, what differs, and what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import last_applied
from reconciler.engine.order import in_turn
from reconciler.engine.place import numbered
from reconciler.engine.schedule import TextFile
from reconciler.facts.diagnostics import Op, denied
from reconciler.facts.host import OFF
from reconciler.facts.images import GIB
from reconciler.formats.sizes import binary, counted, span
from reconciler.report import bar as bars
from reconciler.report import text
from reconciler.report.verdict import ALL_REFUSED, headline, verdict, worst
from reconciler.report.wrap import aligned, columns, padded, plain, printable, wrapped
from reconciler.report.wrap import command as command_lines
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import Before
    from reconciler.engine.model import Change, Plan
    from reconciler.engine.place import Place, Swap, Who
    from reconciler.engine.resource import ScheduleRuns
    from reconciler.facts.compression import Compression
    from reconciler.facts.images import ImageLayout, Layouts
    from reconciler.report.standing import Effect, PathEffect, PlaceStatus, Report
    from reconciler.report.wrap import Paint


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
    shown, hidden = parted(of.plan)
    if verbose:
        shown, hidden = [*shown, *hidden], []
    ends = "" if shown or not hidden else " (-v shows more)"
    op = worst(of.plan)
    # What is refused is counted and named by the last line of all, which the exit code asks for.
    said = f"{ALL_REFUSED}: {_says(of.plan)} why." if op is Op.BLOCKED else verdict(of.plan)
    for line in wrapped(f"{said}{ends}", width, 0):
        yield paint(line, op or Op.ADD)
    yield from _next(of, width)
    column = text.column(shown, width)
    for change in shown:
        yield ""
        yield from text.row(change, width, column, paint)
        yield from _places(change, of, width, verbose=verbose)
        yield from text.remarks(change, width)
    yield from _in_sync(hidden, width, is_all=not shown)
    yield from effect(of.effect, width, style)


def parted(of: Plan) -> tuple[list[Change], list[Change]]:
    """Return the rows to be read, and those that are in sync or do not concern this host."""
    rows = in_turn(of.changes, of.actions)  # what is in sync comes last
    differing = [each for each in rows if each.op is not Op.SAME and each.applicable]
    return differing, [*rows[len(differing) :]]


def _says(of: Plan) -> str:
    return "the row with ! says" if of.count(Op.BLOCKED) == 1 else "the rows with ! say"


def _next(of: Report, width: int) -> Iterator[str]:
    """What to do next; the remedies of refused rows stand at the rows.

    A command that is to be copied is on a line of its own rather than broken.
    """
    for step in of.steps:
        if step.in_row:
            continue
        what, do = printable(step.what), printable(step.do)
        lead, _, command = do.partition("`")
        is_last = command.count("`") == 1 and command.endswith("`")
        if is_last and columns(f"  {what}: {do}") > width:
            yield from wrapped(f"{what}: {lead}".rstrip(), width, 2, 2)
            yield from command_lines(command[:-1], width, 4)
        else:
            yield from wrapped(f"{what}: {do}", width, 2, 2)
    if of.plan.actions and any(step.in_row for step in of.steps):
        what = f"{of.plan.count(Op.BLOCKED):,} refused"
        yield from wrapped(f"{what}: {_says(of.plan)} what helps", width, 2, 2)


def _in_sync(of: Sequence[Change], width: int, *, is_all: bool) -> Iterator[str]:
    """One line for all rows that need no reading; what has a code is said all the same.

    Where there are no other rows, the verdict counts them.
    """
    notes = {(note.text, note.code): each for each in of for note in each.notes if note.code}
    if of and not is_all:
        yield ""
        yield from wrapped(f"= {text.counted_quiet(of)} (-v shows more)", width, 0, 2)
    elif notes:
        yield ""
    for (said, code), each in notes.items():
        yield from text.labelled("also", f"{each.kind} {each.name}: {said} ({code})", width)


def _places(of: Change, report: Report, width: int, *, verbose: bool) -> Iterator[str]:
    """What a row's places should hold and do hold, and what vmtune did to them before.

    ``verbose`` also tells of places that hold what they should.
    """
    mine = {each.place: each for each in report.standings if each.owner == f"{of.kind} {of.name}"}
    for swap in of.swaps:
        known = mine.pop(swap.place, None)
        since = f" ({_since(known)})" if known else ""
        said = f"{differing(swap, report.who)}{since}"
        yield from text.labelled(text.label(swap.place, of), said, width)
    for each in mine.values() if verbose else ():
        # Nothing is wanted of the scheduler that was not chosen, say, and nothing is there.
        if each.there == each.wanted and each.wanted not in {None, OFF, ()}:
            was = each.written if last_applied.is_set_by(each.written, each.wanted) else None
            by = f", set by run {was.run}" if was else ""
            said = f"{_value(each.place, each.wanted)}{by}"
            yield from text.labelled(text.label(each.place, of), said, width)


def differing(of: Swap, who: Who = numbered) -> str:
    """Say what a place should hold, and what it holds, in the words of a plan's row."""
    if not isinstance(of.place, TextFile):
        pairs = list(text.values(of, who))
        should, are = (", ".join(pair[side] for pair in pairs) for side in (1, 0))
        return f"should be {should}; is {are}"
    # A file is not told by its length: what it holds and what it should hold may be as long.
    if of.want is None:
        return "should not be there; is there"
    return f"should {'be there; is missing' if of.have is None else 'hold other text than it does'}"


def _since(of: PlaceStatus) -> str:
    """Tell how it came that a place is not as wanted."""
    was = of.written
    if of.is_drift and was:
        return f"changed by someone else since run {was.run} set it"
    if of.tried and of.tried.outcome != "done":
        return f"{last_applied.told_of_try(of.tried, of.place, of.wanted)}; not applied yet"
    if was and not was.certain:
        return f"run {was.run} tried and did not finish; not applied yet"
    if was and was.values[-1] == of.there:
        return f"run {was.run} set this, and no `apply` has changed it since"
    if was:
        return f"run {was.run} set it to {_value(of.place, was.values[-1])}"
    if of.tried and of.tried.want == of.there:  # a revert, or an apply that took it back
        return f"run {of.tried.run} set this, and no `apply` has changed it since"
    return f"not applied since run {of.tried.run}" if of.tried else "never applied"


def _value(place: Place[Any], value: Any) -> str:
    if isinstance(place, TextFile) and value is not None:
        return f"vmtune's text, {counted(len(value.splitlines()), 'line')}"
    return place.shown(value)


def before_hidden(of: Before) -> str:
    """Say why it is not known how the images lay before; "" where it is."""
    if not of.is_hidden:
        return ""
    told = denied("see how the images lay before vmtune's runs", as_root=of.as_root)
    return f"{told[0].upper()}{told[1:]}."


_NAMED = 10
"""Images that get a line of their own, of each path; the rest is summed up."""

_NARROWEST, _WIDEST = 12, 48
"""Columns of the longest bar."""


class _Table(Value):
    """The figures of the images of all paths, in the same columns, and one scale for the bars."""

    titles: str
    figures: Mapping[ImageLayout, str]
    named: int
    """Columns that the longest name takes."""
    longest: int
    """Bytes that the longest bar stands for."""


def effect(of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """Nothing at all where nothing is declared on a Btrfs."""
    if said := headline(of):
        yield ""
        yield from wrapped(f"{said}.", width, 0)
    table = _table_of(of)
    for path in of.paths:
        yield ""
        yield from wrapped(printable(f"{path.name}   {total(path)}"), width, 2, 2)
        if table and named(path):
            yield from _rows(path, table, of, width, style)
        for more in below(path):
            yield from wrapped(printable(more), width, 4)
    if table:
        yield ""
        yield from bars.legend(table.figures, style, width)
        if why := before_hidden(of.before):
            yield from wrapped(why, width, 2, 2)
    beside = [*map(compression, of.filesystems), *map(scheduled, of.schedules)]
    yield from [""] * bool(beside)
    for line in beside:
        yield from wrapped(printable(line), width, 2, 2)


def _table_of(of: Effect) -> _Table | None:
    """None where no image is to be shown."""
    pairs = [pair for path in of.paths for pair in named(path)]
    if not pairs:
        return None
    images = [image for _, image in pairs]
    rows = [_TITLES, *(_figures(each, of) for each in images)]
    told = (column for column in zip(*rows, strict=True) if {*column[1:]} != {"-"})
    titles, *lines = map("".join, zip(*map(aligned, told), strict=True))
    longest_name = max(columns(printable(name)) for name, _ in pairs)
    figures = dict(zip(images, lines, strict=True))
    return _Table(titles, figures, longest_name, bars.scale(images))


def named(of: PathEffect) -> list[tuple[str, ImageLayout]]:
    """The images that get a line, by their names below the path.

    These are the largest, and what may not be read as far as there is room.
    """
    if not of.layouts:
        return []
    largest = of.layouts.measured[:_NAMED]
    unseen = of.layouts.unseen[: max(1, _NAMED - len(of.layouts.measured))]
    return [(each.path.removeprefix(of.path.rstrip("/") + "/"), each) for each in largest + unseen]


def total(of: PathEffect) -> str:
    """All that is below the path, in a few words."""
    if not of.layouts:
        return f"? {of.hidden}"
    unread = of.layouts.unseen_count
    closed = [f"{counted(unread, 'entry', 'entries')} not readable"] * bool(unread)
    if not of.layouts.count:
        return closed[0] if closed else "no images yet"
    return ", ".join((counted(of.layouts.count, "file"), binary(of.layouts.size), *closed))


def below(of: PathEffect) -> Iterator[str]:
    """What is said below the images of a path: the others, and who shares data with them."""
    if of.layouts:
        yield from _rest(of.layouts)
        if any(each.shared for each in of.layouts.measured):
            yield _sharing(of)


def _rest(of: Layouts) -> Iterator[str]:
    """The files without a line of their own, summed up."""
    more, hidden = of.count - len(of.measured[:_NAMED]), of.measured[_NAMED:]
    if more <= 0:
        return
    size = of.size - sum(each.size for each in of.measured[:_NAMED])
    others = ""
    if hidden:
        pieces = counted(sum(each.fragments or 0 for each in hidden), "fragment")
        cow = sum(not each.nocow for each in hidden)
        which = f"the {len(hidden)} largest of them" if len(hidden) < more else "they"
        others = f": {which} have {pieces}, {cow} copy-on-write"
    yield f"and {counted(more, 'smaller file')}, {binary(size)}{others}"


def _sharing(of: PathEffect) -> str:
    if of.sharers is None:
        why = f": {of.sharers_hidden}" if of.sharers_hidden else ""
        return f"Which snapshots share the data is not known{why}."
    names = of.sharers.subvolumes
    told = [*names[:3]]
    if more := len(names) - len(told) + of.sharers.more:
        told.append(f"{more:,} more")
    if of.sharers.clones:
        told.append("clones in the same subvolume")
    *before, last = told or ["a file that was removed just now"]
    return f"shared with {', '.join(before)} and {last}" if before else f"shared with {last}"


_TITLES = ("size", "fragments", "per GiB", "compressed", "shared")


def _figures(of: ImageLayout, within: Effect) -> tuple[str, ...]:
    """The figures of one image, in the order of _TITLES; a column that has only "-" is left out."""
    was, now = before(of, within), "?" if of.fragments is None else f"{of.fragments:,}"
    return (
        _size(of),
        now if was is None else f"{was:,} -> {now}",
        _dense(of) or "-",
        *(binary(size) if size else "-" for size in (of.compressed, of.shared)),
    )


def before(image: ImageLayout, of: Effect) -> int | None:
    """Its fragments when vmtune first looked; None where that is not known, or still so."""
    seen = of.before.of(image)
    return seen.fragments if seen and seen.fragments != image.fragments else None


def _dense(of: ImageLayout) -> str:
    """Fragments per GiB, where there is one: from less data they would be extrapolated."""
    if of.fragments is None or of.fragments < 2 or of.data < GIB:  # noqa: PLR2004 - one is whole
        return ""
    return f"{of.per_gib:,}"


def _size(of: ImageLayout) -> str:
    """A directory that may not be entered has none that counts."""
    return binary(of.size) if of.size else "?"


def _rows(
    path: PathEffect, of: _Table, within: Effect, width: int, style: bars.Style
) -> Iterator[str]:
    """Name, figures and bar on one line, where there is room; else on two lines, or as sentences.

    All paths have the same columns, so that the bars can be compared.
    """
    room = width - 4 - len(of.titles) - 2
    wide = of.named if room - of.named >= _NARROWEST else 0
    is_table = room >= _NARROWEST
    space = min(_WIDEST, room - wide) if is_table else width - 4
    if is_table:
        yield f"    {'':{wide}}{of.titles}"
    for name, image in named(path):
        bar = bars.bar(image, of.longest, space, style)
        if not wide:
            yield f"    {printable(name)}"
        if is_table:
            beside = padded(printable(name), wide) if wide else ""
            yield f"    {beside}{of.figures[image]}  {bar}"
        else:
            yield f"    {bar}"
            yield from wrapped(", ".join(told(image, within)), width, 4)


def told(each: ImageLayout, of: Effect | None) -> Iterator[str]:
    """What there is to say of one image, in a few words each: its size, then its fragments.

    Without ``of`` only how the image is now.
    """
    yield _size(each)
    if each.fragments is None:
        yield "not read"
        return
    dense = f" ({_dense(each)} per GiB)" if _dense(each) else ""
    yield counted(each.fragments, "fragment") + dense
    if of and (was := before(each, of)) is not None:
        yield f"{was:,} before vmtune"
    if each.compressed:
        yield f"{binary(each.compressed)} compressed"
    if each.shared:
        yield f"{binary(each.shared)} shared"


def alone(each: ImageLayout, name: str, of: Effect, width: int, style: bars.Style) -> Iterator[str]:
    """One image that is asked about: its bar, the same in words, what the bar's marks mean."""
    yield f"    {bars.bar(each, each.size or 1, min(_WIDEST, width - 4), style)}"
    size, *more = told(each, of)
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
    same, other = f"{of.now}, now and at boot", f"now {of.now}; at boot {of.boot or 'not known'}"
    return f"{name}: compression {same if of.boot == of.now else other}; decided by {of.by}"


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
        is_skipped = run.result in {"skipped", "exec-condition"}
        known = f"no run is known; {ended(of)}" if is_skipped else "its timer has not run it yet"
        return f"{name}: by systemd; {known}{following}"
    return f"{name}: by systemd; last run {run.last}, {ended(of)}{following}"


def ended(of: ScheduleRuns) -> str:
    """How the last run ended, in a few words."""
    run = of.run
    skips = of.skips or "the job's own check said so"
    took = f" in {span(run.seconds)}" if run.seconds is not None else ""
    words = {
        "success": f"went well{took}",
        "running": "still running",
        "skipped": "the last start was skipped (ConditionACPower=)",
        "exec-condition": f"the last start was skipped: {skips}",
        "exit-code": f"failed with exit code {run.status}{took}",
        "signal": f"ended by signal {run.status}{took}",
        "": "how it ended is not known (systemd forgets that at a reboot)",
    }
    return words.get(run.result, f"failed{took}: {run.result}")
