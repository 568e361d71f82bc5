"""What ``vmtune defrag`` finds below a path, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.pieces import Pieces
    from reconciler.core.standing import Standing
    from reconciler.core.tree import Busy

SHARED, CLOSED, FAILED = "shared", "closed", "failed"
"""Why a file is left: snapshots or clones share it, the caller may not write to it, an error."""


@dataclass(frozen=True, slots=True)
class File:
    """One that gets better. ``path`` is relative to what was looked at."""

    path: str
    inode: int
    lies: Pieces
    packs: bool
    """What is written anew is compressed."""


@dataclass(frozen=True, slots=True)
class Left:
    """A file in pieces that is left as it is; ``size`` bytes of it would become more in use."""

    path: str
    why: str
    words: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Below one path. ``whole`` files lie as well as defragmenting can have them."""

    path: str
    files: Sequence[File]
    whole: int
    left: Sequence[Left]
    subvolumes: Sequence[str]
    mounts: Sequence[str]
    unseen: Standing
    compression: str
    """That of the mount, "off" or as in "zstd:3"."""
    free: int
    since: float
    """When looking began, on the clock that only goes forward: seconds."""
    busy: Sequence[Busy] = ()
    """Why some of ``unseen`` are so."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A file of which ``size`` bytes were handed to the kernel, and its fragments around that."""

    path: str
    size: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the files below one path. ``left`` came up only while it was done."""

    path: str
    ended: Sequence[Ended]
    left: Sequence[Left]
