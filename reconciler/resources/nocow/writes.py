"""What lies below a nocow directory, put."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.images import is_stale_copy
from reconciler.linux import inode
from reconciler.linux.directory import put_each
from reconciler.resources.nocow.places import Below

if TYPE_CHECKING:
    from reconciler.engine.place import Writes
    from reconciler.facts.tree import NameList
    from reconciler.linux.tree_walk import Entry


def put_nocow(place: Below, want: NameList) -> None:
    """Set +C on directories and empty files, as their owners, or take it off those named.

    HostError says what refuses it, and where the names are not known.
    """
    if not want.count:
        put_each(place.path, place.apart, _set_nocow)
    elif want.is_whole:
        _take_off(place, want.named)
    else:
        raise HostError(f"{place.full}: only {len(want.named):,} of {want.count:,} names are known")


def _set_nocow(entry: Entry) -> None:
    is_file = stat.S_ISREG(entry.status.st_mode)
    if is_file and (entry.status.st_size or is_stale_copy(entry.path.rpartition("/")[2])):
        return  # with data it cannot take it, and is reported
    if not inode.flags(entry.fd) & inode.NOCOW:
        with inode.acting_as(entry.status.st_uid, entry.status.st_gid):
            inode.set_nocow(entry.fd, on=True)


def _take_off(place: Below, names: tuple[str, ...]) -> None:
    with inode.directory(place.path) as top:
        for name in names:
            # What is gone, or something else by now, has nothing to be taken off.
            with suppress(FileNotFoundError, NotADirectoryError), inode.beneath(name, top) as fd:
                try:
                    _copy_on_write(fd)
                except OSError as error:
                    raise HostError(f"{place.path}/{name}: {error.strerror}") from error


def _copy_on_write(fd: int) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:  # with data it keeps what it has
        with inode.acting_as(status.st_uid, status.st_gid):
            inode.set_flags(fd, inode.flags(fd) & ~inode.NOCOW)


WRITES: Writes = {Below: lambda place, _, want, __: put_nocow(place, want)}
