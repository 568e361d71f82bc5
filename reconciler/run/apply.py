"""Doing a plan: compare-and-swap, one place after the other, read back each time."""

from __future__ import annotations

from enum import Enum

from reconciler.core.model import Poke, Swap
from reconciler.core.snapshot import Hidden
from reconciler.core.watch import Stopped, Watch
from reconciler.host import readers, writers
from reconciler.host.refused import Refused
from reconciler.value import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.core.model import Action
    from reconciler.core.watch import Step


class Outcome(Enum):
    """What became of an action."""

    DONE = "done"
    ALREADY = "already so"
    STALE = "changed since the plan"
    FAILED = "failed"
    SKIPPED = "not done"


@dataclass(frozen=True, slots=True)
class Result:
    """An action and what became of it; ``why`` explains anything but done and already."""

    action: Action
    outcome: Outcome
    why: str = ""
    hint: str = ""


BAD = frozenset({Outcome.STALE, Outcome.FAILED})


def apply(
    actions: Sequence[Action],
    started: Callable[[Action], None],
    ended: Callable[[Result], None],
    stop: Callable[[], bool],
    going: Callable[[Step], None] = lambda _step: None,
) -> tuple[Result, ...]:
    """Each action in order; none after the first that did not go well, or once told to stop.

    Every place is read again just before it is put: a value that is already
    as wanted is left alone, one that is neither stops the run untouched. What
    takes long tells ``going`` how far it is, and ends early once told to stop.
    """
    watch = Watch(going, stop)
    results: list[Result] = []
    for action in actions:
        if stop() or (results and results[-1].outcome in BAD | {Outcome.SKIPPED}):
            results.append(Result(action, Outcome.SKIPPED))
            continue
        started(action)
        results.append(_do(action, watch))
        ended(results[-1])
    return tuple(results)


def _do(action: Action, watch: Watch) -> Result:
    try:
        return _swap(action, watch) if isinstance(action, Swap) else _poke(action)
    except Refused as refused:
        return Result(action, Outcome.FAILED, refused.message, refused.hint)
    except Hidden as hidden:
        return Result(action, Outcome.FAILED, hidden.why)
    except Stopped as stopped:
        return Result(action, Outcome.SKIPPED, stopped.why)


def _poke(action: Poke) -> Result:
    writers.poke(action.name)
    return Result(action, Outcome.DONE)


def _swap(action: Swap, watch: Watch) -> Result:
    place = action.place
    now = readers.look()(place)
    if now == action.want:
        return Result(action, Outcome.ALREADY)
    if now != action.have and not place.half_done(action.have, now, action.want):
        why = f"planned on {place.words(action.have)}, found {place.words(now)}"
        return Result(action, Outcome.STALE, why)
    writers.put(place, now, action.want, watch)
    then = readers.look()(place)
    if then != action.want:
        why = f"wrote {place.words(action.want)}, read back {place.words(then)}"
        return Result(action, Outcome.FAILED, why)
    return Result(action, Outcome.DONE)
