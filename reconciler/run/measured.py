"""What a run is about to do to images, and did: how they lie, kept in its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core import images, places, subvolume
from reconciler.core.layout import LayoutsOf
from reconciler.core.model import Swap
from reconciler.core.snapshot import Hidden
from reconciler.core.written import Seen
from reconciler.host import readers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.layout import Layout
    from reconciler.core.model import Action
    from reconciler.core.snapshot import Snapshot

_ABOUT_IMAGES = (
    places.Below,
    places.Directory,
    images.Images,
    subvolume.Subvolume,
)


def seen(actions: Sequence[Action], see: Snapshot | None = None) -> tuple[Seen, ...]:
    """The largest images below each directory that is changed; what cannot be seen is left out."""
    see, found = see or readers.look(), {}
    for path, apart in _tops(actions).items():
        try:
            measured = see(LayoutsOf(path, apart)).measured
        except Hidden:  # it is there for people to read, not for the run to depend on
            continue
        found.update({each.key: each for each in map(_plain, measured) if each})
    return tuple(found.values())


def _tops(actions: Sequence[Action]) -> dict[str, tuple[str, ...]]:
    """Directories with what is declared on its own below them; those yet to be made hold none."""
    found: dict[str, tuple[str, ...]] = {}
    for swap in _swaps(actions):
        place = swap.place
        if isinstance(place, _ABOUT_IMAGES) and swap.have not in {None, "missing"}:
            found[place.path] = getattr(place, "apart", ()) or found.get(place.path, ())
    return found


def _swaps(actions: Sequence[Action]) -> Iterator[Swap]:
    return (action for action in actions if isinstance(action, Swap))


def _plain(of: Layout) -> Seen | None:
    if of.fragments is None:
        return None
    return Seen(of.key, of.inode, of.size, of.nocow, of.fragments, of.compressed, of.shared)
