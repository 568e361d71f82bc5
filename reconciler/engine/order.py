"""The order in which places are put, and which actions need which others.

An action that failed keeps back what needs it, and nothing else. Three rules say what needs it
(docs/design.md, "One failure stays one"):

1. Within one row of the plan, what is done later needs what is done before it:
   the line of fstab needs the live option, the timer needs its unit file. What
   has the same place in the order (two live options) is independent.
2. What lies in or below a directory needs the action that makes that directory, or
   turns it into a subvolume. What else is done to the same directory needs the
   action on its attributes.  A directory can only go once what is in it has gone.
3. A timer is switched on only after systemd has read its unit files.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import WAITS, Change, Notify
from reconciler.engine.place import path_of
from reconciler.facts.diagnostics import WHY, Note, Op
from reconciler.facts.host import Schedulers
from reconciler.formats.paths import is_at_or_below, is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.place import Place, Swap
    from reconciler.facts.host_view import HostView


DAEMON_RELOAD = Notify("systemctl daemon-reload")

_RELOADED = Change(Op.CHANGE, "systemd", "", "reads its unit files again", notify=DAEMON_RELOAD)

_BEHIND = Note("systemd says that files changed on disk since it read them", label=WHY)

_TURNS = {Op.BLOCKED: 2, Op.UNKNOWN: 3, Op.WAITS: 4}
"""Behind what is done; what is in sync comes last."""

_LAST_FILE_RANK = 50
"""Swaps of a lower rank write what systemd loads; those above it use what it has loaded."""


def in_order(
    changes: Iterable[Change], host: HostView, *, reload: bool = False
) -> tuple[Action, ...]:
    """By rank, then as declared; one daemon-reload after the last file that systemd reads."""
    unique: dict[Place[Any], Swap] = {}
    for swap in (swap for change in changes for swap in change.swaps):
        unique.setdefault(swap.place, swap)
    swaps = sorted(unique.values(), key=_turn)
    loads = any(swap.place.loaded_by_systemd for swap in swaps)
    if reload or (loads and "systemd" in host(Schedulers())):
        files = [swap for swap in swaps if _turn(swap)[0] < _LAST_FILE_RANK]
        return (*files, DAEMON_RELOAD, *swaps[len(files) :])
    return tuple(swaps)


def in_turn(
    changes: Iterable[Change], actions: Sequence[Action], *, behind: bool = False
) -> tuple[Change, ...]:
    """Sort rows as they are read: what is done, in that order, what is refused, what is in sync.

    What is notified has a row of its own, the last of those that are done; it is added where a
    notification has none yet. ``behind``: systemd must read its files even if none changes.
    """
    rows = list(changes)
    if DAEMON_RELOAD in actions and not any(row.notify for row in rows):
        rows.append(replace(_RELOADED, notes=(_BEHIND,)) if behind else _RELOADED)
    when = {action.place: n for n, action in enumerate(actions) if not isinstance(action, Notify)}

    def turn(row: Change) -> tuple[int, int]:
        if row.swaps:
            return 0, min(when.get(swap.place, len(when)) for swap in row.swaps)
        if row.notify:
            return 1, 0
        return _TURNS.get(row.op, 5 if row.applicable else 6), 0

    return tuple(sorted(rows, key=turn))


class Steps:
    """The rows of a plan that some actions are of, numbered from 1: what progress counts.

    The steps of one row need not follow each other: a timer is on only after systemd has read its
    files, which is a row of its own. So ``number`` names the row, and ``reached`` is what is told
    while they are done: it never goes back, and ends with the number of rows.
    """

    def __init__(self, changes: Iterable[Change], actions: Sequence[Action]) -> None:
        self._done = set(map(what, actions))
        rows = in_turn((row for row in changes if row.is_done), actions)
        self.rows = tuple(row for row in rows if not self._done.isdisjoint(_whats(row)))
        self._numbers: dict[Place[Any] | Notify, int] = {}
        self._parts: dict[Place[Any] | Notify, frozenset[Place[Any]]] = {}
        for number, row in enumerate(self.rows, 1):
            for swap in row.swaps:
                self._parts[what(swap)] = swap.place.parts(swap.have) or frozenset()
            for each in chain(_whats(row), *(self._parts[what(swap)] for swap in row.swaps)):
                self._numbers.setdefault(each, number)

    def number(self, action: Action) -> int:
        """Return the number of the row that an action is of; 0 where it is of none."""
        return self._numbers.get(what(action), 0)

    def reached(self, tried: Iterable[Action]) -> int:
        """Return which of the rows it is, counted as they end, that comes behind what was tried."""
        ended = set(map(what, tried))
        over = sum(all(self._is_over(each, ended) for each in self._mine(row)) for row in self.rows)
        return min(over + 1, len(self.rows))

    def _mine(self, row: Change) -> set[Place[Any] | Notify]:
        return self._done.intersection(_whats(row))

    def _is_over(self, of: Place[Any] | Notify, ended: set[Place[Any] | Notify]) -> bool:
        """Tell whether it, or each part of it, was tried."""
        parts = self._parts.get(of)
        return of in ended or bool(parts and parts <= ended)

    def row(self, action: Action) -> Change | None:
        """Return the row that an action is of."""
        number = self.number(action)
        return self.rows[number - 1] if number else None

    def count(self, actions: Iterable[Action]) -> int:
        """Count the rows of which all that was to be done is among some actions."""
        found = set(map(what, actions))
        return sum(self._mine(row) <= found for row in self.rows)


def what(action: Action) -> Place[Any] | Notify:
    """Return what an action is about: one action may be in two rows, with another reason."""
    return action if isinstance(action, Notify) else action.place.without_left_out()


def _whats(row: Change) -> list[Place[Any] | Notify]:
    found = list(map(what, row.swaps))
    return [*found, row.notify] if row.notify else found


def _turn(swap: Swap) -> tuple[int, str]:
    return swap.place.turn(swap.want)


def operation(swaps: Sequence[Swap], notes: Sequence[Note] = ()) -> Op:
    """Adding where nothing was, removing where nothing is left, else changing."""
    if not swaps:
        return Op.WAITS if any(note.code == WAITS for note in notes) else Op.SAME
    if all(swap.have == swap.place.nothing for swap in swaps):
        return Op.ADD
    if all(swap.want == swap.place.nothing for swap in swaps):
        return Op.REMOVE
    return Op.CHANGE


class Needs:
    """Answer for the rows of one plan what an action needs."""

    def __init__(self, changes: Sequence[Change]) -> None:
        rows = [change for change in changes if change.swaps]
        self._rows = [frozenset(swap.place for swap in row.swaps) for row in rows]

    def missing(self, action: Action, lost: Iterable[Action]) -> Action | None:
        """Find the first of the actions ``lost`` (failed, or not done) that ``action`` needs."""
        return next((each for each in lost if self._needs(action, each)), None)

    def _needs(self, action: Action, lost: Action) -> bool:
        if isinstance(action, Notify):
            return False  # to read unit files again does no harm, whichever were written
        if isinstance(lost, Notify):
            return action.place.uses_loaded_units and action.want != action.place.nothing
        pair: set[Place[Any]] = {action.place, lost.place}
        if _turn(lost) < _turn(action) and any(pair <= row for row in self._rows):
            return True
        return _on_the_ground(action, lost)


def _on_the_ground(action: Swap, lost: Swap) -> bool:
    if not action.place.in_a_tree or not lost.place.in_a_tree:
        return False
    here, there = path_of(action.place), path_of(lost.place)
    if action.place.is_ground and action.want == action.place.nothing:
        return is_below(there, here)
    if not lost.place.is_ground:
        return False
    makes = lost.place.remakes or lost.have == lost.place.nothing
    return here == there or (makes and is_at_or_below(here, there))
