"""Which files below a directory are copy-on-write: the files decide, not the directory."""

from __future__ import annotations

import errno
import heapq
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.facts import NAMED, CowFile, Sharing, Tree
from reconciler.host import btrfs, inode

if TYPE_CHECKING:
    from collections.abc import Iterator

_STUB = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID: what a snapshot shows of a nested subvolume


@dataclass(slots=True)
class _Found:
    apart: frozenset[str] = frozenset()
    mounted: frozenset[str] = frozenset()
    files: int = 0
    largest: list[tuple[int, str]] = field(default_factory=list)
    cow_count: int = 0
    cow_bytes: int = 0
    plain: list[str] = field(default_factory=list)
    subvolumes: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    nocow_directories: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    """Relative to the scan."""
    fd: int
    status: os.stat_result


def scan(path: str, mounted: frozenset[str], apart: tuple[str, ...] = ()) -> Tree:
    """Walk one subvolume from ``path``; a directory that is not there is an empty tree."""
    found = _Found(frozenset(apart), mounted)
    try:
        for entry in _entries(path, found):
            _judge(entry, found)
    except FileNotFoundError:
        pass
    return _tree(path, found)


def sharing(path: str) -> Sharing:
    """How much of the files below a directory is shared with snapshots or clones.

    Enters bind mounts of the same subvolume, as ``btrfs filesystem defragment -r``
    does: its nftw(3) with FTW_MOUNT compares device numbers only.
    """
    found, shared, nocow_only = _Found(), 0, True
    for entry in _entries(path, found):
        if stat.S_ISREG(entry.status.st_mode) and entry.status.st_size:
            nocow_only = nocow_only and bool(inode.flags(entry.fd) & inode.NOCOW)
            shared += btrfs.shared_bytes(entry.fd)
            found.files += 1
    return Sharing(shared, len(found.unseen), nocow_only and bool(found.files))


def _entries(path: str, found: _Found) -> Iterator[_Entry]:
    """Every directory and regular file of the subvolume, each open while it is looked at."""
    with inode.directory(path) as top:
        device = os.fstat(top).st_dev
        pending = [""]
        while pending:
            relative = pending.pop()
            try:
                with inode.beneath(relative or ".", top, os.O_DIRECTORY) as fd:
                    for name in sorted(os.listdir(fd)):
                        child = f"{relative}/{name}" if relative else name
                        status = os.lstat(name, dir_fd=fd)
                        full = f"{path.rstrip('/')}/{child}"
                        if full in found.apart:
                            continue
                        if full in found.mounted:  # a bind mount has the device of its source
                            found.mounts.append(child)
                        elif status.st_dev != device:
                            _other_subvolume(child, status, found)
                        elif stat.S_ISDIR(status.st_mode) and status.st_ino != _STUB:
                            for entry in _opened(fd, name, child, found):
                                pending.append(child)  # one that is closed is named once
                                yield entry
                        elif stat.S_ISREG(status.st_mode):
                            yield from _opened(fd, name, child, found)
            except OSError as error:
                _unless_gone(error, relative, found)


def _other_subvolume(child: str, status: os.stat_result, found: _Found) -> None:
    """Other subvolumes are named, not entered: nothing is inherited across."""
    if status.st_ino == btrfs.FIRST_INODE:
        found.subvolumes.append(child)


def _opened(within: int, name: str, relative: str, found: _Found) -> Iterator[_Entry]:
    try:
        with inode.opened(name, within) as fd:
            yield _Entry(relative, fd, os.fstat(fd))
    except OSError as error:
        _unless_gone(error, relative, found)


def _unless_gone(error: OSError, relative: str, found: _Found) -> None:
    """A file deleted while we look is no fact; one that may not be read is.

    EWOULDBLOCK: someone holds a write lease on it (fcntl(2), F_SETLEASE).
    """
    if error.errno in {errno.EACCES, errno.EPERM, errno.EWOULDBLOCK}:
        found.unseen.append(relative)
    elif error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
        raise error


def _judge(entry: _Entry, found: _Found) -> None:
    value = inode.flags(entry.fd)
    size = entry.status.st_size if stat.S_ISREG(entry.status.st_mode) else 0
    found.files += stat.S_ISREG(entry.status.st_mode)
    if value & inode.NOCOW:
        found.nocow_directories += stat.S_ISDIR(entry.status.st_mode)
        return
    if size:
        found.cow_count += 1
        found.cow_bytes += size
        heapq.heappush(found.largest, (size, entry.path))
        if len(found.largest) > NAMED:
            heapq.heappop(found.largest)
    else:
        found.plain.append(entry.path)


def _tree(path: str, found: _Found) -> Tree:
    cow = tuple(
        CowFile(name, size, _extents(path, name))
        for size, name in sorted(found.largest, key=lambda pair: (-pair[0], pair[1]))
    )
    return Tree(
        found.files,
        cow,
        found.cow_count,
        found.cow_bytes,
        tuple(sorted(found.plain)),
        tuple(sorted(found.subvolumes)),
        tuple(sorted(found.mounts)),
        tuple(sorted(found.unseen)),
        found.nocow_directories,
    )


def _extents(path: str, relative: str) -> int | None:
    try:
        with inode.directory(path) as top, inode.beneath(relative, top) as fd:
            return btrfs.extent_count(fd)
    except OSError:
        return None
