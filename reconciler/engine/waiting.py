"""What a plan comes to once everybody has let go of what is used: ``apply --wait`` does that.

A refused row says whether a use is all that is in the way (``Change.waits``). The kinds know
that; here nothing knows a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Op
from reconciler.value import replace

if TYPE_CHECKING:
    from reconciler.engine.model import Change, Plan, Wait


def awaited(plan: Plan) -> tuple[Wait, ...]:
    """Return what is refused only because of a use, in the order of the rows."""
    return tuple(wait for row in plan.changes for wait in row.waits)


def expected(plan: Plan) -> Plan:
    """Return the plan with what is awaited as changes, to be done behind all others."""
    rows = tuple(_changed(row) if row.waits else row for row in plan.changes)
    swaps = tuple(wait.swap for wait in awaited(plan))
    return replace(plan, changes=rows, actions=(*plan.actions, *swaps))


def _changed(row: Change) -> Change:
    text = f"waits for the end of this: {row.waits[0].why}"
    if more := len(row.waits) - 1:
        text = f"{text} (and {more:,} more)"
    swaps = tuple(wait.swap for wait in row.waits)
    return replace(row, op=Op.CHANGE, text=text, hint="", swaps=swaps)
