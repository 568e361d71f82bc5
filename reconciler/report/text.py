"""A plan, and what became of it, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.diff import compare
from reconciler.engine.managed_files import TextFile
from reconciler.engine.model import Notify
from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import counted
from reconciler.report.wrap import hanging, plain, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.claims import Claims
    from reconciler.engine.model import Action, Change, Plan, Swap
    from reconciler.report.wrap import Paint


_INDENT = 6

_NAMES = 40
"""Columns up to which texts line up behind the names."""

COUNTED = (
    (Op.ADD, "to add"),
    (Op.CHANGE, "to change"),
    (Op.REMOVE, "to remove"),
    (Op.BLOCKED, "blocked"),
    (Op.UNKNOWN, "unknown"),
    (Op.SAME, "in sync"),
)

WAITING = (Op.WAITS, "waiting for a reboot")
"""Counted only where there is something of it."""


def plan(
    of: Plan, width: int = 80, paint: Paint = plain, *, verbose: bool = False
) -> Iterator[str]:
    """Row by row as declared, then the summary; ``verbose`` shows whole texts of files."""
    if not of.changes:
        yield "  nothing is declared"
    yield from rows(of.changes, width, paint, verbose=verbose)
    yield ""
    yield from wrapped(summary(of), width, 0)


def rows(
    of: Sequence[Change], width: int, paint: Paint = plain, *, verbose: bool = False
) -> Iterator[str]:
    """The rows without the summary."""
    behind = column(of, width)
    for change in of:
        yield from row(change, width, behind, paint)
        for swap in change.swaps:
            yield from _swap(swap, width, verbose=verbose)
        yield from remarks(change, width)


def column(of: Sequence[Change], width: int) -> int:
    """Where the texts behind the names begin."""
    longest = max((len(_head(change)) for change in of), default=0)
    return min(_NAMES, width // 2, longest + 3)


def _head(change: Change) -> str:
    return printable(f"  {change.op.value} {change.kind} {change.name}")


def row(change: Change, width: int, column: int, paint: Paint) -> Iterator[str]:
    """The symbol, the name and what is said of it."""
    head = _head(change)
    text = change.text + (f"   {change.code}" if change.code else "")
    # Behind a name that is longer than most there is no room for a column.
    indent = column if len(head) + 2 <= column else _INDENT
    lines = list(hanging(f"{head}  ".ljust(column), printable(text), width, indent))
    lines[0] = lines[0].replace(change.op.value, paint(change.op.value, change.op), 1)
    yield from lines


def remarks(change: Change, width: int) -> Iterator[str]:
    """What is to be known beside it, and what to do about it."""
    for note in change.notes:
        code = f"   {note.code}" if note.code else ""
        yield from wrapped(printable(note.text + code), width, _INDENT)
    if change.hint:
        yield from wrapped(printable(change.hint), width, _INDENT)


def _swap(swap: Swap, width: int, *, verbose: bool) -> Iterator[str]:
    label = f"{'':{_INDENT}}{printable(swap.place.label)}   "
    for before, after in _values(swap):
        why = f"   {printable(swap.why)}" if swap.why else ""
        line = f"{label}{before}  ->  {after}"
        if len(line) <= width:
            yield from hanging(line, why, width, _INDENT + 4)
            continue
        if len(label) + max(len(before), len(after)) > width:
            yield label.rstrip()
            label = " " * (_INDENT + 6)
            if len(label) + len(before) + len(after) + len("  ->  ") <= width:
                yield from hanging(f"{label}{before}  ->  {after}", why, width, len(label))
                continue
        yield from hanging(label, before, width, len(label))
        yield from hanging(f"{'->  ':>{len(label)}}", f"{after}{why}", width, len(label))
    if verbose and isinstance(swap.place, TextFile):
        yield from _text_diff(swap)


def _values(swap: Swap) -> Iterator[tuple[str, str]]:
    """Before and after, of the attributes that differ only where a value has several."""
    if isinstance(swap.place, TextFile):
        yield _file(swap.have), _file(swap.want)
        return
    differing = () if swap.place.in_words else compare(swap.have, swap.want)
    if all(not difference.name for difference in differing):
        yield _words(swap, swap.have), _words(swap, swap.want)
        return
    words = {"nocow": ("copy-on-write", "nocow")}
    for difference in differing:
        name, before, after = difference.name, difference.before, difference.after
        if name == "compression":
            yield _property(before), _property(after)
        elif name in words:
            yield words[name][bool(before)], words[name][bool(after)]
        else:
            yield printable(f"{name} {before or 'none'}"), printable(f"{name} {after or 'none'}")


def _property(value: str) -> str:
    return f"compression {printable(value)}" if value else "no compression property"


def _words(swap: Swap, value: Any) -> str:
    return printable(swap.place.words(value))


def _file(value: str | None) -> str:
    return "none" if value is None else counted(len(value.splitlines()), "line")


def _text_diff(swap: Swap) -> Iterator[str]:
    import difflib  # noqa: PLC0415 - only where whole texts are asked for

    old, new = ((text or "").splitlines() for text in (swap.have, swap.want))
    for line in list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]:
        if not line.startswith("@@"):
            yield f"{'':{_INDENT + 4}}{printable(line)}".rstrip()


def more(of: Plan) -> str:
    """How to read on about a code that is shown; "" where none is."""
    rows = [change.code for change in of.changes if change.code]
    notes = [note.code for change in of.changes for note in change.notes if note.code]
    codes = rows or notes
    return f"`vmtune explain {printable(codes[0])}` says what is behind a code." if codes else ""


def summary(of: Plan) -> str:
    """What sets the exit code, counted."""
    counts = {op: of.count(op) for op, _ in COUNTED}
    waits, apart = of.count(Op.WAITS), sum(not change.applicable for change in of.changes)
    more = f", {waits} {WAITING[1]}" if waits else ""
    more += f", {apart} not applicable" if apart else ""
    if not of.actions and not counts[Op.BLOCKED] and not counts[Op.UNKNOWN]:
        return f"Nothing to do{' now' if waits else ''}: {counts[Op.SAME]} in sync{more}."
    told = ", ".join(f"{counts[op]} {word}" for op, word in COUNTED)
    return f"{told}{more}."


def beside(of: Plan, width: int) -> Iterator[str]:
    """What is to be known beside the rows: entries that were not chosen, and claims."""
    if of.left_out:
        yield from wrapped(f"{counted(of.left_out, 'other entry', 'other entries')} not chosen.",
                           width, 0)  # fmt: skip
    if of.claims and not of.actions:
        yield from wrapped(claims_in_words(of.claims), width, 0)


def claims_in_words(of: Claims) -> str:
    """What ``apply`` puts on record beside its changes."""
    return f"`apply` also notes what {printable(of.config)} declares now."


def counted_rows(of: Plan, op: Op, width: int) -> Iterator[str]:
    """Count the rows that say ``op``, and name the first: why an exit code is 7, or 6."""
    found = [change for change in of.changes if change.op is op and change.applicable]
    if not found:
        return
    first = printable(f"{found[0].kind} {found[0].name}")
    code = f" ({found[0].code})" if found[0].code else ""
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    what = "refused" if op is Op.BLOCKED else "not seen"
    yield from wrapped(f"{len(found):,} {what}: {first}{code}{more}", width, 0)


_MOST_LEFT = 5


def left(names: Sequence[str]) -> str:
    """Count what is left of a wait, and name the first of it."""
    more = f"; and {len(names) - _MOST_LEFT:,} more" if len(names) > _MOST_LEFT else ""
    return printable(f"{len(names):,} left: {'; '.join(names[:_MOST_LEFT])}{more}")


def action(of: Action) -> str:
    """An action on one line, short enough to be followed while it happens."""
    if isinstance(of, Notify):
        return of.name
    before = ", ".join(value for value, _ in _values(of))
    return f"{where(of)}  {before}{_after(of)}"


def where(of: Action) -> str:
    """Name what an action changes."""
    return of.name if isinstance(of, Notify) else printable(of.place.full)


def _after(of: Action) -> str:
    return "" if isinstance(of, Notify) else " -> " + ", ".join(value for _, value in _values(of))


def result(outcome: str, of: Action, number: int, total: int) -> str:
    """What became of an action: its number, the outcome, its place and what it now holds."""
    return f"  [{number}/{total}] {outcome}   {where(of)}{_after(of)}"


def allowed(risks: Sequence[str]) -> str:
    """What stands behind the configuration's name where the command line allows risks."""
    return f"   allowed for once: {', '.join(risks)}" if risks else ""


def header(head: str, remark: str, width: int) -> Iterator[str]:
    """The first line; what does not fit goes below."""
    head, remark = printable(head), printable(remark)
    whole = f"{head}   {remark}" if remark else head
    if len(whole) <= width:
        yield whole
        return
    yield head
    if remark:
        yield remark


MOST_PROBLEMS = 20


def problems(lines: Sequence[object]) -> str:
    """The first twenty, and how many more there are: one mistake may be found in each line."""
    told = [printable_lines(str(line)) for line in lines[:MOST_PROBLEMS]]
    if more := len(lines) - len(told):
        told.append(f"and {counted(more, 'more problem')}: mend these first")
    return "\n".join(told)


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))
