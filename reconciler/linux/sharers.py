"""Which subvolumes share data with a file: BTRFS_IOC_LOGICAL_INO (linux/btrfs.h), for root only.

Of each file one byte is asked about, the first that is shared: to ask about every extent would
take as long as `btrfs filesystem du`. So what is named shares data; others may share as well.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.facts.host import Sharers
from reconciler.facts.mountable import TOP
from reconciler.formats.paths import is_at_or_below
from reconciler.linux import btrfs, fiemap, inode, proc_locks, subvolume_list, syscalls, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.formats.mountinfo import Mount


_SIZE = 1 << 16  # the most that the kernel fills

_HEAD = struct.Struct("=4I")  # bytes_left, bytes_missing, elem_cnt, elem_missed


def look(images: Sequence[str], mounts: tuple[Mount, ...]) -> Sharers:
    """Find who else uses the first shared byte of each image, by absolute, resolved paths.

    An image that is gone by now, or on which another process has a lease, is left out.
    """
    named: set[str] = set()
    clones = more = 0
    for image in images:
        folder, _, name = image.rpartition("/")
        with (
            suppress(FileNotFoundError, proc_locks.BusyError),
            inode.directory(folder or "/") as top,
            proc_locks.opened(name, top) as fd,
        ):
            number, inside = os.fstat(fd).st_ino, btrfs.subvolume(fd).identifier
            found, missed = _users(fd)
            more += missed
            for other, root in found:
                if root != inside:
                    named.add(_where(fd, root, mounts))
                else:
                    clones += other != number
    return Sharers(tuple(sorted(named)), clones, more)


def _users(fd: int) -> tuple[list[tuple[int, int]], int]:
    """Return inode and subvolume of each user of the first shared byte, and how many more are."""
    shared = (
        physical
        for _, physical, _, flags in fiemap.extents(fd)
        if flags & fiemap.SHARED and not flags & fiemap.INLINE
    )
    at = next(shared, None)
    if at is None:
        return [], 0
    buffer = ctypes.create_string_buffer(_SIZE)
    where = at, _SIZE, ctypes.addressof(buffer)
    given = bytearray(struct.pack("=2Q32xQ", *where))  # logical, size, reserved and flags, inodes
    try:
        syscalls.call(fd, syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 36, 56), given)
    except PermissionError:
        raise users.not_visible("see it") from None
    except OSError:  # rewritten just now: nobody uses that byte any more (ENOENT)
        return [], 0
    _, _, count, missed = _HEAD.unpack_from(buffer.raw)  # numbers: inum, offset and root of each
    found = struct.iter_unpack("=3Q", buffer.raw[_HEAD.size : _HEAD.size + 8 * count])
    return [(number, root) for number, _, root in found], missed // 3


def _where(fd: int, subvolume: int, mounts: tuple[Mount, ...]) -> str:
    """Name a subvolume by the path that leads there now, else by the one from the top level."""
    path = f"/{subvolume_list.path_of(fd, subvolume)}"
    if path == "/" and subvolume != TOP:
        return f"subvolume {subvolume}, which is being deleted"
    here = btrfs.filesystem_uuid(fd)
    ways = (
        f"{mount.target.rstrip('/')}/{path[len(mount.root.rstrip('/')) + 1 :]}".rstrip("/") or "/"
        for mount in mounts
        if mount.fstype == "btrfs" and is_at_or_below(path, mount.root)
    )
    for way in sorted(ways, key=len):  # another mount may cover one
        with suppress(OSError), inode.opened(way, extra=os.O_DIRECTORY) as there:
            found = btrfs.filesystem_uuid(there), btrfs.subvolume(there).identifier
            if found == (here, subvolume):
                return way
    return f"{path.removeprefix('/') or 'the top level'} (not mounted)"
