"""What lies below a directory with a compression property, put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.directory import alike
from reconciler.errors import HostError
from reconciler.linux import inode
from reconciler.linux.directory import put_each
from reconciler.resources.compression.places import PropertyBelow

if TYPE_CHECKING:
    from reconciler.engine.place import Writes
    from reconciler.facts.tree import NameList
    from reconciler.linux.tree_walk import Entry


def put_property(place: PropertyBelow, want: NameList) -> None:
    """Set the property on each that lacks it, as its owner; HostError names what refuses it."""
    if want.count:
        raise HostError(f"{place.full}: what each of them had before is not known")
    put_each(place.path, place.apart, lambda entry: _set_property(entry, place.compression))


def _set_property(entry: Entry, wanted: str) -> None:
    value = inode.flags(entry.fd)
    if value & (inode.NOCOW | inode.IMMUTABLE):
        return
    if not alike(inode.compression(entry.fd, value), wanted):
        with inode.acting_as(entry.status.st_uid, entry.status.st_gid):
            inode.set_compression(entry.fd, wanted)


WRITES: Writes = {PropertyBelow: lambda place, _, want, __: put_property(place, want)}
