"""Space that a file has and never wrote: FIEMAP's unwritten extents (linux/fiemap.h)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from reconciler.host.kernel import ioctl

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIEMAP = ioctl.number(ioctl.READ | ioctl.WRITE, ord("f"), 11, 32)
_HEAD = struct.Struct("=2Q4I")
_EXTENT = struct.Struct("=Q8xQ16xI12x")  # fe_logical, fe_length, fe_flags
_A_CALL = 4096
_SYNC, _LAST, _UNWRITTEN = 0x1, 0x0001, 0x0800  # FIEMAP_FLAG_SYNC, FIEMAP_EXTENT_*
_EVERYTHING = 2**64 - 1


def ranges(fd: int) -> Iterator[tuple[int, int]]:
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
    buffer = bytearray(_HEAD.size + _A_CALL * _EXTENT.size)
    start = 0
    while True:
        _HEAD.pack_into(buffer, 0, start, _EVERYTHING - start, _SYNC, 0, _A_CALL, 0)
        mapped = _HEAD.unpack_from(ioctl.call(fd, _FIEMAP, buffer))[3]
        if not mapped:
            return
        end = _HEAD.size + mapped * _EXTENT.size
        for logical, length, flags in _EXTENT.iter_unpack(memoryview(buffer)[_HEAD.size : end]):
            if flags & _UNWRITTEN:
                yield logical, length
        logical, length, flags = _EXTENT.unpack_from(buffer, end - _EXTENT.size)
        if flags & _LAST:
            return
        start = logical + length
