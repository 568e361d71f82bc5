"""A large tree that was read before: what was seen of it, for as long as it is so still.

``apply`` keeps that in /run, where only root reads and writes, and nothing outlives a boot.
Whatever is made, removed or renamed changes the directory it happens in; whatever else is
changed, changes its own inode. So the kernel is asked for the inodes that changed since: where
no directory of the tree is among them, but such as were only read, and no file but those that are
known one by one (a machine writes to its images all the time), it is what it was. In any doubt it
is read again.
"""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress

from reconciler import __version__
from reconciler.core.tree import Reading
from reconciler.formats.digest import sha256
from reconciler.host import files
from reconciler.host.directories.tally import KEPT, Names, Outline
from reconciler.host.kernel import btrfs, inode, leased, treesearch
from reconciler.value import dataclass, replace, types_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.host.directories.tree import Walk
    from reconciler.host.kernel.treesearch import Inode

_FORMAT = "vmtune.tree/1"
_MOST_SECONDS = 30 * 86400
_MOST_DIRECTORIES = 100_000
_MOST_ITEMS = 100_000
"""Of the tree that are looked at: above that, to read it all is as good."""
_MOST_STAMPS = 1000
_TICK = 1.0
"""Seconds: far more than any kernel's, which are hundredths."""
_MOST_EMPTY = 1000
"""Files that are opened each time: data may have come that is in no tree yet."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a reading saw, up to a transaction; directories by inode number, ``empty`` by path."""

    name: str
    mount: int
    transaction: int
    directories: Collection[int]
    empty: Collection[str]
    subvolumes: Collection[str]
    outline: Outline
    stamps: Mapping[str, str]
    """Of directories, by number: see ``_stamps``."""


def where(top: int) -> tuple[str, int]:
    """The name of a directory's memory, and of which mount of its filesystem it is.

    UUID, subvolume and inode may come back on another filesystem, or a copy of this one, but
    each time that one is mounted anew it gets a directory in sysfs with a number of its own.
    OSError without sysfs.
    """
    uuid = btrfs.filesystem_uuid(top)
    mount = os.stat(f"/sys/fs/btrfs/{uuid}").st_ino
    return f"{os.fstat(top).st_ino}-{btrfs.subvolume(top).identifier}-{uuid}", mount


def reading(path: str, memory: Memory) -> Reading | None:
    """What ``keep`` puts down; None where it would be too large, or help too seldom."""
    if len(memory.directories) > _MOST_DIRECTORIES or len(memory.empty) > _MOST_EMPTY:
        return None
    found, directories = memory.outline, tuple(memory.directories)
    rows = {each: getattr(found, each) for each in types_of(found) if each != "reading"}
    plain = {each: getattr(memory, each) for each in types_of(memory) if each != "stamps"}
    plain |= {
        "directories": directories,
        "outline": rows | {"plain": [found.plain.count, found.plain.first]},
    }
    return Reading(path, memory.name, memory.transaction, directories, json.dumps(plain))


def keep(readings: Iterable[Reading]) -> None:
    """Put them where later runs look; it is no matter where that fails."""
    with suppress(OSError):
        os.makedirs(KEPT, mode=0o700, exist_ok=True)
        for old in files.listed(KEPT):  # of directories that are gone, too
            if time.time() - os.stat(old).st_mtime > _MOST_SECONDS:
                os.unlink(old)
    for each in readings:
        with suppress(OSError):  # one that changes meanwhile is no reason to lose the others
            text = f"{each.text}\n{json.dumps(_stamps(each))}"
            files.create(f"{KEPT}/{each.name}", f"{_head(text)}\n{text}".encode("ascii"), 0o600)


def _stamps(of: Reading) -> dict[int, str]:
    """What tells that a directory holds the names it held, though its inode was written since.

    Whoever reads a directory changes its time of access. Two changes in one tick of the clock have
    the same time, so a directory that was changed just before it is looked at has no stamp.
    """
    found: dict[int, str] = {}
    with inode.directory(of.path) as top:
        is_it = where(top)[0] == of.name
        for number in of.directories[:_MOST_STAMPS] if is_it else ():
            transaction, changed, stamp = treesearch.stamp(top, number)
            if transaction <= of.transaction and changed < time.time() - _TICK:
                found[number] = stamp.hex()
    return found


def _head(text: str) -> str:
    """What stands above a memory: read is only what this version wrote, and wrote whole."""
    return f"{_FORMAT} {__version__} {sha256(text.encode('ascii'))}"


def recall(path: str, walk: Walk) -> Outline | None:
    """What is below a directory, without looking at it; None where that is not known for sure."""
    with suppress(OSError, ValueError), inode.directory(path) as top:
        name, mount = where(top)
        memory = _kept(name)
        # A file that is being rewritten is told by a walk, and by that alone.
        if memory.mount != mount or leased.numbers(top):
            return None
        transaction, found = treesearch.commit(top), memory.outline
        changed = treesearch.changed(top, memory.transaction, _MOST_ITEMS)
        if changed is None or not all(_has_its_names(top, each[0], memory) for each in changed):
            return None
        if not all(_is_same(top, each, memory) for each in changed):
            return None
        if all(_is_empty(top, each) for each in memory.empty):
            if changed:  # or what is kept is as good
                found.reading = reading(path, replace(memory, transaction=transaction))
            walk.subvolumes.extend(memory.subvolumes)
            return found
    return None


def _kept(name: str) -> Memory:
    """ValueError for what is not as this version writes it."""
    with open(f"{KEPT}/{name}", opener=_opened, encoding="ascii") as file:
        head, text = file.readline(), file.read()
    if head != f"{_head(text)}\n":
        raise ValueError
    plain, stamps = map(json.loads, text.split("\n"))
    rows = plain.pop("outline")
    rows["plain"] = Names(*rows["plain"])
    for each in ("largest", "cow_largest"):
        rows[each] = [tuple(row) for row in rows[each]]
    directories = frozenset(plain.pop("directories"))
    return Memory(directories=directories, outline=Outline(**rows), stamps=stamps, **plain)


def _opened(path: str, flags: int) -> int:
    """Nobody but root can have put a file there: the folder is root's, and no link."""
    folder, name = os.path.split(path)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(within)
        if status.st_uid or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=within)
    finally:
        os.close(within)


def _has_its_names(top: int, number: int, memory: Memory) -> bool:
    """Whether a changed inode is no directory of the tree, or one that was only read."""
    if number not in memory.directories:
        return True
    return memory.stamps.get(str(number)) == treesearch.stamp(top, number)[2].hex()


def _is_same(top: int, each: Inode, memory: Memory) -> bool:
    """Whether the tree is known all the same, with an inode changed; what that is now is put in."""
    number, _, mode, size, _, links, flags = each
    if not links or stat.S_ISDIR(mode):
        return True  # without a name it is in no directory; those of the tree were asked about
    found = memory.outline
    row = next((row for row in found.largest if row[1] == -number), None)
    if row is None:
        parents = {parent for parent, _ in treesearch.names(top, number)}
        return bool(parents) and parents.isdisjoint(memory.directories)
    # Where all data was nocow, so was this one: the number of its names here cannot have changed.
    if found.cow_count or links > 1 or size < row[0] or not flags & treesearch.NODATACOW:
        return False
    found.largest[found.largest.index(row)] = (size, *row[1:])
    found.data_bytes += size - row[0]
    return True


def _is_empty(top: int, name: str) -> bool:
    status = inode.status_beneath(name, top)
    return stat.S_ISREG(status.st_mode) and not status.st_size
