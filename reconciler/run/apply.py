"""Doing a plan: compare-and-swap, one place after the other, read back each time."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING

from reconciler.core.differs import found_instead
from reconciler.core.model import Poke, Swap
from reconciler.core.snapshot import Hidden
from reconciler.core.watch import Stopped, Watch
from reconciler.host import readers, writers
from reconciler.host.refused import Refused
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.core.model import Action
    from reconciler.core.needs import Needs
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
    """An action and what became of it; ``why`` explains anything but done and already.

    ``because`` is the action that failed, where this one was not done because it needs that one.
    ``lost`` says that after a fault the place could not be read either: then nothing more is done.
    """

    action: Action
    outcome: Outcome
    why: str = ""
    hint: str = ""
    because: Action | None = None
    lost: bool = False


BAD = frozenset({Outcome.STALE, Outcome.FAILED})
GOOD = frozenset({Outcome.DONE, Outcome.ALREADY})


def apply(  # noqa: PLR0913, PLR0917 - whom to tell, and when to stop
    actions: Sequence[Action],
    needs: Needs,
    started: Callable[[int, Action], None],
    ended: Callable[[int, Result], None],
    stop: Callable[[], bool],
    going: Callable[[Step], None] = lambda _step: None,
) -> tuple[Result, ...]:
    """Do each action in order; leave out those that ``needs`` one that failed; end once told to.

    Every place is read again just before it is put: a value that is already
    as wanted is left alone, one that is neither is left untouched and counts as a failure.
    ``started`` and ``ended`` are told the number of the action, from 1. What takes long tells
    ``going`` how far it is, and ends early once told to stop.
    """
    watch = Watch(going, stop)
    results: list[Result] = []
    roots: dict[Action, Action] = {}
    """Each action that was not done, with the failure behind that."""
    is_over = False
    for number, action in enumerate(actions, 1):
        is_over = is_over or stop()
        because = None if is_over else needs.missing(action, roots)
        if is_over or because:
            root = roots[because] if because else None
            results.append(Result(action, Outcome.SKIPPED, because=root))
        else:
            started(number, action)
            results.append(_do(action, watch))
            ended(number, results[-1])
            is_over = results[-1].lost or results[-1].outcome is Outcome.SKIPPED
        if results[-1].outcome not in GOOD:
            roots[action] = results[-1].because or action
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
    except Exception as error:
        if os.environ.get("VMTUNE_DEBUG"):
            raise
        return _fault(action, error)


def _fault(action: Action, error: Exception) -> Result:
    """Make a fault of vmtune a failure of this action alone, as long as its place can be read."""
    why = f"a fault of vmtune: {type(error).__name__}: {error}"
    hint = "VMTUNE_DEBUG=1 shows where; please report it"
    try:
        if isinstance(action, Swap):
            readers.look()(action.place)
    except Exception:  # noqa: BLE001 - whatever it is, nobody can tell what is there
        return Result(action, Outcome.FAILED, why, hint, lost=True)
    return Result(action, Outcome.FAILED, why, hint)


def _poke(action: Poke) -> Result:
    writers.poke(action.name)
    return Result(action, Outcome.DONE)


def _swap(action: Swap, watch: Watch) -> Result:
    place = action.place
    now = readers.look()(place)
    if now == action.want:
        return Result(action, Outcome.ALREADY)
    if now != action.have and not place.half_done(action.have, now, action.want):
        why = f"planned on {found_instead(place, action.have, now)}"
        return Result(action, Outcome.STALE, why)
    writers.put(place, now, action.want, watch)
    then = readers.look()(place)
    if then != action.want:
        why = f"wrote {found_instead(place, action.want, then, 'read back')}"
        return Result(action, Outcome.FAILED, why)
    return Result(action, Outcome.DONE)
