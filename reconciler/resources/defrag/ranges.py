"""In how many fragments a file lies, and which ranges of it defragmenting puts together.

What ``vmtune defrag`` found, and what became of it, are values of bounded size.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.formats.sizes import binary
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.facts.tree import Busy, NameList


class Why(StrEnum):
    """Why a file in pieces is left as it is; the value is that of ``--json``.

    One reason more: `_reason` in now.py finds it, whose two callers have the file open (an ioctl:
    linux/syscalls.py says where it belongs). `_REASONS` below has its words. The enum of
    defrag.schema.json lists it in the same order (test_why.py).
    ``is_excused`` says whether a timer's run is a failure then. People read of it in the help of
    `defrag` (cli.py) and in docs/defrag.md. Tests: test_defrag_now.py.
    """

    SHARED = "shared"
    """Snapshots or clones share its data."""
    CLOSED = "closed"
    """The caller may not write to it."""
    FAILED = "failed"
    """An error, which the words of `Left` say."""

    @property
    def is_excused(self) -> bool:
        """It is no failure of a run that a timer started: that leaves the file to the next one."""
        return self is Why.SHARED


_REASONS = {
    Why.SHARED: "snapshots or clones share its data, so up to {size} more would be in use; "
    "`--allow snapshots` rewrites it all the same",
    Why.CLOSED: "you may not write to it; root may",
    Why.FAILED: "{words}",
}


class File(Value):
    """One that gets better. ``path`` is relative to what was looked at."""

    path: str
    inode: int
    lies: Pieces
    packs: bool
    """What is written anew is compressed."""


class Left(Value):
    """A file in pieces that is left as it is; ``size`` bytes of it would become more in use."""

    path: str
    why: Why
    words: str
    size: int = 0

    @property
    def reason(self) -> str:
        """Why it is left, in a sentence."""
        return _REASONS[self.why].format(size=binary(self.size), words=self.words)


class Found(Value):
    """Below one path. ``whole`` files lie as well as defragmenting can have them."""

    path: str
    files: Sequence[File]
    whole: int
    left: Sequence[Left]
    subvolumes: Sequence[str]
    mounts: Sequence[str]
    unseen: NameList
    compression: str
    """That of the mount, "off" or as in "zstd:3"."""
    free: int
    since: float
    """When looking began, on the clock that only goes forward: seconds."""
    busy: Sequence[Busy] = ()
    """Why some of ``unseen`` are so."""


class Ended(Value):
    """A file of which ``size`` bytes were handed to the kernel, and its fragments around that."""

    path: str
    size: int
    before: int
    after: int


class Outcome(Value):
    """What became of the files below one path. ``left`` came up only while it was done."""

    path: str
    ended: Sequence[Ended]
    left: Sequence[Left]


THRESHOLD = 32 << 20
"""A piece of this size is left where it is: what btrfs(8) has."""

_LARGE = 16 << 20
"""Pieces on average this large cost no disk any time worth a rewrite of them."""

_CLUSTER = 256 << 10

_SQUEEZED = 128 << 10
"""A compressed extent cannot be larger."""

ENCODED_EXTENT, SHARED_EXTENT = 0x0008, 0x2000  # FIEMAP_EXTENT_*

_STAYS = 0x0002 | 0x0004 | 0x0200 | 0x0800
"""Not known yet, not written yet, inline, preallocated: what the kernel does not move."""

_FLUSHED = 64 << 20

_STEPS = 128

_LEAST, _MOST = 1 << 20, 16 << 20


class Stretch(Value):
    """Bytes of a file, from ``start`` up to ``end``; ``shared`` of them with clones, snapshots."""

    start: int
    end: int
    shared: int


class Pieces(Value):
    """``fragments`` as filefrag(8) counts them, and what is worth to be put together."""

    fragments: int
    stretches: tuple[Stretch, ...]

    @property
    def size(self) -> int:
        """Bytes that are written anew, at most."""
        return sum(each.end - each.start for each in self.stretches)

    @property
    def shared(self) -> int:
        """Bytes that are then there twice."""
        return sum(each.shared for each in self.stretches)


def pieces(extents: Iterable[tuple[int, int, int, int]]) -> Pieces:
    """Of extents in order: logical and physical start, length in bytes, FIEMAP_EXTENT_* flags."""
    fragments = expected = behind = 0
    start = last = end = count = shared = 0
    stretches = []
    for logical, physical, length, flags in extents:
        # As filefrag: a hole within one stretch of disk is no jump.
        jump = physical not in {expected, expected + logical - behind} or not fragments
        fragments += jump
        expected, behind = physical + length, logical + length
        stays = flags & _STAYS or length >= (_SQUEEZED if flags & ENCODED_EXTENT else THRESHOLD)
        if stays or logical != end:
            if _worth(start, end, count, last):
                stretches.append(Stretch(start, end, shared))
            start, count, shared = logical, 0, 0
        if not stays:
            if jump or not count:
                count, last = count + 1, logical
            end = behind
            if flags & SHARED_EXTENT:
                shared += length
    if _worth(start, end, count, last):
        stretches.append(Stretch(start, end, shared))
    return Pieces(fragments, tuple(stretches))


def _worth(start: int, end: int, count: int, last: int) -> bool:
    """Whether ``count`` pieces from ``start`` to ``end``, the last from ``last`` on, become fewer.

    Where free space is in pieces too, large ones may not: those are left alone.
    """
    left = 1 if last % _CLUSTER and (last ^ (end - 1)) < _CLUSTER else 2
    return count > left and end - start < count * _LARGE


class Call(Value):
    """One call of the kernel; with ``flush`` it begins to write what was gathered so far."""

    start: int
    length: int
    flush: bool


def step(size: int) -> int:
    """Bytes to do in one call, where ``size`` are to be done: each is less than a percent."""
    found = _LEAST
    while found < _MOST and found * 2 * _STEPS <= size:
        found *= 2
    return found


def calls(stretches: Sequence[Stretch], most: int) -> Iterator[Call]:
    """Those for one file. Space is found for what is flushed together: not less than a piece."""
    gathered = 0
    for number, each in enumerate(stretches, 1):
        at = each.start
        while at < each.end:
            end = min(each.end, at - at % most + most)  # clusters begin at multiples
            gathered += end - at
            flush = gathered >= _FLUSHED or (end == each.end and number == len(stretches))
            yield Call(at, end - at, flush)
            gathered, at = 0 if flush else gathered, end
