"""How things stand, as lines of text: verdict, rows of the plan, places, and what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import tries
from reconciler.core.model import Op
from reconciler.core.places import OFF, TextFile
from reconciler.render import bars, effect, text
from reconciler.render.layout import plain, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model import Plan
    from reconciler.core.status import Report, Standing
    from reconciler.render.layout import Paint

_INDENT = 6


def status(
    of: Report, width: int = 80, paint: Paint = plain, style: bars.Style = bars.PLAIN
) -> Iterator[str]:
    """The verdict, every row with the places behind it, then what it brought."""
    behind: dict[str, list[Standing]] = {}
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
    yield from effect.effect(of.effect, width, style)


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


def _idle(standing: Standing) -> bool:
    """Nothing is wanted there and nothing is there: the scheduler that was not chosen, say."""
    return standing.is_as_wanted and standing.wanted in {None, OFF, ()}


def _words(standing: Standing) -> str:
    """Wanted, there and last written, in as few words as tell them apart."""
    was = standing.written
    if standing.is_as_wanted:
        by = f", set by run {was.run}" if was and tries.is_set(was, standing.wanted) else ""
        return f"{_value(standing, standing.there)}, as wanted{by}"
    wanted = f"wanted {_value(standing, standing.wanted)}, there {_value(standing, standing.there)}"
    if standing.is_drift and was:
        return f"{wanted}; changed by someone else since run {was.run} set it"
    if standing.tried and standing.tried.outcome != "done":
        told = printable(tries.told(standing.tried, standing.place, standing.wanted))
        return f"{wanted}; {told}; not applied yet"
    if was and not was.certain:
        return f"{wanted}; run {was.run} tried and did not finish; not applied yet"
    if was:
        return f"{wanted}; run {was.run} wrote {_value(standing, was.values[-1])}"
    return f"{wanted}; not applied yet"


def _value(standing: Standing, value: Any) -> str:
    """A file is not told by its length where its wanted and its present text differ in words."""
    if isinstance(standing.place, TextFile) and value is not None:
        return "vmtune's text" if value == standing.wanted else "another text"
    return printable(standing.place.words(value))
