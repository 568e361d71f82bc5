"""What lies below a directory, from attributes and sizes alone: no more than a report needs."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.core.images import is_second, is_stray
from reconciler.core.tree import OPENED_TWICE, CowFile, Lot, Tree
from reconciler.host.directories import busy, strays
from reconciler.host.directories.tally import Outline
from reconciler.host.directories.tree import Walk, entries
from reconciler.host.kernel import fiemap, inode, leased

if TYPE_CHECKING:
    from reconciler.host.directories.tree import Entry


def scan(path: str, mounted: frozenset[str], apart: tuple[str, ...] = ()) -> Tree:
    """The tree below ``path``; a directory that is not there is an empty one.

    Not filled in are what FIEMAP and the files' own headers say, who has what open, and the
    compression settings: survey.py looks that close. Of the largest the extents are counted.
    """
    walk, found = Walk(frozenset(apart), mounted), Outline()
    with suppress(FileNotFoundError):
        for entry in entries(path, walk):
            _judge(entry, found)
    return _tree(path, walk, found)


def _judge(entry: Entry, found: Outline) -> None:
    status, name = entry.status, entry.path.rpartition("/")[2]
    is_file = stat.S_ISREG(status.st_mode)
    if is_file and is_stray(name):
        if why := strays.why_kept(entry.within, name):
            found.left_over.append(CowFile(entry.path, status.st_size, obstacle=why))
        else:
            found.strays.append(entry.path)
        return
    if is_file and is_second(name, status.st_ino):
        found.left_over.append(CowFile(entry.path, status.st_size, obstacle=OPENED_TWICE))
    nocow = bool(inode.flags(entry.fd) & inode.NOCOW)
    found.files += is_file
    found.nocow_directories += nocow and not is_file
    if is_file and status.st_size:
        found.data(entry.path, status, nocow=nocow)
    elif not nocow:
        found.plain.add(entry.path)


def _tree(path: str, walk: Walk, found: Outline) -> Tree:
    return Tree(
        files=found.files,
        cow=Lot(_looked_at(path, found), found.cow_count, found.cow_size, found.cow_allocated),
        plain=found.plain.standing,
        subvolumes=tuple(sorted(walk.subvolumes)),
        mounts=tuple(sorted(walk.mounts)),
        unseen=walk.unseen.standing,
        nocow_directories=found.nocow_directories,
        largest=tuple(row[2] for row in sorted(found.largest, key=lambda row: (-row[0], row[2]))),
        data_files=found.data_files,
        data_bytes=found.data_bytes,
        nocow_only=bool(found.data_files) and not found.cow_count,
        strays=tuple(sorted(found.strays)),
        holders_seen=os.geteuid() == 0,
        left_over=tuple(sorted(found.left_over, key=lambda file: file.path)),
        busy=busy.told(walk.busy),
    )


def _looked_at(path: str, found: Outline) -> tuple[CowFile, ...]:
    """The largest, with the number of their extents where the kernel tells it."""
    if not found.cow_largest:
        return ()
    ordered = sorted(found.cow_largest, key=lambda row: (-row[0], -row[1], row[3]))
    with inode.directory(path) as top:
        return tuple(
            CowFile(name, size, _extents(top, name), allocated)
            for allocated, size, _, name in ordered
        )


def _extents(top: int, name: str) -> int | None:
    with suppress(OSError), leased.opened(name, top) as fd:
        return fiemap.count(fd)
    return None
