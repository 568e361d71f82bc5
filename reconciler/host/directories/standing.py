"""Which images below a directory are not as wanted: the Images place, read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.core import facts
from reconciler.core.images import NOCOW
from reconciler.core.standing import MOST, Standing
from reconciler.host.kernel import fiemap, inode, leased

if TYPE_CHECKING:
    from reconciler.core.images import Images
    from reconciler.core.snapshot import Snapshot


def look(place: Images, see: Snapshot) -> Standing:
    """From the walk that a plan makes anyway."""
    tree = see(facts.TreeOf(place.path, place.apart, close=True))
    lot = tree.cow if place.aim == NOCOW else tree.compressed
    spared = set(place.spared)
    count = lot.count - (_still(place, spared) if spared else 0)
    return Standing(count, tuple(name for name in lot.first if name not in spared)[:MOST])


def _still(place: Images, names: set[str]) -> int:
    """How many of the spared count among those that are not as wanted."""
    found = 0
    with inode.directory(place.path) as top:
        for name in names:
            with suppress(OSError), leased.opened(name, top) as fd:
                found += differs(fd, os.fstat(fd), place.aim)
    return found


def differs(fd: int, status: os.stat_result, aim: str) -> bool:
    """Whether an open file has data that lies otherwise than ``aim`` says."""
    if not stat.S_ISREG(status.st_mode) or not status.st_size or inode.flags(fd) & inode.NOCOW:
        return False
    return aim == NOCOW or bool(fiemap.sums(fd).encoded)
