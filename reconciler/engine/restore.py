"""What vmtune wrote, put back: what is for good, and why a place cannot be put here.

What is in sync needs no writing, so it is in sync on a read-only mount, too. Kinds say what is
wrong with their own entry; this module says what keeps any writer out: a read-only mount, and what
chattr(1) made immutable or append-only. Otherwise ``apply`` would be the first to tell. Which state
of a filesystem forbids what is decided in facts/condition.py; here that is only asked.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import WAITS
from reconciler.engine.place import Swap, path_of
from reconciler.facts import condition
from reconciler.facts.diagnostics import Note, Refusal
from reconciler.facts.host import DirectoryId, FilesystemOf, Fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.place import LastApplied, Place
    from reconciler.facts.host_view import HostView


def obstacle(swaps: Sequence[Swap], host: HostView) -> Refusal | None:
    """Find the first thing that keeps one of the places from being put, as far as can be seen."""
    return next(filter(None, (_kept_out(swap, host) for swap in swaps)), None)


def to_put_back(swaps: Sequence[Swap], host: HostView) -> Refusal | None:
    """Find what keeps places from being put back: here no kind has looked at its own entry."""
    own = (swap.place.obstacle(host) for swap in swaps)
    return next(filter(None, own), None) or _unsafe(swaps, host) or obstacle(swaps, host)


def _unsafe(swaps: Sequence[Swap], host: HostView) -> Refusal | None:
    """Find why nothing may be made nocow again: the filesystem is not whole."""
    for swap in swaps:
        if swap.place.makes_nocow(swap.have, swap.want):
            filesystem = host.maybe(FilesystemOf(path_of(swap.place)))
            if filesystem:
                return condition.refusal(filesystem.condition, filesystem.profiles)
    return None


def _kept_out(swap: Swap, host: HostView) -> Refusal | None:
    place, path = swap.place, path_of(swap.place)
    # Asked by the kind of the declared path; directories on the way to it are on the same one.
    filesystem = host.known(FilesystemOf(path)) if place.in_a_tree else None
    if filesystem and filesystem.read_only:
        why = (
            condition.refusal(filesystem.condition, filesystem.profiles)
            if filesystem.condition.failed
            else None
        )
        return why or Refusal(f"{path} is on a read-only mount or subvolume", code="V411")
    for written in place.written_paths(swap.have, swap.want):
        fixed = host.maybe(Fixed(written))
        if fixed and not (place.is_made(swap.have) and fixed == "is append-only"):
            return Refusal(f"{written} {fixed}", _hint(written, fixed), "V411")
    return None


def _hint(path: str, why: str) -> str:
    if "immutable" not in why and "append-only" not in why:
        return ""
    return f"chattr -{'i' if 'immutable' in why else 'a'} {quote(path)} allows it"


PUT_BACK = "what is no longer declared is put back"


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
