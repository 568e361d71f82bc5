"""What vmtune wrote, put back: what is for good, and what is another directory by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.model import WAITS
from reconciler.engine.place import Swap
from reconciler.facts.diagnostics import Note
from reconciler.facts.host import DirectoryId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.place import LastApplied, Place
    from reconciler.facts.host_view import HostView


WHY = "what is no longer declared is put back"


def another(place: Place[Any], was: LastApplied, host: HostView) -> Note | None:
    """Return what is said where a path leads to another directory than the one that was changed.

    A link to another directory may stand there since, or a snapshot of what is around it.
    """
    path = getattr(place, "path", "")
    found = host.maybe(DirectoryId(path)) if was.thing and path else None
    if found in {None, "missing", was.thing}:
        return None
    return Note(f"{path} is another directory than the one that run {was.run} changed: it stays")


def is_final(action: Action) -> bool:
    """Tell whether no revert takes an action back; what a fresh mount ends is not for good."""
    note = action.place.lasting(action.have) if isinstance(action, Swap) else None
    return note is not None and note.code != WAITS


def with_them(swaps: Sequence[Swap], host: HostView) -> tuple[Swap, ...]:
    """Return what comes back with the places that are put back, and was recorded by nobody."""
    return tuple(also for swap in swaps for also in swap.place.restores_also(swap, swaps, host))
