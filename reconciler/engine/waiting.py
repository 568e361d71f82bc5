"""What a plan comes to once everybody has let go of what is used: ``apply --wait`` does that.

A refused row says whether a use is all that is in the way (``Change.waits``). The kinds know
that; here nothing knows a kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.engine import restore
from reconciler.engine.order import in_turn
from reconciler.facts.diagnostics import COST, WHY, Note, Op

if TYPE_CHECKING:
    from reconciler.engine.model import Change, Plan, Wait


def awaited(plan: Plan) -> tuple[Wait, ...]:
    """Return what is refused only because of a use, in the order of the rows."""
    return tuple(wait for row in plan.changes for wait in row.waits)


def expected(plan: Plan) -> Plan:
    """Return the plan with what is awaited as changes, to be done behind all others."""
    rows = [_changed(row) if row.waits else row for row in plan.changes]
    actions = (*plan.actions, *(wait.swap for wait in awaited(plan)))
    return replace(plan, changes=in_turn(rows, actions), actions=actions)


def _changed(row: Change) -> Change:
    why = row.waits[0].why
    if more := len(row.waits) - 1:
        why = f"{why} (and {more:,} more)"
    swaps = tuple(wait.swap for wait in row.waits)
    cost = [Note("`revert` cannot take this back", label=COST)]
    cost *= any(map(restore.is_final, swaps))
    takes = row.waits[0].notes if len(row.waits) == 1 else ()
    notes = (Note(why, label=WHY), *row.notes, *takes, *cost)
    text = "done as soon as it is let go"
    return replace(row, op=Op.CHANGE, text=text, hint="", swaps=swaps, notes=notes)
