"""How things stand, as lines of text: the rows of the plan, each place in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.places import OFF, TextFile
from reconciler.render import text
from reconciler.render.layout import plain, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from reconciler.core.model import Plan
    from reconciler.core.status import Standing
    from reconciler.render.layout import Paint

_INDENT = 6


def status(
    of: Plan, standings: Sequence[Standing], width: int = 80, paint: Paint = plain
) -> Iterator[str]:
    """Every row with the places behind it, then the summary."""
    for change in of.changes:
        yield from text.row(change, width, text.column(of, width), paint)
        owner = f"{change.kind} {change.name}"
        for standing in (s for s in standings if s.owner == owner and not _idle(s)):
            yield from wrapped(
                f"{printable(standing.place.label)}: {_words(standing)}", width, _INDENT
            )
        yield from text.remarks(change, width)
    yield ""
    yield from wrapped(text.summary(of), width, 0)


def _idle(standing: Standing) -> bool:
    """Nothing is wanted there and nothing is there: the scheduler that was not chosen, say."""
    return standing.is_as_wanted and standing.wanted in {None, OFF, ()}


def _words(standing: Standing) -> str:
    """Wanted, there and last written, in as few words as tell them apart."""
    was = standing.written
    if standing.is_as_wanted:
        by = f", set by run {was.run}" if was and was.values[-1] == standing.wanted else ""
        return f"{_value(standing, standing.there)}, as wanted{by}"
    wanted = f"wanted {_value(standing, standing.wanted)}, there {_value(standing, standing.there)}"
    if standing.is_drift and was:
        return f"{wanted}; changed by someone else since run {was.run} set it"
    if was:
        return f"{wanted}; run {was.run} wrote {_value(standing, was.values[-1])}"
    return f"{wanted}; not applied yet"


def _value(standing: Standing, value: Any) -> str:
    """A file is not told by its length where its wanted and its present text differ in words."""
    if isinstance(standing.place, TextFile) and value is not None:
        return "vmtune's text" if value == standing.wanted else "another text"
    return printable(standing.place.words(value))
