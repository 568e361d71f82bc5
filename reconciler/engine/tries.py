"""What vmtune tried at a place, and whether somebody else changed it afterwards.

Only a writing that was done and read back (``certain``) can be changed by someone else since.
One that failed, or that was cut off by a kill, may never have been there at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.place import Swap
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reconciler.engine.last_applied import Run
    from reconciler.engine.place import LastApplied, Place


_TRIED = frozenset({"done", "failed", "changed since the plan"})

CUT_OFF = "cut off"


class Try(Value):
    """The last time that a run put a place, or tried to: what for, and how that ended.

    ``outcome`` is that of the journal, or CUT_OFF. ``why`` is "" where it is not known or may
    not be read.
    """

    run: int
    want: Any
    outcome: str
    why: str = ""


def is_set(was: LastApplied | None, wanted: Any) -> bool:
    """Tell whether vmtune put the value that is wanted there, and read it back."""
    return bool(was and was.certain and was.values[-1] == wanted)


def is_drift(was: LastApplied | None, wanted: Any, there: Any) -> bool:
    """Tell whether someone else changed a place since vmtune put the wanted value there."""
    return bool(there != wanted) and is_set(was, wanted)


def last(runs: Iterable[Run], whys: Callable[[int], Mapping[int, str]]) -> dict[Place[Any], Try]:
    """Find the last try at each place, by the place without_left_out.

    ``whys`` gives a run's reasons by action.
    """
    found: dict[Place[Any], tuple[Run, int, Swap, str]] = {}
    for run in runs:
        for number, action in enumerate(run.actions, 1):
            ended = run.outcomes.get(number, CUT_OFF if number in run.begun else "")
            if isinstance(action, Swap) and ended in {*_TRIED, CUT_OFF}:
                found[action.place.without_left_out()] = run, number, action, ended
    return {
        place: Try(
            run.number,
            swap.want,
            ended,
            "" if ended == "done" else whys(run.number).get(number, ""),
        )
        for place, (run, number, swap, ended) in found.items()
    }


def told_of_try(of: Try, place: Place[Any], wanted: Any) -> str:
    """Say what became of a try that did not end well."""
    what = "" if of.want == wanted else f" to make it {place.words(of.want)}"
    if of.outcome == CUT_OFF:
        return f"run {of.run} was ended in the middle of trying{what or ' that'}"
    why = f": {of.why}" if of.why else ""
    return f"run {of.run} tried{what} and failed{why}"
