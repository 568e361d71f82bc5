"""Space that a file has and never wrote: FIEMAP's unwritten extents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.host.kernel import fiemap

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    for logical, _, length, flags in fiemap.extents(fd, fiemap.SYNC):
        if flags & fiemap.UNWRITTEN:
            yield logical, length
