"""What lies below a directory and was there before it: the Below and PropertyBelow places.

There may be a million entries: they are set one by one as a walk meets them, no list of them
is kept, and none is synced by itself, as syncfs(2) comes before success is told.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.core.images import alike, is_stray
from reconciler.core.standing import MOST, Standing
from reconciler.host.directories.tree import Walk, entries
from reconciler.host.kernel import inode
from reconciler.host.refused import Refused
from reconciler.host.system import filesystems

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.images import PropertyBelow
    from reconciler.core.places import Below
    from reconciler.core.tree import Tree
    from reconciler.host.directories.tree import Entry

_TOLD = 3


def standing(place: PropertyBelow, tree: Tree) -> Standing:
    """Those that have another setting, or none."""
    import heapq  # noqa: PLC0415 - few entries set compression

    others = [each.which for each in tree.settings if not alike(each.value, place.compression)]
    named = heapq.merge(*(each.named for each in others))
    return Standing(sum(each.count for each in others), tuple(named)[:MOST])


def put_property(place: PropertyBelow, want: Standing) -> None:
    """Set the property on each that lacks it, as its owner; Refused names what refuses it."""
    if want.count:
        raise Refused(f"{place.full}: what each of them had before is not known")
    put_each(place.path, place.apart, lambda entry: _set_property(entry, place.compression))


def put_nocow(place: Below, want: Standing) -> None:
    """Set +C on directories and empty files, as their owners, or take it off those named.

    Refused says what refuses it, and where the names are not known.
    """
    if not want.count:
        put_each(place.path, place.apart, _set_nocow)
    elif want.is_whole:
        _take_off(place, want.named)
    else:
        raise Refused(f"{place.full}: only {len(want.named):,} of {want.count:,} names are known")


def put_each(path: str, apart: tuple[str, ...], have_it: Callable[[Entry], None]) -> None:
    """Call ``have_it`` for each directory and file below a path; Refused names what refused."""
    mounted = frozenset(mount.target for mount in filesystems.mounts())
    failed: list[str] = []
    count = 0
    for entry in entries(path, Walk(frozenset(apart), mounted)):
        try:
            have_it(entry)
        except OSError as error:
            count += 1
            if len(failed) < _TOLD:
                failed.append(f"{entry.path}: {error.strerror}")
    if failed:
        more = f", and {count - _TOLD:,} more" if count > _TOLD else ""
        raise Refused(f"{path}: {'; '.join(failed)}{more}")


def _set_property(entry: Entry, wanted: str) -> None:
    value = inode.flags(entry.fd)
    if value & (inode.NOCOW | inode.IMMUTABLE):
        return
    if not alike(inode.compression(entry.fd, value), wanted):
        with inode.acting_as(entry.status.st_uid, entry.status.st_gid):
            inode.set_compression(entry.fd, wanted)


def _set_nocow(entry: Entry) -> None:
    is_file = stat.S_ISREG(entry.status.st_mode)
    if is_file and (entry.status.st_size or is_stray(entry.path.rpartition("/")[2])):
        return  # with data it cannot take it, and is reported
    if not inode.flags(entry.fd) & inode.NOCOW:
        with inode.acting_as(entry.status.st_uid, entry.status.st_gid):
            inode.clear_compression(entry.fd)
            inode.set_flags(entry.fd, inode.flags(entry.fd) | inode.NOCOW)


def _take_off(place: Below, names: tuple[str, ...]) -> None:
    with inode.directory(place.path) as top:
        for name in names:
            # What is gone, or something else by now, has nothing to be taken off.
            with suppress(FileNotFoundError, NotADirectoryError), inode.beneath(name, top) as fd:
                try:
                    _copy_on_write(fd)
                except OSError as error:
                    raise Refused(f"{place.path}/{name}: {error.strerror}") from error


def _copy_on_write(fd: int) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:  # with data it keeps what it has
        with inode.acting_as(status.st_uid, status.st_gid):
            inode.set_flags(fd, inode.flags(fd) & ~inode.NOCOW)
