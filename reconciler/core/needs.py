"""Which actions of a plan cannot be done once another one of them has failed.

An action that failed keeps back what needs it, and nothing else. Four rules say
what needs it (docs/design.md, "One failure stays one"):

1. Within one row of the plan, what is done later needs what is done before it:
   the line of fstab needs the live option, the timer needs its unit file. What
   has the same place in the order (two live options) is independent.
2. What lies in or below a directory needs the action that makes that directory, or
   turns it into a subvolume. What else is done to the same directory needs the
   action on its attributes.  A directory can only go once what is in it has gone.
3. A timer is switched on only after systemd has read its unit files.
4. A row with a note that it waits for the images (AFTER_IMAGES) needs them rewritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.images import Images, PropertyBelow, Strays
from reconciler.core.model import AFTER_IMAGES, Poke, Swap
from reconciler.core.order import sort_key
from reconciler.core.places import OFF, Below, Directory, Timer
from reconciler.core.subvolume import MISSING, Subvolume

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.model import Action, Change
    from reconciler.core.places import Place

_GROUND = (Directory, Subvolume)
_IN_A_TREE = (*_GROUND, Below, Images, PropertyBelow, Strays)


class Needs:
    """Answer for the rows of one plan what an action needs."""

    def __init__(self, changes: Sequence[Change]) -> None:
        rows = [change for change in changes if change.swaps]
        self._rows = [frozenset(swap.place for swap in row.swaps) for row in rows]
        self._waiting = {
            place
            for row, places in zip(rows, self._rows, strict=True)
            if any(note.code == AFTER_IMAGES for note in row.notes)
            for place in places
        }

    def missing(self, action: Action, lost: Iterable[Action]) -> Action | None:
        """Find the first of the actions ``lost`` (failed, or not done) that ``action`` needs."""
        return next((each for each in lost if self._needs(action, each)), None)

    def _needs(self, action: Action, lost: Action) -> bool:
        if isinstance(action, Poke):
            return False  # to read unit files again does no harm, whichever were written
        if isinstance(lost, Poke):
            return isinstance(action.place, Timer) and action.want != OFF
        if isinstance(lost.place, Images) and action.place in self._waiting:
            return True
        return self._in_one_row(action, lost) or _on_the_ground(action, lost)

    def _in_one_row(self, action: Swap, lost: Swap) -> bool:
        pair: set[Place[Any]] = {action.place, lost.place}
        return sort_key(lost) < sort_key(action) and any(pair <= row for row in self._rows)


def _on_the_ground(action: Swap, lost: Swap) -> bool:
    here, there = action.place, lost.place
    if not isinstance(here, _IN_A_TREE) or not isinstance(there, _IN_A_TREE):
        return False
    if isinstance(here, _GROUND) and action.want in {None, MISSING}:
        return _is_below(there.path, here.path)
    if not isinstance(there, _GROUND):
        return False
    makes = isinstance(there, Subvolume) or lost.have is None
    return here.path == there.path or (makes and _is_below(here.path, there.path))


def _is_below(path: str, top: str) -> bool:
    return path.startswith(f"{top.rstrip('/')}/")
