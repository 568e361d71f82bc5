"""What is counted of a tree while it is looked at, however large it is."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any

from reconciler.core import standing
from reconciler.core.tree import LARGEST, NAMED, CowFile
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    import os

_Data = tuple[int, int, str]
"""Size, inode number (negative, so that of equals the first counts as larger), path."""
_Cow = tuple[int, int, int, str]
"""The same behind the bytes on disk."""


@dataclass(slots=True)
class Names:
    """A Standing while it grows."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count it, and keep its name as long as it is one of the first."""
        self.count += 1
        keep_first(self.first, name)

    @property
    def standing(self) -> standing.Standing:
        return standing.Standing(self.count, tuple(self.first))


@dataclass(slots=True)
class Outline:
    """A Tree while it grows: of what there may be a million of, the largest and sums."""

    files: int = 0
    nocow_directories: int = 0
    data_files: int = 0
    data_bytes: int = 0
    largest: list[_Data] = field(default_factory=list)
    cow_count: int = 0
    cow_size: int = 0
    cow_allocated: int = 0
    cow_largest: list[_Cow] = field(default_factory=list)
    plain: Names = field(default_factory=Names)
    strays: list[str] = field(default_factory=list)
    left_over: list[CowFile] = field(default_factory=list)

    def data(self, path: str, status: os.stat_result, *, nocow: bool) -> None:
        """Count a file that has data."""
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


def keep_first(rows: list[Any], row: Any) -> None:
    """Keep the first rows, sorted, at most as many as a Standing names."""
    if len(rows) < standing.MOST or row < rows[-1]:
        insort(rows, row)
        del rows[standing.MOST :]


def keep_largest(rows: list[Any], row: Any, most: int) -> None:
    """Keep the largest rows, sorted, at most so many."""
    if len(rows) < most:
        insort(rows, row)
    elif row > rows[0]:
        insort(rows, row)
        del rows[0]
