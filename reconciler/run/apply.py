"""Doing a plan: compare-and-swap, one place after the other, read back each time.

How images lie is kept in the run's record, before and after.
"""

from __future__ import annotations

import os
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from reconciler.engine.diff import found_instead
from reconciler.engine.last_applied import Seen
from reconciler.engine.place import Swap, path_of
from reconciler.engine.reporter import Cancelled, Reporter
from reconciler.errors import HostError, StillUsed
from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import LayoutsOf
from reconciler.linux import selinux
from reconciler.resources import reads, writes
from reconciler.run import journal
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.order import Needs
    from reconciler.engine.reporter import Progress
    from reconciler.facts.host_view import HostView


class Outcome(Enum):
    """What became of an action."""

    DONE = "done"
    ALREADY = "already so"
    STALE = "changed since the plan"
    FAILED = "failed"
    SKIPPED = "not done"


class Result(Value):
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
    unverified: str = ""
    """Why what was done could not be verified by the program that is asked for that."""
    used: bool = False
    """Whether it failed only because something is used by somebody."""


BAD = frozenset({Outcome.STALE, Outcome.FAILED})

GOOD = frozenset({Outcome.DONE, Outcome.ALREADY})


def apply(  # noqa: PLR0913, PLR0917 - whom to tell, and when to stop
    actions: Sequence[Action],
    needs: Needs,
    started: Callable[[int, Action], None],
    ended: Callable[[int, Result], None],
    stop: Callable[[], bool],
    going: Callable[[Progress], None],
    step: Callable[[int, str, str], None],
    run: int,
) -> tuple[Result, ...]:
    """Do each action in order; leave out those that ``needs`` one that failed; end once told to.

    Every place is read again just before it is put: a value that is already
    as wanted is left alone, one that is neither is left untouched and counts as a failure.
    ``started`` and ``ended`` are told the number of the action, from 1. What takes long tells
    ``going`` how far it is, and ends early once told to stop. ``step`` is told the number of the
    action, what a step of it is about, and what the step is; ``run`` is the number of the run.
    """
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
            results.append(_do(action, Reporter(going, stop, partial(step, number), run)))
            ended(number, results[-1])
            is_over = results[-1].lost or results[-1].outcome is Outcome.SKIPPED
        if results[-1].outcome not in GOOD:
            roots[action] = results[-1].because or action
    return tuple(results)


def _do(action: Action, watch: Reporter) -> Result:
    try:
        if isinstance(action, Swap):
            return _swap(action, watch)
        writes.notify(action.name)
        return Result(action, Outcome.DONE)
    except HostError as refused:
        used = isinstance(refused, StillUsed)
        hint = refused.hint or selinux.hint(refused.message)
        return Result(action, Outcome.FAILED, refused.message, hint, used=used)
    except NotVisible as hidden:
        return Result(action, Outcome.FAILED, hidden.why)
    except Cancelled as stopped:
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
            reads.look()(action.place)
    except Exception:  # noqa: BLE001 - whatever it is, nobody can tell what is there
        return Result(action, Outcome.FAILED, why, hint, lost=True)
    return Result(action, Outcome.FAILED, why, hint)


def _swap(action: Swap, watch: Reporter) -> Result:
    place = action.place
    now = reads.look()(place)
    if now == action.want:
        return Result(action, Outcome.ALREADY)
    if now != action.have and not place.half_done(action.have, now, action.want):
        why = f"planned on {found_instead(place, action.have, now)}"
        return Result(action, Outcome.STALE, why)
    unverified = writes.put(place, now, action.want, watch)
    then = reads.look()(place)
    if then != action.want:
        why = f"wrote {found_instead(place, action.want, then, 'read back')}"
        return Result(action, Outcome.FAILED, why)
    return Result(action, Outcome.DONE, unverified=unverified)


def seen(actions: Sequence[Action], host: HostView | None = None) -> tuple[Seen, ...]:
    """The largest images below each directory that is changed; what cannot be seen is left out."""
    host, secret = host or reads.look(), journal.secret() or b""
    found: dict[str, Seen] = {}
    for path, apart in _tops(actions).items():
        try:
            measured = host(LayoutsOf(path, apart)).measured
        except NotVisible:  # it is there for people to read, not for the run to depend on
            continue
        for of in measured:
            if of.fragments is not None:
                key = of.key(secret)
                found[key] = Seen(
                    key, of.inode, of.size, of.nocow, of.fragments, of.compressed, of.shared
                )
    return tuple(found.values())


def _tops(actions: Sequence[Action]) -> dict[str, tuple[str, ...]]:
    """Directories with what is declared on its own below them; those yet to be made hold none."""
    found: dict[str, tuple[str, ...]] = {}
    for place, have in ((each.place, each.have) for each in actions if isinstance(each, Swap)):
        if place.in_a_tree and have not in {None, place.nothing}:
            path = path_of(place)
            found[path] = getattr(place, "apart", ()) or found.get(path, ())
    return found
