"""The order in which places are put, and what a row of swaps is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.facts import Schedulers
from reconciler.core.model import WAITS, Op, Poke
from reconciler.core.places import OFF, Directory
from reconciler.core.subvolume import MISSING, Subvolume

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.model import Action, Change, Note, Swap
    from reconciler.core.places import Place
    from reconciler.core.snapshot import Snapshot

DAEMON_RELOAD = Poke("systemctl daemon-reload")
_LAST_FILE_RANK = 50
"""Swaps of a lower rank write what systemd loads; those above it use what it has loaded."""
_DEEPEST = 10_000
"""Above every rank: PATH_MAX allows for 4,096 levels."""
_NOTHING = frozenset({None, OFF, MISSING})


def in_order(
    changes: Iterable[Change], see: Snapshot, *, reload: bool = False
) -> tuple[Action, ...]:
    """By rank, then as declared; one daemon-reload after the last file that systemd reads."""
    unique: dict[Place[Any], Swap] = {}
    for swap in (swap for change in changes for swap in change.swaps):
        unique.setdefault(swap.place, swap)
    swaps = sorted(unique.values(), key=sort_key)
    loads = any(swap.place.loaded_by_systemd for swap in swaps)
    if reload or (loads and "systemd" in see(Schedulers())):
        files = [swap for swap in swaps if sort_key(swap)[0] < _LAST_FILE_RANK]
        return (*files, DAEMON_RELOAD, *swaps[len(files) :])
    return tuple(swaps)


def sort_key(swap: Swap) -> tuple[int, str]:
    """The place's own order; what is switched off goes before the files that describe it.

    Directories go last, the inner ones before those they lie in.
    """
    if swap.want == OFF:
        return (0, "")
    if swap.want in {None, MISSING} and isinstance(swap.place, Directory | Subvolume):
        return (_DEEPEST - swap.place.path.count("/"), "")
    return swap.place.order


def operation(swaps: Sequence[Swap], notes: Sequence[Note] = ()) -> Op:
    """Adding where nothing was, removing where nothing is left, else changing."""
    if not swaps:
        return Op.WAITS if any(note.code == WAITS for note in notes) else Op.SAME
    if all(swap.have in _NOTHING for swap in swaps):
        return Op.ADD
    if all(swap.want in _NOTHING for swap in swaps):
        return Op.REMOVE
    return Op.CHANGE
