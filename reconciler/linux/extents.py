"""Where the data of files lies on disk (linux/fiemap.h), and who shares it (linux/btrfs.h).

Fragments are counted as filefrag(8) counts them.

``sharers`` asks about one byte of each file, the first that is shared: to ask about every extent
would take as long as `btrfs filesystem du`. So what is named shares data; others may share as well.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from contextlib import suppress
from itertools import chain, compress, repeat
from operator import add, eq, or_, sub
from typing import TYPE_CHECKING

from reconciler.facts.host import Sharers
from reconciler.facts.images import ImageLayout, Layouts
from reconciler.facts.mountable import TOP
from reconciler.formats.paths import is_at_or_below
from reconciler.linux import btrfs, inode, lease, syscalls, trees, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.tree import CowFile, Tree
    from reconciler.formats.mountinfo import Mount


LAST, ENCODED, INLINE, UNWRITTEN, SHARED = 0x0001, 0x0008, 0x0200, 0x0800, 0x2000
"""FIEMAP_EXTENT_*"""

_FIEMAP = syscalls.number(syscalls.READ | syscalls.WRITE, ord("f"), 11, 32)

_HEAD = struct.Struct("=2Q4I")  # fm_start, fm_length, fm_flags, fm_mapped_extents, fm_extent_count


class Batch(Value):
    """Extents in order, four lists of one length: bytes, but ``flags`` are FIEMAP_EXTENT_*."""

    logical: list[int]
    physical: list[int]
    length: list[int]
    flags: list[int]

    @property
    def end(self) -> int:
        """Where in the file the last of them ends."""
        return self.logical[-1] + self.length[-1]


def count(fd: int) -> int:
    """How many extents would be listed: asked for none of them, the kernel only counts."""
    return _asked(fd, 0, 0, 0)[1]


def batches(fd: int, flags: int = 0) -> Iterator[Batch]:
    """All extents of a file, none of them empty; few at first, as most files have few."""
    start = 0
    for most in chain((64,), repeat(4096)):
        buffer, mapped = _asked(fd, start, most, flags)
        if not mapped:
            return
        longs, words = memoryview(buffer).cast("Q"), memoryview(buffer).cast("I")
        logical, physical, length = (longs[at::7][:mapped].tolist() for at in (4, 5, 6))
        batch = Batch(logical, physical, length, words[18::14][:mapped].tolist())
        yield batch
        if batch.flags[-1] & LAST:
            return
        start = batch.end


def _asked(fd: int, start: int, most: int, flags: int) -> tuple[bytearray, int]:
    """The kernel's answer, and how many extents it holds, or would."""
    buffer = bytearray(_HEAD.size + most * 56)  # struct fiemap_extent
    _HEAD.pack_into(buffer, 0, start, 2**64 - 1 - start, flags, 0, most, 0)
    return buffer, int(_HEAD.unpack_from(syscalls.call(fd, _FIEMAP, buffer))[3])


def extents(fd: int, flags: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """One by one: logical and physical start, length in bytes, FIEMAP_EXTENT_* flags."""
    for each in batches(fd, flags):
        yield from zip(each.logical, each.physical, each.length, each.flags, strict=True)


class Sums(Value):
    """What is listed of a file: its fragments; bytes in all, shared, compressed, and both at once.

    Shared ones another file or snapshot also uses. Neighbours on disk are one fragment, as
    filefrag(8) counts them, though the kernel lists them apart.
    """

    fragments: int
    data: int
    shared: int
    encoded: int
    both: int


def sums(fd: int, size: int) -> Sums:
    """Sum up the extents of a file of ``size`` bytes in one pass, without FIEMAP_FLAG_SYNC.

    What lies behind the end is not counted: the rest of the last block, preallocated space.
    """
    fragments = data = shared = encoded = both = 0
    after = 0, -1  # no extent lies there
    for batch in batches(fd):
        fragments += _jumps(batch, after)
        after = batch.end, batch.physical[-1] + batch.length[-1]
        length = batch.length
        if batch.end > size:
            ends = zip(batch.logical, length, strict=True)
            length = [max(0, min(more, size - at)) for at, more in ends]
        kinds = set(batch.flags)
        for kind in kinds:
            of_kind = length if len(kinds) == 1 else compress(length, map(kind.__eq__, batch.flags))
            there = sum(of_kind)
            data += there
            shared += there * bool(kind & SHARED)
            encoded += there * bool(kind & ENCODED)
            both += there * bool(kind & SHARED and kind & ENCODED)
    return Sums(fragments, data, shared, encoded, both)


def preallocated_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """Start and length in bytes, in order, also behind the file's end; neighbours are merged."""
    at = length = 0
    # FIEMAP_FLAG_SYNC: without it, what is not written yet has no extent.
    for start, _, more, flags in extents(fd, 0x1):
        if not flags & UNWRITTEN:
            continue
        if start != at + length:
            if length:
                yield at, length
            at, length = start, 0
        length += more
    if length:
        yield at, length


def _jumps(batch: Batch, after: tuple[int, int]) -> int:
    """Extents that do not lie where the one before ended, which is ``after`` for the first.

    As filefrag: a hole within one stretch of disk is no jump.
    """
    behind, expected = after
    goes_on = map(eq, batch.physical, [expected, *map(add, batch.physical, batch.length)])
    shift = list(map(sub, batch.physical, batch.logical))
    behind_a_hole = map(eq, shift, [expected - behind, *shift])
    return len(shift) - int(sum(map(or_, goes_on, behind_a_hole)))


_MOST = 2_000_000
"""Extents read for one answer: about two seconds."""


def image_layouts(path: str, tree: Tree) -> Layouts:
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
        unseen = tuple(_closed(top, path, name) for name in tree.unseen.named[:10])
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
            with lease.opened(name, top) as fd:
                return _layout(fd, path)
        except (PermissionError, lease.BusyError):
            return ImageLayout(path, status.st_size)


def _beneath(
    top: int, path: str, name: str, most: int, listed: CowFile | None
) -> ImageLayout | None:
    """One file by its relative name; None where it is gone, or no file any more."""
    full = f"{path.rstrip('/')}/{name}"
    with suppress(OSError), lease.opened(name, top) as fd:
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
    found = listed or sums(fd, status.st_size)
    figures = (found.fragments, found.data, found.encoded, found.shared, found.both)
    nocow = bool(inode.flags(fd) & inode.NOCOW)
    return ImageLayout(path, status.st_size, nocow, *figures, status.st_ino)


_SIZE = 1 << 16  # the most that the kernel fills

_FOUND = struct.Struct("=4I")  # bytes_left, bytes_missing, elem_cnt, elem_missed


def sharers(images: Sequence[str], mounts: tuple[Mount, ...]) -> Sharers:
    """Find who else uses the first shared byte of each image, by absolute, resolved paths.

    An image that is gone by now, or on which another process has a lease, is left out.
    """
    named: set[str] = set()
    clones = more = 0
    for image in images:
        folder, _, name = image.rpartition("/")
        with (
            suppress(FileNotFoundError, lease.BusyError),
            inode.directory(folder or "/") as top,
            lease.opened(name, top) as fd,
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
        physical for _, physical, _, flags in extents(fd) if flags & SHARED and not flags & INLINE
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
    _, _, count, missed = _FOUND.unpack_from(buffer.raw)  # numbers: inum, offset and root of each
    found = struct.iter_unpack("=3Q", buffer.raw[_FOUND.size : _FOUND.size + 8 * count])
    return [(number, root) for number, _, root in found], missed // 3


def _where(fd: int, subvolume: int, mounts: tuple[Mount, ...]) -> str:
    """Name a subvolume by the path that leads there now, else by the one from the top level."""
    path = f"/{trees.path_of(fd, subvolume)}"
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
