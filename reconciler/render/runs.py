"""The journal as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.model import Swap
from reconciler.core.sizes import counted
from reconciler.render import text
from reconciler.render.layout import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.written import Run


def listed(runs: Sequence[Run]) -> Iterator[str]:
    """A line a run, oldest first."""
    if not runs:
        yield "nothing was done here yet"
    for run in runs:
        yield f"{run.number:>5}  {_when(run.started)}  {_head(run)}"


def whole(run: Run) -> Iterator[str]:
    """One run with its actions and what became of each."""
    yield f"run {run.number}   {_head(run)}"
    yield f"started {_when(run.started)}   ended {_when(run.finished) if run.finished else '-'}"
    yield f"config {printable(run.config)}"
    yield ""
    for number, action in enumerate(run.actions, 1):
        yield f"  {_outcome(run, number):<12} {text.action(action)}"


def _head(run: Run) -> str:
    swaps = [n for n, action in enumerate(run.actions, 1) if isinstance(action, Swap)]
    done = sum(run.outcomes.get(number) == "done" for number in swaps)
    many = counted(len(swaps), "change")
    result = run.result or "cut off"
    return f"{printable(run.command)} by {printable(run.user)}: {result}, {done} of {many}"


def _outcome(run: Run, number: int) -> str:
    if number in run.outcomes:
        return run.outcomes[number]
    return "cut off" if number in run.begun else "not done"


def _when(time: str) -> str:
    return time.replace("T", " ")[:19]
