"""Why a place cannot be put here, whatever is wanted of it: asked of each row that would change.

What is in sync needs no writing, so it is in sync on a read-only mount, too. Kinds say what is
wrong with their own entry; this room says what keeps any writer out: a read-only mount, and what
chattr(1) made immutable or append-only. Otherwise ``apply`` would be the first to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.directory import Directory
from reconciler.facts import limits
from reconciler.facts.diagnostics import Refusal
from reconciler.facts.host import MISSING, FilesystemOf, Fixed
from reconciler.resources.compression.places import PropertyBelow
from reconciler.resources.defrag.places import TextFile, Timer
from reconciler.resources.images.places import Images, Strays
from reconciler.resources.nocow.places import Below
from reconciler.resources.subvolume.places import Subvolume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.engine.model import Swap
    from reconciler.facts.host_view import HostView


_IN_A_TREE = (Directory, Subvolume, Below, Images, PropertyBelow, Strays)

_UNITS = "/etc/systemd/system"


def obstacle(swaps: Iterable[Swap], see: HostView) -> Refusal | None:
    """Find the first thing that keeps one of the places from being put, as far as can be seen."""
    for swap in swaps:
        place = swap.place
        # Asked by the kind of the declared path; directories on the way to it are on the same one.
        host = see.known(FilesystemOf(place.path)) if isinstance(place, _IN_A_TREE) else None
        if isinstance(place, _IN_A_TREE) and host and host.read_only:
            why = limits.refusal(host.condition, host.profiles) if host.condition.failed else None
            return why or Refusal(f"{place.path} is on a read-only mount or subvolume", code="V411")
        for path in _written(swap):
            fixed = see.maybe(Fixed(path))
            if fixed and not (_only_adds(swap) and fixed == "is append-only"):
                return Refusal(f"{path} {fixed}", _hint(path, fixed), "V411")
    return None


def _written(swap: Swap) -> Iterator[str]:
    """Name the directories that get or lose an entry, and what is changed itself."""
    place = swap.place
    if isinstance(place, TextFile):
        yield from (_parent(place.path), place.path)
    elif isinstance(place, Timer):
        yield _UNITS  # enabling one makes a link there
    elif isinstance(place, Subvolume) or (
        isinstance(place, Directory) and (swap.have is None or swap.want is None)
    ):
        yield from (_parent(place.path), place.path)
    elif isinstance(place, Images | Strays):
        yield place.path
    elif isinstance(place, Directory) and swap.have.compression != swap.want.compression:
        yield place.path  # an extended attribute; root may set +C on what is immutable


def _only_adds(swap: Swap) -> bool:
    return isinstance(swap.place, Directory | Subvolume) and swap.have in {None, MISSING}


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _hint(path: str, why: str) -> str:
    if "immutable" not in why and "append-only" not in why:
        return ""
    from shlex import quote  # noqa: PLC0415 - hardly ever needed

    return f"chattr -{'i' if 'immutable' in why else 'a'} {quote(path)} allows it"
