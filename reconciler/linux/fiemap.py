"""FIEMAP: where the data of a file lies on disk (linux/fiemap.h, Documentation/filesystems/fiemap).

Fragments are counted as filefrag(8) counts them.
"""

from __future__ import annotations

import struct
from itertools import chain, compress, repeat
from operator import add, eq, or_, sub
from typing import TYPE_CHECKING

from reconciler.linux import syscalls
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


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
