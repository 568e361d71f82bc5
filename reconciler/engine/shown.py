"""Whether what is to be done now is no more than what a person was shown before.

Between showing a plan and doing it the host may change. Another run may have done
some of the plan: then less is left, which is fine. A program may have opened an image:
then that image is left out, and the others are still done. What nobody was shown is not done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.diff import found_instead
from reconciler.engine.order import what
from reconciler.engine.place import Swap
from reconciler.facts import limits
from reconciler.facts.diagnostics import Op
from reconciler.formats.paths import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.engine.model import Action, Change, Plan
    from reconciler.engine.place import Place


_IN_USE = frozenset({"V702", "V705"})
"""The codes of rows that say of an image that a program has it open."""

_KEPT_BACK = frozenset({Op.BLOCKED, Op.UNKNOWN})


def twin(action: Action, among: Iterable[Action]) -> Action | None:
    """Find the action that puts the same place, whichever images are left out, or does the same."""
    about = what(action)
    return next((each for each in among if what(each) == about), None)


def is_among(action: Action, among: Sequence[Action]) -> bool:
    """Tell whether other actions do what an action does, perhaps one of its parts each."""
    if twin(action, among):
        return True
    parts = action.place.parts(action.have) if isinstance(action, Swap) else None
    return parts is not None and parts <= _parts(among)


def _parts(of: Iterable[Action]) -> frozenset[Place[Any]]:
    swaps = (each for each in of if isinstance(each, Swap))
    found = (swap.place.parts(swap.have) for swap in swaps)
    return frozenset().union(*(parts for parts in found if parts is not None))


def is_no_more(now: Action, then: Action | None) -> bool:
    """Tell whether ``now`` does what ``then`` was to do, or what is left of that.

    The reason behind an action and the row that it serves do not count.
    """
    if not isinstance(now, Swap) or not isinstance(then, Swap):
        return now == then
    if what(now) != what(then) or now.want != then.want:
        return False
    if not then.place.left_out <= now.place.left_out:
        return False  # an image that was shown as left out must not be rewritten
    return now.place.is_rest(now.have, then.have, then.want)


def unseen(shown: Plan, now: Plan) -> tuple[Action, ...]:
    """Find the actions of the plan ``now`` that nobody was shown.

    Where it was shown that something is waited for, that may be free by now, and what was free
    may be waited for: then the parts of an action tell whether it was shown.
    """
    waits = any(row.waits and row.swaps for row in (*shown.changes, *now.changes))
    known = _parts(shown.actions) if waits else frozenset()
    return tuple(
        each
        for each in now.actions
        if not is_no_more(each, twin(each, shown.actions))
        and not _is_in_parts(each, shown.actions, known)
    )


def _is_in_parts(action: Action, shown: Sequence[Action], known: frozenset[Place[Any]]) -> bool:
    """Tell whether an action only does what others, or parts of others, were shown to do."""
    if not known or not isinstance(action, Swap):
        return False
    parts = action.place.parts(action.have)
    if parts is None or (action.place in parts and twin(action, shown)):
        return False  # of one whole that was shown the values tell
    return parts <= known


def refused(shown: Plan, now: Plan) -> tuple[Change, ...]:
    """Find the rows that are refused now, and were not when the plan was shown."""
    known = {(row.kind, row.name) for row in shown.changes if row.op is Op.BLOCKED or row.waits}
    return tuple(
        row for row in now.changes if row.op is Op.BLOCKED and (row.kind, row.name) not in known
    )


def held(shown: Plan) -> bool:
    """Tell whether an image is left for what may be over soon: a program has it open, or a lease.

    Another run of vmtune that rewrites the image is such a program.
    """
    return any(row.code in {*_IN_USE, limits.LEASED} for row in shown.changes)


def opened(shown: Plan, now: Plan) -> tuple[Change, ...]:
    """Find the rows of images that somebody has opened since the plan was shown."""
    return tuple(row for row in refused(shown, now) if row.code in _IN_USE)


def kept_back(shown: Plan, now: Plan) -> tuple[Change, ...]:
    """Find the rows that are refused or unseen now, and were not when the plan was shown."""
    known = {(row.kind, row.name) for row in shown.changes if row.op in _KEPT_BACK}
    known -= {(row.kind, row.name) for row in opened(shown, now)}
    return tuple(
        row for row in now.changes if row.op in _KEPT_BACK and (row.kind, row.name) not in known
    )


def is_about(row: Change, action: Action) -> bool:
    """Tell whether a row is that of the entry which an action serves, or of an image below it."""
    if not isinstance(action, Swap):
        return False
    entries = {action.owner.partition(" ")[2], getattr(action.place, "path", "")} - {""}
    return any(is_at_or_below(row.name, entry) for entry in entries)


def moved(shown: Plan, now: Plan) -> Iterator[str]:
    """Say of each action that nobody was shown what it is, or how it differs from the one shown."""
    for action in unseen(shown, now):
        then = twin(action, shown.actions)
        if not isinstance(action, Swap):
            yield f"{action.name}: not in the plan that was shown"
            continue
        place = action.place
        if not isinstance(then, Swap):
            values = f"{place.words(action.have)} -> {place.words(action.want)}"
            yield f"{place.full}: not in the plan that was shown: {values}"
        elif action.want != then.want:
            wanted = found_instead(place, then.want, action.want, "now")
            yield f"{place.full}: shown to become {wanted}"
        elif action.have != then.have:
            yield f"{place.full}: planned on {found_instead(place, then.have, action.have)}"
        else:
            freed = ", ".join(sorted(then.place.left_out - place.left_out))
            yield f"{place.full}: shown as left out, and free now: {freed}"
