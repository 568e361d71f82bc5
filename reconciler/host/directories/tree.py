"""Walking one subvolume: every directory and file, each open while it is looked at."""

from __future__ import annotations

import errno
import os
import stat
from bisect import insort
from typing import NamedTuple

from reconciler.core.facts import Sharing
from reconciler.core.tree import SPECIAL
from reconciler.host.directories.tally import Names
from reconciler.host.kernel import btrfs, fiemap, inode, leased
from reconciler.value import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STUB = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID: what a snapshot shows of a nested subvolume

_LARGE = 1 << 20  # what is smaller is rewritten in no time


@dataclass(slots=True)
class Walk:
    """What a walk leaves out (absolute paths), and what it met but did not go into (relative)."""

    apart: frozenset[str] = frozenset()
    mounted: frozenset[str] = frozenset()
    subvolumes: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    unseen: Names = field(default_factory=Names)
    special: list[str] = field(default_factory=list)
    """As in core.tree.Tree."""
    special_count: int = 0


class Entry(NamedTuple):
    """A directory or a regular file; ``path`` is relative to the walk, ``within`` its directory."""

    path: str
    fd: int
    status: os.stat_result
    within: int


def sharing(path: str) -> Sharing:
    """How much of the files below a directory is shared with snapshots or clones.

    Enters bind mounts of the same subvolume, as ``btrfs filesystem defragment -r``
    does: its nftw(3) with FTW_MOUNT compares device numbers only.
    """
    walk, files, shared, nocow_only = Walk(), 0, 0, True
    for entry in entries(path, walk):
        if stat.S_ISREG(entry.status.st_mode) and entry.status.st_size:
            nocow_only = nocow_only and bool(inode.flags(entry.fd) & inode.NOCOW)
            shared += fiemap.sums(entry.fd).shared
            files += 1
    return Sharing(shared, walk.unseen.count, nocow_only and bool(files))


def entries(path: str, walk: Walk) -> Iterator[Entry]:
    """Every directory and regular file of the subvolume below ``path``, in no order.

    FileNotFoundError where there is no such directory.
    """
    with inode.directory(path) as top:
        device = os.fstat(top).st_dev
        pending = [""]
        while pending:
            relative = pending.pop()
            try:
                with inode.beneath(relative or ".", top, os.O_DIRECTORY) as fd:
                    for name in _names(fd):
                        child = f"{relative}/{name}" if relative else name
                        status = os.lstat(name, dir_fd=fd)
                        full = f"{path.rstrip('/')}/{child}"
                        if full in walk.apart:
                            continue
                        if full in walk.mounted:  # a bind mount has the device of its source
                            walk.mounts.append(child)
                        elif status.st_dev != device:
                            _other_subvolume(child, status, walk)
                        elif stat.S_ISDIR(status.st_mode) and status.st_ino != _STUB:
                            for entry in _opened(fd, name, child, walk):
                                pending.append(child)  # one that is closed is named once
                                yield entry
                        elif stat.S_ISREG(status.st_mode):
                            yield from _file(fd, name, child, status, walk)
                        else:
                            _special(child, status, walk)
            except OSError as error:
                _unless_gone(error, relative, walk)


def named(path: str, names: Iterable[str], walk: Walk) -> Iterator[Entry]:
    """Of the files that ``entries`` gave, by these relative paths, those that are still there."""
    with inode.directory(path) as top:
        device = os.fstat(top).st_dev
        for relative in names:
            folder, name = os.path.split(relative)
            try:
                with inode.beneath(folder or ".", top, os.O_DIRECTORY) as fd:
                    status = os.lstat(name, dir_fd=fd)
                    if status.st_dev == device and stat.S_ISREG(status.st_mode):
                        yield from _file(fd, name, relative, status, walk)
            except OSError as error:
                _unless_gone(error, relative, walk)


_SORTS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


def _special(child: str, status: os.stat_result, walk: Walk) -> None:
    """Not opened: a FIFO waits, a device does who knows what, a link leads elsewhere."""
    if sort := _SORTS.get(stat.S_IFMT(status.st_mode)):
        walk.special_count += 1
        insort(walk.special, f"{child} ({sort})")
        del walk.special[SPECIAL:]


def _names(fd: int) -> Iterator[str]:
    """One by one: a directory may hold a million."""
    with os.scandir(fd) as found:
        for entry in found:
            yield entry.name


def _other_subvolume(child: str, status: os.stat_result, walk: Walk) -> None:
    """Other subvolumes are named, not entered: nothing is inherited across."""
    if status.st_ino == btrfs.FIRST_INODE:
        walk.subvolumes.append(child)


def _file(
    within: int, name: str, relative: str, status: os.stat_result, walk: Walk
) -> Iterator[Entry]:
    """Not one that is being rewritten: to open it would end that (a lease is broken)."""
    if status.st_size >= _LARGE and leased.by_others(status, within):
        walk.unseen.add(relative)
    else:
        yield from _opened(within, name, relative, walk)


def _opened(within: int, name: str, relative: str, walk: Walk) -> Iterator[Entry]:
    try:
        fd = inode.open_to_read(name, within)
    except OSError as error:
        _unless_gone(error, relative, walk)
        return
    try:
        yield Entry(relative, fd, os.fstat(fd), within)
    finally:
        os.close(fd)


def _unless_gone(error: OSError, relative: str, walk: Walk) -> None:
    """A file deleted while we look is no fact; one that may not be read is.

    EWOULDBLOCK: someone holds a write lease on it (fcntl(2), F_SETLEASE).
    """
    if error.errno in {errno.EACCES, errno.EPERM, errno.EWOULDBLOCK}:
        walk.unseen.add(relative)
    elif error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
        raise error
