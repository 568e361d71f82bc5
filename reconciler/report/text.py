"""A plan, and what became of it, as lines of text.

A row is a headline, what changes (before -> after), then labelled lines: also, cost, why, do. An
empty line stands between rows; what is in sync is one line each, and the last line counts.
"""

from __future__ import annotations

import difflib
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from reconciler.engine.diff import compare
from reconciler.engine.model import Notify
from reconciler.engine.place import numbered
from reconciler.engine.schedule import TextFile
from reconciler.facts.diagnostics import ALSO, COST, DO, WHY, Note, Op
from reconciler.formats.sizes import counted, counted_each
from reconciler.report.wrap import (
    DIM,
    GONE,
    NAME,
    NEW,
    columns,
    hanging,
    led,
    padded,
    plain,
    printable,
    wrapped,
)
from reconciler.report.wrap import beside as beside_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from reconciler.engine.model import Action, Change, Plan
    from reconciler.engine.place import Place, Swap, Who
    from reconciler.report.wrap import Paint


_INDENT, _VALUE = 4, 19
"""Columns before a label, and before what stands behind it."""

_SHOWN = 5
"""Entries in sync that get a line of their own, where they have nothing to say."""

COUNTED = {
    Op.ADD: "to add",
    Op.CHANGE: "to change",
    Op.REMOVE: "to remove",
    Op.BLOCKED: "refused",
    Op.UNKNOWN: "not seen",
    Op.WAITS: "waiting for a reboot",
    Op.SAME: "in sync",
}


def plan(  # noqa: PLR0913 - how it looks, and what is said beside it
    of: Plan,
    width: int = 80,
    paint: Paint = plain,
    *,
    verbose: bool = False,
    who: Who = numbered,
    beside: Iterable[str] = (),
    needs_root: bool = False,
) -> Iterator[str]:
    """Row by row in the order of doing, what stands ``beside``, then the summary.

    ``verbose`` shows whole texts of files, and each entry that is in sync.
    """
    if of.changes:
        yield from rows(of.changes, width, paint, verbose=verbose, who=who)
        yield ""
    for line in beside:
        yield paint(line, DIM)
    yield from wrapped(summary(of, needs_root=needs_root), width, 0)


def rows(
    of: Sequence[Change],
    width: int,
    paint: Paint = plain,
    *,
    verbose: bool = False,
    who: Who = numbered,
) -> Iterator[str]:
    """The rows without the summary."""
    of = sorted(of, key=lambda change: (change.op is Op.SAME) + _is_bare(change))
    more = sum(map(_is_bare, of)) - _SHOWN
    shown = of if verbose or more <= 1 else of[:-more]
    behind = column(shown, width)
    said: set[Note] | None = None if verbose else set()
    for before, change, after in zip((None, *shown), shown, (*shown[1:], None), strict=False):
        # No empty line stands between rows that have one line, or that say the same.
        if before and not (_is_alike(before, change) or (_is_bare(before) and _is_bare(change))):
            yield ""
        yield from row(change, width, behind, paint)
        if not after or not _is_alike(change, after):
            yield from _body(change, width, paint, who, said)
    if hidden := of[len(shown) :]:  # behind five lines like it
        yield paint("=", Op.SAME) + f" {counted_quiet(hidden, 'more ')}"


def _is_bare(change: Change) -> bool:
    """Whether an entry is in sync, and has nothing to say."""
    return change.op is Op.SAME and not _notes(change)


def _is_alike(one: Change, next_one: Change) -> bool:
    """Whether two rows are refused, or not seen, for one reason: that is printed once."""
    told = attrgetter("op", "code", "text", "hint")
    has_notes = one.notes or next_one.notes
    return _is_reason(one) and not has_notes and told(one) == told(next_one)


def counted_quiet(of: Iterable[Change], more: str = "") -> str:
    """Count rows that need no reading; what does not apply is as it was, and was not declared."""
    apart = [not change.applicable for change in of]
    counts = ((apart.count(False), f"{more}in sync"), (apart.count(True), f"{more}not applicable"))
    return counted_each(counts)


def _notes(change: Change, *, verbose: bool = False) -> list[Note]:
    """What is said below a row: of an entry that is in sync, no mere remark without a code."""
    if verbose or change.op is not Op.SAME or not change.origin:
        return [*change.notes]
    return [note for note in change.notes if note.code or note.label != ALSO]


def column(of: Sequence[Change], width: int) -> int:
    """Where the texts behind the names begin; they line up behind 44 columns at most."""
    longest = max((columns(_head(change)) for change in of), default=0)
    return min(44, width // 2, longest + 3)


def _head(change: Change) -> str:
    return printable(f"{change.op.value} {change.kind} {change.name}".rstrip())


def _is_reason(change: Change) -> bool:
    """Whether its text says why nothing is done: a line of its own, under the headline."""
    return change.op in {Op.BLOCKED, Op.UNKNOWN}


def row(change: Change, width: int, column: int, paint: Paint) -> Iterator[str]:
    """The headline: the symbol, the name, and what is said of it."""
    head = _head(change)
    code = f"   {change.code}" if change.code else ""
    words = change.code if _is_reason(change) else f"{change.text}{code}"
    # Behind a name that is longer than most there is no room for a column.
    indent = column if columns(head) + 2 <= column else _VALUE
    first, *more = hanging(padded(f"{head}  ", column), printable(words), width, indent)
    name = head.partition(" ")[2]
    symbol = paint(change.op.value, change.op)
    bold = name if change.op is Op.SAME else paint(name, NAME)
    yield f"{symbol} {bold}{first[len(head) :]}".rstrip()
    yield from more


def remarks(
    change: Change, width: int, paint: Paint = plain, *, said: set[Note] | None = None
) -> Iterator[str]:
    """The labelled lines: why nothing is done, what is to be known beside it, what to do."""
    if _is_reason(change) and change.text:
        yield from labelled(WHY, change.text, width, paint)
    notes = _notes(change, verbose=said is None)
    # A reason stands before what follows from it, advice comes last.
    order = (WHY, ALSO, COST, DO)
    for note in sorted(notes, key=lambda note: order.index(note.label)):
        if said is not None and note.is_of_host:
            if note in said:
                continue
            said.add(note)
        code = f" ({note.code})" if note.code else ""
        yield from labelled(note.label, note.text + code, width, paint)
    if change.hint:
        yield from labelled(DO, change.hint, width, paint)


def labelled(label: str, said: str, width: int, paint: Paint = plain) -> Iterator[str]:
    """A line below a row, in columns; a label that is too long for its own has a line to itself."""
    head = _labelling(label)
    if len(head) > _VALUE:
        yield head.rstrip()
        head = " " * _VALUE
    for line in hanging(head, printable(said), width, _VALUE):
        yield line[:_INDENT] + paint(line[_INDENT:], DIM)


def _labelling(label: str) -> str:
    return f"{'':{_INDENT}}{printable(label)}".ljust(_VALUE - 1) + " "


def _body(
    change: Change, width: int, paint: Paint, who: Who, said: set[Note] | None
) -> Iterator[str]:
    """What stands below the headline; ``said`` is None where all is shown."""
    for swap in change.swaps:
        yield from _swap(swap, change, width, paint, who)
        if said is None and isinstance(swap.place, TextFile):
            yield from _text_diff(swap, paint)
    for why in dict.fromkeys(swap.why for swap in change.swaps if swap.why):
        yield from labelled(WHY, why, width, paint)
    yield from remarks(change, width, paint, said=said)


def _swap(swap: Swap, change: Change, width: int, paint: Paint, who: Who) -> Iterator[str]:
    """Before and after: on one line where they fit, else one below the other."""
    for before, after in values(swap, who):
        gone, new = _tinted(before, after, paint)
        head = _labelling(label(swap.place, change))
        wide = columns(before) + columns(after) + len("  ->  ")
        if len(head) > _VALUE:
            head += "  "
            if columns(head) + wide > width:
                yield head.rstrip()
                head = " " * _VALUE
        if columns(head) + wide <= width:
            yield f"{head}{gone}  ->  {new}"
            continue
        yield from _value(head, before, gone, width, paint, GONE)
        yield from _value("->  ".rjust(_VALUE), after, new, width, paint, NEW)


def label(place: Place[Any], change: Change) -> str:
    """Name a place within a row: "directory", where the row's path is its own."""
    is_own = place.word and getattr(place, "path", "") == change.about
    return place.word if is_own else place.label


def _value(  # noqa: PLR0913, PLR0917 - a value, bare and painted
    head: str, bare: str, painted: str, width: int, paint: Paint, style: str
) -> Iterator[str]:
    if columns(head) + columns(bare) <= width or " " not in bare:
        yield head + painted
        return
    for line in led(head, bare, width, _VALUE):
        yield line[:_VALUE] + paint(line[_VALUE:], style)


def _tinted(before: str, after: str, paint: Paint) -> tuple[str, str]:
    """Colour the words that differ, of lists with commas; else the values as a whole."""
    if "," not in before + after or " " in before + after:
        return paint(before, GONE), paint(after, NEW)
    old, new = before.split(","), after.split(",")
    gone = ",".join(word if word in new else paint(word, GONE) for word in old)
    come = ",".join(word if word in old else paint(word, NEW) for word in new)
    return gone, come


def values(swap: Swap, who: Who = numbered) -> Iterator[tuple[str, str]]:
    """Before and after, of the attributes that differ only where a value has several."""
    place = swap.place
    differing = () if place.in_words else compare(swap.have, swap.want)
    if all(not difference.name for difference in differing):
        before, after = place.change(swap.have, swap.want, who)
        yield printable(before), printable(after)
        return
    for difference in differing:
        name, old, new = difference.name, difference.before, difference.after
        yield printable(f"{name} {old or 'none'}"), printable(f"{name} {new or 'none'}")


def _text_diff(swap: Swap, paint: Paint) -> Iterator[str]:
    old, new = ((text or "").splitlines() for text in (swap.have, swap.want))
    for line in list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]:
        if not line.startswith("@@"):
            told = f"{'':{_INDENT + 4}}{printable(line)}".rstrip()
            style = {"+": NEW, "-": GONE}.get(line[:1])
            yield paint(told, style) if style else told


def more(of: Plan) -> str:
    """How to read on about a code that is shown; "" where none is."""
    rows = [change.code for change in of.changes if change.code]
    notes = [note.code for change in of.changes for note in change.notes if note.code]
    if not (codes := dict.fromkeys([*rows, *notes])):
        return ""
    if len(codes) == 1:
        return f"`vmtune explain {printable(next(iter(codes)))}` says more about that code."
    return f"`vmtune explain CODE` says more about each code: {printable(', '.join(codes))}."


def summary(of: Plan, *, needs_root: bool = False) -> str:
    """The last line: what is to do, counted, or why there is nothing to do.

    It says why the exit code is what it is: what is refused or not seen is named where nothing
    else is left to do.
    """
    if not of.changes:
        return "Nothing is declared."
    if of.steps:
        reboot = "One option waits for a reboot." if of.waits else "No reboot."
        return f"{counted_each(counts(of))}. {'Needs root. ' * needs_root}{reboot}"
    _steps, _refused, _unseen, *others = counts(of)
    rest = counted_each(others)
    if named := _not_done(of):
        return f"Nothing to change; {'; '.join(filter(None, (*named, rest)))}."
    return f"Nothing to do{' now' if of.count(Op.WAITS) else ''}: {rest}."


def counts(of: Plan) -> list[tuple[int, str]]:
    """Return how many rows are to be changed, refused, not seen, waiting, in sync, and moot."""
    ops = (Op.BLOCKED, Op.UNKNOWN, Op.WAITS, Op.SAME)
    moot = sum(not change.applicable for change in of.changes)
    return [
        (len(of.steps), COUNTED[Op.CHANGE]),
        *((of.count(op), COUNTED[op]) for op in ops),
        (moot, "not applicable"),
    ]


def beside(of: Plan, named: Callable[[str], str] = str) -> Iterator[str]:
    """What is to be known beside the rows: entries that were not chosen, and claims.

    ``named`` names a file as the caller does.
    """
    if of.left_out:
        yield f"{counted(of.left_out, 'other entry', 'other entries')} not chosen."
    if of.claims and not of.actions:
        file = printable(named(of.claims.config))
        yield f"An `apply` that runs as root also notes what {file} declares."


def _named(of: Plan, op: Op) -> str:
    """Count the rows that say ``op``, and name the first; "" where there is none."""
    found = [change for change in of.changes if change.op is op and change.applicable]
    if not found:
        return ""
    first = printable(f"{found[0].kind} {found[0].name}")
    code = f" ({found[0].code})" if found[0].code else ""
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    return f"{len(found):,} {COUNTED[op]}: {first}{code}{more}"


def _not_done(of: Plan) -> list[str]:
    return [told for op in (Op.BLOCKED, Op.UNKNOWN) if (told := _named(of, op))]


def counted_rows(of: Plan, op: Op, width: int) -> Iterator[str]:
    """Count the rows that say ``op``, and name the first: why an exit code is 7, or 6."""
    if told := _named(of, op):
        yield from wrapped(told, width, 0)


def left(of: Plan, what: str) -> Iterator[str]:
    """Why a run that did all it could do does not end with 0: the last line."""
    if found := _not_done(of):
        yield f"{what}: {'; '.join(found)}."


_MOST_LEFT = 5


def awaited(names: Sequence[str]) -> str:
    """Count what is left of a wait, and name the first of it."""
    more = f"; and {len(names) - _MOST_LEFT:,} more" if len(names) > _MOST_LEFT else ""
    return printable(f"{len(names):,} left: {'; '.join(names[:_MOST_LEFT])}{more}")


def action(of: Action, who: Who = numbered) -> str:
    """An action on one line, short enough to be followed while it happens."""
    if isinstance(of, Notify):
        return of.name
    before = ", ".join(value for value, _ in values(of))
    return f"{where(of)}  {before}{_after(of, who)}"


def where(of: Action) -> str:
    """Name what an action changes."""
    return of.name if isinstance(of, Notify) else printable(of.place.full)


def _after(of: Action, who: Who) -> str:
    if isinstance(of, Notify):
        return ""
    return " -> " + ", ".join(value for _, value in values(of, who))


def begun(of: Action, which: str, width: int, who: Who = numbered) -> Iterator[str]:
    """An action that begins, behind ``which`` of how many: its place, and what it will hold."""
    return beside_words(f"  {which} ", action(of, who), width)


def result(outcome: str, of: Action, which: str, width: int, who: Who = numbered) -> Iterator[str]:
    """What became of an action: the number of its row, the outcome, its place, what it holds."""
    return beside_words(f"  {which} {outcome}   ", f"{where(of)}{_after(of, who)}", width)


def allowed(risks: Sequence[str]) -> str:
    """What stands behind the configuration's name where the command line allows risks."""
    return f"allowed for once: {', '.join(risks)}" if risks else ""


def heading(parts: Iterable[str], width: int, dot: str) -> Iterator[str]:
    """The first line: the host, the configuration, whether anything is changed."""
    shown = [printable(part) for part in parts if part]
    yield from wrapped(f" {dot} ".join(shown), width, 0, 2)


def problems(lines: Sequence[object]) -> str:
    """The first twenty, and how many more there are: one mistake may be found in each line."""
    told = [printable_lines(str(line)) for line in lines[:20]]
    if more := len(lines) - len(told):
        told.append(f"and {counted(more, 'more problem')}: mend these first")
    return "\n".join(told)


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
