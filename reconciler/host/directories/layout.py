"""How files lie on disk: FIEMAP read to its end, counted as filefrag(8) counts."""

from __future__ import annotations

import os
import stat
from operator import add, eq, not_, or_, sub
from typing import TYPE_CHECKING

from reconciler.core.layout import Layout, Layouts
from reconciler.host.kernel import fiemap, inode, leased

if TYPE_CHECKING:
    from reconciler.core.tree import Tree

_BOTH = fiemap.ENCODED | fiemap.SHARED
_NOWHERE = 0, -1
"""Before the first extent: no extent lies there."""
_MOST = 2_000_000
"""Extents read for one answer: about two seconds."""


def layouts(path: str, tree: Tree) -> Layouts:
    """The largest files of a tree, one by one, until _MOST extents were read."""
    found: list[Layout] = []
    with inode.directory(path) as top:
        read = 0
        for name in tree.largest:
            layout = _beneath(top, path, name, _MOST - read)
            if layout:
                found.append(layout)
                read += layout.fragments or 0
        unseen = tuple(_closed(top, path, name) for name in tree.unseen.named[:_NAMED])
    found.sort(key=lambda each: (-each.size, each.path))
    counts = tree.data_files, tree.data_bytes
    return Layouts(tuple(found), *counts, unseen, tree.unseen.count)


def one(path: str) -> Layout | None:
    """A file by its absolute, resolved path; not read where that would break a lease."""
    folder, _, name = path.rpartition("/")
    with inode.directory(folder or "/") as top:
        status = inode.status_beneath(name, top)
        if not stat.S_ISREG(status.st_mode):
            return None
        if leased.by_others(status, top):
            return Layout(path, status.st_size)
        try:
            with inode.beneath(name, top) as fd:
                return layout(fd, path)
        except PermissionError:
            return Layout(path, status.st_size)


_NAMED = 10


def _beneath(top: int, path: str, name: str, most: int) -> Layout | None:
    """One file by its relative name; None where it is gone, or no file any more."""
    full = f"{path.rstrip('/')}/{name}"
    try:
        with leased.opened(name, top) as fd:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            if most <= 0:
                return Layout(full, status.st_size, bool(inode.flags(fd) & inode.NOCOW))
            return layout(fd, full)
    except OSError:
        return None


def _closed(top: int, path: str, name: str) -> Layout:
    """The size is in the directory's hands, who may not open the file sees it all the same."""
    full = f"{path.rstrip('/')}/{name}"
    try:
        status = os.stat(name, dir_fd=top, follow_symlinks=False)
    except OSError:
        return Layout(full, 0)
    return Layout(full, status.st_size if stat.S_ISREG(status.st_mode) else 0)


def layout(fd: int, path: str) -> Layout:
    """One open file."""
    status, nocow = os.fstat(fd), bool(inode.flags(fd) & inode.NOCOW)
    size, after = status.st_size, _NOWHERE
    fragments = data = compressed = shared = both = 0
    for batch in fiemap.batches(fd):
        fragments += _jumps(batch, after)
        after = batch.end, batch.physical[-1] + batch.length[-1]
        length = batch.length
        if batch.end > size:  # the last block ends behind it, and so may preallocated space
            ends = zip(batch.logical, length, strict=True)
            length = [max(0, min(more, size - at)) for at, more in ends]
        for kind, there in fiemap.by_flags(batch.flags, length).items():
            data += there
            compressed += there * bool(kind & fiemap.ENCODED)
            shared += there * bool(kind & fiemap.SHARED)
            both += there * (kind & _BOTH == _BOTH)
    return Layout(path, size, nocow, fragments, data, compressed, shared, both, status.st_ino)


def _jumps(batch: fiemap.Batch, after: tuple[int, int]) -> int:
    """Extents that do not lie where the one before ended, which is ``after`` for the first.

    As filefrag: a hole within one stretch of disk is no jump.
    """
    behind, expected = after
    logical, physical, length = batch.logical, batch.physical, batch.length
    moved = list(map(sub, physical, [expected, *map(add, physical, length)]))
    skipped = list(map(sub, logical, [behind, *map(add, logical, length)]))
    goes_on = sum(map(not_, moved))
    behind_a_hole = sum(map(eq, moved, skipped)) - sum(map(not_, map(or_, moved, skipped)))
    return int(len(moved) - goes_on - behind_a_hole)
