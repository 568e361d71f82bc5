"""How image files lie: what status, explain and the journal tell of each (facts.layouts)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.facts.layouts import ImageLayout, Layouts
from reconciler.linux import fiemap, inode, proc_locks

if TYPE_CHECKING:
    from reconciler.facts.tree import CowFile, Tree


_MOST = 2_000_000
"""Extents read for one answer: about two seconds."""

_NAMED = 10
"""Files and directories that may not be opened: so many are named."""


def layouts(path: str, tree: Tree) -> Layouts:
    """The largest files of a tree, one by one, until _MOST extents were read."""
    found: list[ImageLayout] = []
    listed = {file.path: file for file in tree.cow.largest if file.fragments is not None}
    with inode.directory(path) as top:
        read = 0
        for name in tree.largest:
            image = _beneath(top, path, name, _MOST - read, listed.get(name))
            if image:
                found.append(image)
                read += image.fragments or 0
        unseen = tuple(_closed(top, path, name) for name in tree.unseen.named[:_NAMED])
    found.sort(key=lambda each: (-each.size, each.path))
    counts = tree.data_files, tree.data_bytes
    return Layouts(tuple(found), *counts, unseen, tree.unseen.count)


def layout_of(path: str) -> ImageLayout | None:
    """A file by its absolute, resolved path; not read where that would break a lease."""
    folder, _, name = path.rpartition("/")
    with inode.directory(folder or "/") as top:
        status = inode.status_beneath(name, top)
        if not stat.S_ISREG(status.st_mode):
            return None
        try:
            with proc_locks.opened(name, top) as fd:
                return _layout(fd, path)
        except (PermissionError, proc_locks.BusyError):
            return ImageLayout(path, status.st_size)


def _beneath(
    top: int, path: str, name: str, most: int, listed: CowFile | None
) -> ImageLayout | None:
    """One file by its relative name; None where it is gone, or no file any more."""
    full = f"{path.rstrip('/')}/{name}"
    with suppress(OSError), proc_locks.opened(name, top) as fd:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        if most <= 0:
            return ImageLayout(full, status.st_size, bool(inode.flags(fd) & inode.NOCOW))
        return _layout(fd, full, listed)
    return None


def _closed(top: int, path: str, name: str) -> ImageLayout:
    """The size is in the directory's hands, who may not open the file sees it all the same."""
    full = f"{path.rstrip('/')}/{name}"
    size = 0
    with suppress(OSError):
        status = os.stat(name, dir_fd=top, follow_symlinks=False)
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return ImageLayout(full, size)


def _layout(fd: int, path: str, listed: CowFile | None = None) -> ImageLayout:
    """Tell how an open file lies; ``listed``: what a close look has just read of its extents."""
    status = os.fstat(fd)
    found = listed or fiemap.sums(fd, status.st_size)
    figures = (found.fragments, found.data, found.encoded, found.shared, found.both)
    nocow = bool(inode.flags(fd) & inode.NOCOW)
    return ImageLayout(path, status.st_size, nocow, *figures, status.st_ino)
