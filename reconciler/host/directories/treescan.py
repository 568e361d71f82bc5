"""The outline of a large tree, from one reading of its subvolume's inodes: root only.

A file outside of the directory costs as much as one in it, so it is worth its price only where
the directory is a good part of its subvolume. What a directory of images seldom has (mounts
and separate entries in it, leases, leftovers of killed runs) is left to the walk.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from reconciler.core.tree import LARGEST, NAMED
from reconciler.host.directories import remembered
from reconciler.host.directories.tally import keep_largest
from reconciler.host.kernel import btrfs, inode, leased, treesearch
from reconciler.host.kernel.treesearch import NODATACOW
from reconciler.value import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.host.directories.tally import Outline
    from reconciler.host.directories.tree import Walk
    from reconciler.host.kernel.treesearch import Inode

_BYTES_AN_ENTRY = 5000
"""Of the tree are read in the time in which a walk looks at one entry."""
_MOST = 100_000
"""Inodes that are looked at once more, each by its name; above that the walk is as good."""
_KEPT = (b".vmtune-", b".opened-meanwhile-")


def is_whole(path: str, walk: Walk) -> bool:
    """Whether a directory can be read at once: as root, with no mount and no other entry in it."""
    inner = f"{path.rstrip('/')}/"
    apart = any(other.startswith(inner) for other in (*walk.mounted, *walk.apart))
    return not (os.geteuid() or apart)


def worth(path: str, walk: Walk) -> int | None:
    """From how many entries on it is cheaper than a walk; None where it cannot be had."""
    if not is_whole(path, walk):
        return None
    with suppress(OSError), inode.directory(path) as top:
        return treesearch.size(top, btrfs.subvolume(top).identifier) // _BYTES_AN_ENTRY or None
    return None


def scan(path: str, walk: Walk, found: Outline) -> bool:
    """Fill in an outline; False where only a walk can (what is filled in then is worth nothing)."""
    with suppress(OSError, treesearch.NameFoundError), inode.directory(path) as top:
        transaction = treesearch.commit(top)
        seen = _Scan(top, os.fstat(top).st_ino, os.fstat(top).st_blksize, found)
        if seen.read():
            seen.resolve()
            if seen.is_leased():
                return False
            seen.name(walk)
            seen.remember(path, transaction, walk)
            return True
    return False


@dataclass(slots=True)
class _Scan:
    """``inside`` are the directories below the top and itself; by inode number, as all here."""

    top: int
    number: int
    block: int
    found: Outline
    inside: set[int] = field(default_factory=set)
    later: dict[int, Inode] = field(default_factory=dict)
    """Whose directory has a higher number, and that below those: they were moved."""
    linked: list[Inode] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    """Without data or no files, and maybe not nocow: looked at once more."""
    largest: list[tuple[int, int]] = field(default_factory=list)
    cow_largest: list[tuple[int, int, int]] = field(default_factory=list)
    paths: dict[int, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    is_late: bool = False
    """A file that the tree knows as empty has data."""

    def read(self) -> bool:
        """All inodes, by number: directories mostly come before what is in them."""
        inside, later, files, size = self.inside, self.later, 0, 0
        inside.add(self.number)
        for each in treesearch.inodes(self.top, _KEPT):
            number, parent, mode, length, _, links, flags = each
            if links != 1 or not parent:
                self.linked.append(each)
            elif parent in inside:
                if mode >> 12 == 8 and length and flags & NODATACOW:  # noqa: PLR2004 - S_IFREG
                    files += 1
                    size += length
                    if len(self.largest) < LARGEST or length >= self.largest[0][0]:
                        keep_largest(self.largest, (length, -number), LARGEST)
                elif number != self.number:
                    self.judge(each)
            elif parent > number or parent in later:
                later[number] = each
            if len(self.linked) + len(later) + len(self.bare) > _MOST:
                return False
        self.found.files += files
        self.found.data_files += files
        self.found.data_bytes += size
        return True

    def judge(self, each: Inode, times: int = 1) -> None:
        """One that is below the top, under so many names."""
        number, _, mode, size, used, _, flags = each
        found, nocow = self.found, flags & NODATACOW
        if stat.S_ISDIR(mode):
            self.inside.add(number)
            found.nocow_directories += bool(nocow)
            if not nocow:
                self.bare.append(number)
        elif stat.S_ISREG(mode):
            found.files += times
            if not size:
                self.bare.append(number)
                return
            found.data_files += times
            found.data_bytes += size * times
            keep_largest(self.largest, (size, -number), LARGEST)
            if not nocow:
                allocated = -(-used // self.block) * self.block
                found.cow_count += times
                found.cow_size += size * times
                found.cow_allocated += allocated * times
                keep_largest(self.cow_largest, (allocated, size, -number), NAMED)

    def resolve(self) -> None:
        """Judge what was moved, once all directories are known, and then what has more names."""
        outside: set[int] = set()
        for at in self.later:
            chain: list[int] = []
            while at in self.later and at not in self.inside and at not in outside:
                chain.append(at)
                at = self.later[at][1]  # noqa: PLW2901 - up to one that is known
            if at in self.inside:
                for number in reversed(chain):
                    self.judge(self.later[number])
            else:
                outside.update(chain)
        for each in self.linked:
            if times := sum(parent in self.inside for parent, _ in self.names(each[0])):
                self.judge(each, times)

    def is_leased(self) -> bool:
        """Whether another process has a write lease on one, which to open it would break."""
        return any(
            leased.by_others(inode.status_beneath(path, self.top), self.top)
            for number in leased.numbers(self.top)
            for path in self.paths_of(number)
        )

    def name(self, walk: Walk) -> None:
        """Put in names where names are kept."""
        found = self.found
        for size, number in self.largest:
            for path in self.paths_of(-number):
                keep_largest(found.largest, (size, number, path), LARGEST)
        for allocated, size, number in self.cow_largest:
            for path in self.paths_of(-number):
                keep_largest(found.cow_largest, (allocated, size, number, path), NAMED)
        for number in self.bare:
            for path in self.paths_of(number):
                self.look(path)
        identifier = btrfs.subvolume(self.top).identifier
        for parent, name in treesearch.subvolumes(self.top, identifier):
            if parent in self.inside:
                walk.subvolumes.append(self.path_of(parent) + name)

    def look(self, path: str) -> None:
        """What the tree knows as empty may have data by now that is not written yet."""
        with suppress(FileNotFoundError), inode.beneath(path, self.top) as fd:
            status, nocow = os.fstat(fd), inode.flags(fd) & inode.NOCOW
            is_file = stat.S_ISREG(status.st_mode)
            if is_file and status.st_size:
                self.found.data(path, status, nocow=bool(nocow))
                self.is_late = True
                return
            if is_file:
                self.empty.append(path)
            if not nocow:
                self.found.plain.add(path)

    def remember(self, path: str, transaction: int, walk: Walk) -> None:
        """Say how a later run can know that all of it is so still, where it can."""
        with suppress(OSError):
            if not self.is_late:
                kept = *remembered.where(self.top), transaction, self.inside, self.empty
                memory = remembered.Memory(*kept, walk.subvolumes, self.found, {})
                self.found.reading = remembered.reading(path, memory)

    def names(self, number: int) -> Iterator[tuple[int, str]]:
        return treesearch.names(self.top, number)

    def paths_of(self, number: int) -> Iterator[str]:
        """Every path of an inode below the top."""
        for parent, name in self.names(number):
            if parent in self.inside:
                yield self.path_of(parent) + name

    def path_of(self, directory: int) -> str:
        """Of a directory inside, with the slash behind it; "" for the top."""
        way: list[tuple[int, str]] = []
        while directory != self.number and directory not in self.paths:
            parent, name = next(self.names(directory), (directory, ""))
            if parent == directory:  # it is gone, or was moved out: the subvolume's root is its own
                raise FileNotFoundError(errno.ENOENT, "moved meanwhile")
            way.append((directory, name))
            directory = parent
        path = self.paths.get(directory, "")
        for number, name in reversed(way):
            self.paths[number] = path = f"{path}{name}/"
        return path
