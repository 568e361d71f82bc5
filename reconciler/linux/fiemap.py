"""FIEMAP: where the data of a file lies on disk (linux/fiemap.h, Documentation/filesystems/fiemap).

Fragments are counted as filefrag(8) counts them.
"""

from __future__ import annotations

import struct
from itertools import chain, compress, repeat
from operator import add, eq, not_, or_, sub
from typing import TYPE_CHECKING

from reconciler.linux import syscalls
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


LAST, ENCODED, INLINE, UNWRITTEN, SHARED = 0x0001, 0x0008, 0x0200, 0x0800, 0x2000
"""FIEMAP_EXTENT_*"""

SYNC = 0x1
"""FIEMAP_FLAG_SYNC: without it, what is not written yet has no extent."""

_FIEMAP = syscalls.number(syscalls.READ | syscalls.WRITE, ord("f"), 11, 32)

_HEAD = struct.Struct("=2Q4I")  # fm_start, fm_length, fm_flags, fm_mapped_extents, fm_extent_count

_EXTENT_SIZE = 56

_FEW, _MANY = 64, 4096

_EVERYTHING = 2**64 - 1


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


NOWHERE = 0, -1
"""Before the first extent: no extent lies there."""


def count(fd: int) -> int:
    """How many extents would be listed: asked for none of them, the kernel only counts."""
    return _asked(fd, 0, 0, 0)[1]


def batches(fd: int, flags: int = 0) -> Iterator[Batch]:
    """All extents of a file, none of them empty; few at first, as most files have few."""
    start = 0
    for most in chain((_FEW,), repeat(_MANY)):
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
    buffer = bytearray(_HEAD.size + most * _EXTENT_SIZE)
    _HEAD.pack_into(buffer, 0, start, _EVERYTHING - start, flags, 0, most, 0)
    return buffer, int(_HEAD.unpack_from(syscalls.call(fd, _FIEMAP, buffer))[3])


def extents(fd: int, flags: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """One by one: logical and physical start, length in bytes, FIEMAP_EXTENT_* flags."""
    for each in batches(fd, flags):
        yield from zip(each.logical, each.physical, each.length, each.flags, strict=True)


def by_flags(flags: list[int], length: list[int]) -> Mapping[int, int]:
    """Bytes in all, for each value that the flags have."""
    return {kind: sum(compress(length, map(kind.__eq__, flags))) for kind in set(flags)}


class Sums(Value):
    """What is listed of a file: its fragments; bytes in extents that are shared, compressed.

    Shared ones another file or snapshot also uses. Neighbours on disk are one fragment, as
    filefrag(8) counts them, though the kernel lists them apart.
    """

    fragments: int
    shared: int
    encoded: int
    either: int
    """Shared, compressed or both."""


def sums(fd: int) -> Sums:
    """One pass, without SYNC."""
    fragments = shared = encoded = either = 0
    after = NOWHERE
    for batch in batches(fd):
        fragments += jumps(batch, after)
        after = batch.end, batch.physical[-1] + batch.length[-1]
        for kind, size in by_flags(batch.flags, batch.length).items():
            shared += size * bool(kind & SHARED)
            encoded += size * bool(kind & ENCODED)
            either += size * bool(kind & (SHARED | ENCODED))
    return Sums(fragments, shared, encoded, either)


def preallocated_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """Start and length in bytes, in order, also behind the file's end; neighbours are merged."""
    at = length = 0
    for start, more in _unwritten(fd):
        if start != at + length:
            if length:
                yield at, length
            at, length = start, 0
        length += more
    if length:
        yield at, length


def _unwritten(fd: int) -> Iterator[tuple[int, int]]:
    for logical, _, length, flags in extents(fd, SYNC):
        if flags & UNWRITTEN:
            yield logical, length


def jumps(batch: Batch, after: tuple[int, int]) -> int:
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
