"""What lies below a directory of images: values of bounded size, whatever the tree's.

One image for status: facts/images.py.
"""

from __future__ import annotations

from typing import Any

from reconciler.formats import jsondata
from reconciler.value import Value

REDACTED = "?"
"""What stands for a name in what everybody may read."""

MOST = 1000
"""How many a NameList names; above that it only counts."""


class NameList(Value):
    """Entries below a directory: how many, and the first MOST of their paths, sorted.

    Paths are relative to the directory's. Sizes are left out: they change
    whenever a machine runs, and say nothing about how the data lies.
    """

    count: int
    named: tuple[str, ...]

    @staticmethod
    def decoded(data: Any) -> NameList:
        """Read the value from JSON data; raise FormatError where it is none."""
        return jsondata.built(NameList, jsondata.mapping(data))

    def redacted(self) -> NameList:
        """Return as many without their names."""
        return NameList(self.count, tuple(REDACTED for _ in self.named))

    @property
    def is_whole(self) -> bool:
        """Whether all of them are named."""
        return self.count == len(self.named)

    def is_left_of(self, other: NameList) -> bool:
        """Whether it may be what is left of another: no more, and no name that is new."""
        known = set(other.named)
        cut = bool(other.named) and not other.is_whole
        last = other.named[-1] if cut else ""  # behind it the other names none
        return self.count <= other.count and all(
            name in known or (last and name > last) for name in self.named
        )


NONE_LEFT = NameList(0, ())

NAMED = 10
"""How many files with data are named, those with most on disk; the rest is counted."""

SPECIAL = 3
"""How many symbolic links, sockets and the like are named; the rest is counted."""

OPENED_TWICE = "opened twice"
"""The obstacle of a second copy: one program wrote to it, another one to the image."""

FOREIGN = "it is no copy that vmtune made"
"""The obstacle of a file that only has the name of a stale copy."""

LARGEST = 100
"""How many files with data are named whatever they are, the largest."""


class CowFile(Value):
    """A file with data that is copy-on-write; sizes in bytes, path relative to the scan.

    ``allocated`` is st_blocks: a compressed extent counts as long as it is
    uncompressed. ``fragments`` are as filefrag(8) counts them; ``data``, ``shared``, ``encoded``
    (compressed) and ``both`` are FIEMAP's. None and 0 where the kernel would not say.
    """

    path: str
    size: int
    fragments: int | None = None
    allocated: int = 0
    data: int = 0
    shared: int = 0
    encoded: int = 0
    both: int = 0
    obstacle: str = ""
    """Why it cannot be rewritten: "hard links", "immutable", "append-only", "sealed" (verity)."""
    holders: tuple[str, ...] = ()
    """Who has it open: "qemu-system-x86 (pid 123)", as far as this user may see."""
    shown: tuple[str, ...] = ()
    """Mounts that hold it, though nobody has it open: "mounted at /mnt (pid 7, sh)"."""
    exported: str = ""
    """The directory by which NFS clients can reach it; what they have open is not seen."""

    @property
    def kept(self) -> int:
        """Bytes shared or compressed: as many more are in use once it is rewritten."""
        return self.shared + self.encoded - self.both


class Busy(Value):
    """A file that was not opened, because ``who`` has it: "being rewritten by run 12 (pid 345)"."""

    path: str
    who: str


class Lot(Value):
    """Files of one sort, summed up, in bytes; ``largest`` is at most NAMED of them.

    ``first`` are the first of their paths, sorted, at most standing.MOST;
    ``hindered`` those of all that have an obstacle or a holder, at most as many.
    """

    largest: tuple[CowFile, ...] = ()
    count: int = 0
    size: int = 0
    allocated: int = 0
    shared: int = 0
    encoded: int = 0
    first: tuple[str, ...] = ()
    hindered: tuple[CowFile, ...] = ()
    hindered_count: int = 0
    kept: int = 0


class Parts(Value):
    """A file that names others it is an image with.

    ``what`` each of them is: "backing file", "data file", "extent", "more
    file" where they differ. ``others`` are relative to the scan, or absolute
    where they lie elsewhere.
    """

    path: str
    what: str
    others: tuple[str, ...]


class Settings(Value):
    """Directories and files of one compression setting (as in places.Folder), not nocow ones."""

    value: str
    which: NameList


class Tree(Value):
    """What lies below a directory of images, within its subvolume.

    ``cow`` are the copy-on-write files with data, ``compressed`` those of them
    that have compressed extents; ``plain`` the directories and empty files
    that lack nocow. ``unseen`` could not be opened for reading, nor then
    judged. ``nocow_directories`` are those below that hand nocow on, counted.
    Without a close look (facts.host.TreeOf) lots have no more than sums and the largest,
    with their extents; ``parts``, ``settings``, ``special`` and who holds what are empty.
    """

    files: int = 0
    cow: Lot = Lot()
    compressed: Lot = Lot()
    plain: NameList = NONE_LEFT
    subvolumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    unseen: NameList = NONE_LEFT
    nocow_directories: int = 0
    largest: tuple[str, ...] = ()
    """The LARGEST of all files with data, of ``data_files`` with ``data_bytes`` in all."""
    data_files: int = 0
    data_bytes: int = 0
    nocow_only: bool = False
    """There are files with data, and all of them are nocow."""
    parts: tuple[Parts, ...] = ()
    held_parts: tuple[CowFile, ...] = ()
    """Files that are no obstacle of their own, being nocow, but open parts of one in ``parts``."""
    stale_copies: tuple[str, ...] = ()
    """What rewrites that were killed left behind, and may go; no part of the rest."""
    holders_seen: bool = True
    """Whether everybody's open files, and all mounts, could be seen: to root alone they can."""
    unlooked: tuple[str, ...] = ()
    """Mounts that root could not look at, in words: any file may be in one of them."""
    limits: tuple[str, ...] = ()
    """What else was not looked at, in words, and is no reason to leave a file."""
    settings: tuple[Settings, ...] = ()
    """Of what is below, by what it says of compression; without what is immutable."""
    left_over: tuple[CowFile, ...] = ()
    """What looks like a stale copy and must stay: ``obstacle`` says why (OPENED_TWICE)."""
    special: tuple[str, ...] = ()
    """The first SPECIAL of what is no regular file, "disk.raw (symbolic link)", sorted."""
    special_count: int = 0
    busy: tuple[Busy, ...] = ()
    """Why some of ``unseen`` are so: another process has a write lease on each."""
    stubs: tuple[str, ...] = ()
    """Empty directories in the place of a subvolume, as a rollback leaves them: see facts.stub."""
