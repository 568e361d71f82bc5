"""The compression property of what lies below a directory: the PropertyBelow place."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from reconciler.core.images import NAMED, Standing, alike
from reconciler.host.directories.tree import Walk, entries
from reconciler.host.kernel import inode
from reconciler.host.refused import Refused
from reconciler.host.system import filesystems

if TYPE_CHECKING:
    from reconciler.core.images import PropertyBelow
    from reconciler.core.tree import Tree
    from reconciler.host.directories.tree import Entry


def standing(place: PropertyBelow, tree: Tree) -> Standing:
    """Those that have another setting, or none."""
    others = [each for each in tree.settings if not alike(each.value, place.compression)]
    named = heapq.merge(*(each.first for each in others))
    return Standing(sum(each.count for each in others), tuple(named)[:NAMED])


def put(place: PropertyBelow, want: Standing) -> None:
    """Set the property on each that lacks it, as its owner; Refused names what refuses it."""
    if want.count:
        raise Refused(f"{place.full}: what each of them had before is not known")
    mounted = frozenset(mount.target for mount in filesystems.mounts())
    walk, failed = Walk(frozenset(place.apart), mounted), []
    for entry in entries(place.path, walk):
        value = inode.flags(entry.fd)
        if value & (inode.NOCOW | inode.IMMUTABLE):
            continue
        if not alike(inode.compression(entry.fd, value), place.compression):
            try:
                _set(entry, place.compression)
            except OSError as error:
                failed.append(f"{entry.path}: {error.strerror}")
    if failed:
        more = f", and {len(failed) - 3:,} more" if len(failed) > 3 else ""  # noqa: PLR2004
        raise Refused(f"{place.path}: {'; '.join(failed[:3])}{more}")


def _set(entry: Entry, compression: str) -> None:
    with inode.acting_as(entry.status.st_uid, entry.status.st_gid):
        inode.set_compression(entry.fd, compression)
    # Not synced one by one, as there may be a million: syncfs(2) comes before success is told.
