"""How files lie on disk: FIEMAP read to its end, counted as filefrag(8) counts (linux/fiemap.h)."""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

from reconciler.core.layout import Layout, Layouts
from reconciler.host.kernel import inode, ioctl, leased

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.tree import Tree

_FIEMAP = ioctl.number(ioctl.READ | ioctl.WRITE, ord("f"), 11, 32)
_HEAD = struct.Struct("=2Q4I")
_EXTENT = struct.Struct("=3Q16xI12x")  # fe_logical, fe_physical, fe_length, fe_flags
_A_CALL = 4096
_LAST, _ENCODED, _SHARED = 0x0001, 0x0008, 0x2000  # FIEMAP_EXTENT_*
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
        unseen = tuple(_closed(top, path, name) for name in tree.unseen[:_NAMED])
    found.sort(key=lambda each: (-each.size, each.path))
    return Layouts(tuple(found), tree.data_files, tree.data_bytes, unseen)


def one(path: str) -> Layout | None:
    """A file by its absolute, resolved path; not read where that would break a lease."""
    folder, _, name = path.rpartition("/")
    with inode.directory(folder or "/") as top:
        status = inode.status_beneath(name, top)
        if not stat.S_ISREG(status.st_mode):
            return None
        if leased.by_others(status):
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
        with inode.beneath(name, top) as fd:
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
    size, behind = status.st_size, 0
    fragments = data = compressed = shared = both = expected = 0
    for logical, physical, length, flags in extents(fd):
        # As filefrag: a hole within one stretch of disk is no jump.
        fragments += not fragments or physical not in {expected, expected + logical - behind}
        expected, behind = physical + length, logical + length
        length = max(0, min(length, size - logical))  # noqa: PLW2901 - the last block ends later
        data += length
        if flags & _ENCODED:
            compressed += length
        if flags & _SHARED:
            shared += length
            both += length if flags & _ENCODED else 0
    return Layout(path, size, nocow, fragments, data, compressed, shared, both, status.st_ino)


def extents(fd: int) -> Iterator[tuple[int, int, int, int]]:
    """Logical and physical start, length in bytes, FIEMAP_EXTENT_* flags; in order."""
    buffer = bytearray(_HEAD.size + _A_CALL * _EXTENT.size)
    start = 0
    while True:
        _HEAD.pack_into(buffer, 0, start, 2**64 - 1 - start, 0, 0, _A_CALL, 0)
        mapped = _HEAD.unpack_from(ioctl.call(fd, _FIEMAP, buffer))[3]
        if not mapped:
            return
        end = _HEAD.size + mapped * _EXTENT.size
        yield from _EXTENT.iter_unpack(memoryview(buffer)[_HEAD.size : end])
        logical, _, length, flags = _EXTENT.unpack_from(buffer, end - _EXTENT.size)
        if flags & _LAST:
            return
        start = logical + length
