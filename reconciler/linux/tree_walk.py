"""Walking one subvolume: every directory and file, each open while it is looked at.

What is counted on the way stays small, however large the tree is.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.facts import tree
from reconciler.facts.host import Sharing
from reconciler.facts.tree import LARGEST, NAMED, SPECIAL
from reconciler.linux import btrfs, extents, inode, lease
from reconciler.linux.trees import STUB_INODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.facts.tree import CowFile


def keep_first(rows: list[Any], row: Any) -> None:
    """Keep the first rows, sorted, at most as many as a NameList names."""
    if len(rows) < tree.MOST or row < rows[-1]:
        insort(rows, row)
        del rows[tree.MOST :]


@dataclass(eq=False, repr=False)
class Names:
    """A NameList while it grows."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count it, and keep its name as long as it is one of the first."""
        self.count += 1
        keep_first(self.first, name)

    @property
    def standing(self) -> tree.NameList:
        return tree.NameList(self.count, tuple(self.first))


@dataclass(eq=False, repr=False)
class Outline:
    """A Tree while it grows: of what there may be a million of, the largest and sums."""

    files: int = 0
    nocow_directories: int = 0
    data_files: int = 0
    data_bytes: int = 0
    largest: list[tuple[int, int, str]] = field(default_factory=list)
    """Size, inode number (negative, so that of equals the first counts as larger), path."""
    cow_count: int = 0
    cow_size: int = 0
    cow_allocated: int = 0
    cow_largest: list[tuple[int, int, int, str]] = field(default_factory=list)
    """The same behind the bytes on disk."""
    plain: Names = field(default_factory=Names)
    stale_copies: list[str] = field(default_factory=list)
    left_over: list[CowFile] = field(default_factory=list)
    linked: set[tuple[int, int]] = field(default_factory=set)

    def data(self, path: str, status: os.stat_result, *, nocow: bool) -> None:
        """Count a file that has data: once, however many names it has."""
        if is_again(status, self.linked):
            return
        size, number = status.st_size, -status.st_ino
        self.data_files += 1
        self.data_bytes += size
        keep_largest(self.largest, (size, number, path), LARGEST)
        if not nocow:
            allocated = status.st_blocks * 512  # whatever st_blksize is: inode(7)
            self.cow_count += 1
            self.cow_size += size
            self.cow_allocated += allocated
            keep_largest(self.cow_largest, (allocated, size, number, path), NAMED)


def is_again(status: os.stat_result, linked: set[tuple[int, int]]) -> bool:
    """Tell whether a file was met before under another name; ``linked`` remembers those met."""
    if status.st_nlink < 2:  # noqa: PLR2004 - it has no other name
        return False
    key = status.st_dev, status.st_ino
    is_known = key in linked
    linked.add(key)
    return is_known


def keep_largest(rows: list[Any], row: Any, most: int) -> None:
    """Keep the largest rows, sorted, at most so many."""
    if len(rows) < most or row > rows[0]:
        insort(rows, row)
        del rows[:-most]


class Entry(NamedTuple):
    """A directory or a regular file; ``path`` is relative to the walk, ``within`` its directory."""

    path: str
    fd: int
    status: os.stat_result
    within: int


@dataclass(eq=False, repr=False)
class Walk:
    """What a walk leaves out (absolute paths), and what it met but did not go into (relative)."""

    apart: frozenset[str] = frozenset()
    mounted: frozenset[str] = frozenset()
    subvolumes: list[str] = field(default_factory=list)
    stubs: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    unseen: Names = field(default_factory=Names)
    special: list[str] = field(default_factory=list)
    """As in facts.tree.Tree."""
    special_count: int = 0
    busy: dict[str, int] = field(default_factory=dict)
    """Files of ``unseen`` that were not opened: the process that has a write lease on each."""
    leases: lease.Leases = field(default_factory=lease.Leases)
    deferred: dict[str, int] = field(default_factory=dict)
    """Those that are held now, and are asked for again."""
    patience: float = 1.0
    """Seconds for which they are."""


def sharing(path: str) -> Sharing:
    """How much of the files below a directory is shared with snapshots or clones.

    Enters bind mounts of the same subvolume, as ``btrfs filesystem defragment -r``
    does: its nftw(3) with FTW_MOUNT compares device numbers only.
    """
    walk, files, shared, nocow_only = Walk(), 0, 0, True
    for entry in entries(path, walk):
        if stat.S_ISREG(entry.status.st_mode) and entry.status.st_size:
            nocow_only = nocow_only and bool(inode.flags(entry.fd) & inode.NOCOW)
            shared += extents.sums(entry.fd, entry.status.st_size).shared
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
                with (
                    inode.beneath(relative or ".", top, os.O_DIRECTORY) as fd,
                    os.scandir(fd) as found,
                ):
                    for name in (each.name for each in found):  # a directory may hold a million
                        child = f"{relative}/{name}" if relative else name
                        status = os.lstat(name, dir_fd=fd)
                        full = f"{path.rstrip('/')}/{child}"
                        if full in walk.apart:
                            continue
                        if full in walk.mounted:  # a bind mount has the device of its source
                            walk.mounts.append(child)
                        elif status.st_dev != device or status.st_ino == STUB_INODE:
                            _other_subvolume(child, status, walk)
                        elif stat.S_ISDIR(status.st_mode):
                            for entry in _opened(fd, name, child, walk):
                                pending.append(child)  # one that is closed is named once
                                yield entry
                        elif stat.S_ISREG(status.st_mode):
                            yield from _file(fd, name, child, status, walk)
                        else:
                            _special(child, status, walk)
            except OSError as error:
                _unless_gone(error, relative, walk)
        yield from _once_free(top, device, walk)


def named(path: str, names: Iterable[str], walk: Walk) -> Iterator[Entry]:
    """Of the files that ``entries`` gave, by these relative paths, those that are still there."""
    with inode.directory(path) as top:
        device = os.fstat(top).st_dev
        for relative in names:
            yield from _one(top, device, relative, walk)
        yield from _once_free(top, device, walk)


def _one(top: int, device: int, relative: str, walk: Walk) -> Iterator[Entry]:
    folder, name = os.path.split(relative)
    try:
        with inode.beneath(folder or ".", top, os.O_DIRECTORY) as fd:
            status = os.lstat(name, dir_fd=fd)
            if status.st_dev == device and stat.S_ISREG(status.st_mode):
                yield from _file(fd, name, relative, status, walk)
    except OSError as error:
        _unless_gone(error, relative, walk)


def _once_free(top: int, device: int, walk: Walk) -> Iterator[Entry]:
    """Files that were held as the walk came by, as soon as they are free; what stays held is busy.

    A run exchanges an image in some milliseconds. The kernel tells nobody that a lease has ended,
    but who opens the file, which is what must not be: so the list of leases is read again.
    """
    deadline = time.monotonic() + walk.patience
    while walk.deferred:
        held, walk.deferred = walk.deferred, {}
        for relative in held:
            yield from _one(top, device, relative, walk)
        if not walk.deferred or time.monotonic() >= deadline:
            break
        time.sleep(0.01)
    for relative, pid in walk.deferred.items():
        walk.busy[relative] = pid
        walk.unseen.add(relative)
    walk.deferred = {}


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


def _other_subvolume(child: str, status: os.stat_result, walk: Walk) -> None:
    """Other subvolumes are named, not entered: nothing is inherited across."""
    if status.st_ino == STUB_INODE:
        walk.stubs.append(child)
    elif status.st_ino == btrfs.FIRST_INODE:
        walk.subvolumes.append(child)


def _file(
    within: int, name: str, relative: str, status: os.stat_result, walk: Walk
) -> Iterator[Entry]:
    """Not one that is being rewritten: to open it would disturb that (a lease is broken)."""
    if pid := walk.leases.holder(status, within):
        walk.deferred[relative] = pid
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

    EWOULDBLOCK: someone took a write lease on it just now (fcntl(2), F_SETLEASE).
    """
    if error.errno == errno.EWOULDBLOCK:
        walk.deferred[relative] = 0
    elif error.errno in {errno.EACCES, errno.EPERM}:
        walk.unseen.add(relative)
    elif error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
        raise error
