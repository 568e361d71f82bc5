"""Everything below a directory, by name and inode: what is held against it later to see a change.

Names are read through descriptors, and no file is opened: a lease on it would break.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.engine.directory import MOST_ENTRIES, SEALED, Contents
from reconciler.formats import mountinfo
from reconciler.linux import btrfs, inode, subvolumes, trees
from reconciler.linux.in_use import look
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from reconciler.linux.in_use import Inode, Look


_STUB = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID: what a snapshot shows of a nested subvolume


class Entry(Value):
    """What tells a name's inode from any other, and one state of it from the next."""

    number: int
    format: int
    """stat.S_IFMT of its mode."""
    links: int
    size: int
    changed: int
    """st_ctime_ns: no program can set it back."""


@dataclass
class Survey:
    """All entries by folder and name, folders before those in them; "" is the top itself."""

    device: int
    folders: dict[str, dict[str, Entry]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """The inode number of each folder."""
    count: int = 0
    subvolumes: list[str] = field(default_factory=list)
    """Those in it, and empty stubs of some: none of them can come along."""
    stubs: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def every(self) -> Iterator[tuple[str, Entry]]:
        """Each entry with its path below the top."""
        for folder, entries in self.folders.items():
            for name, entry in entries.items():
                yield joined(folder, name), entry

    def outside(self) -> list[str]:
        """Files that have more names than were found here."""
        several = [(path, e) for path, e in self.every() if _is_file(e) and e.links > 1]
        found: dict[int, int] = {}
        for _, entry in several:
            found[entry.number] = found.get(entry.number, 0) + 1
        return [path for path, entry in several if found[entry.number] != entry.links]

    def special(self) -> list[str]:
        """What is neither a directory, a file nor a symbolic link."""
        known = {stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK}
        return [path for path, entry in self.every() if entry.format not in known]

    @property
    def files(self) -> int:
        """How many regular files, each name of one with several counted."""
        return sum(_is_file(entry) for _, entry in self.every())

    @property
    def size(self) -> int:
        """Bytes of all files, holes included."""
        return sum(entry.size for _, entry in self.every() if _is_file(entry))


def _is_file(entry: Entry) -> bool:
    return entry.format == stat.S_IFREG


def joined(folder: str, name: str) -> str:
    """A path below the top."""
    return f"{folder}/{name}" if folder else name


def survey(top: int) -> Survey:
    """Look at a whole directory, or at MOST_ENTRIES and one more; its subvolume alone."""
    status = os.fstat(top)
    found = Survey(status.st_dev, numbers={"": status.st_ino})
    pending = [""]
    while pending and found.count <= MOST_ENTRIES:
        folder = pending.pop()
        try:
            with beneath(folder, top) as fd:
                if os.fstat(fd).st_ino == found.numbers[folder]:
                    pending += reversed(_look(fd, folder, found))
        except PermissionError:
            found.unseen.append(folder or ".")
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone meanwhile: so is its name from the folder above, next time
    return found


def beneath(folder: str, top: int) -> AbstractContextManager[int]:
    """A folder below the top, without touching when it was last read."""
    extra = os.O_NOATIME if os.geteuid() == 0 else 0
    return inode.beneath(folder or ".", top, os.O_DIRECTORY | extra)


def _look(fd: int, folder: str, found: Survey) -> list[str]:
    """Note the entries of a folder; the folders among them are yet to be looked at."""
    entries = found.folders.setdefault(folder, {})
    inner = []
    for name in sorted(os.listdir(fd)):
        try:
            status = os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        path = joined(folder, name)
        found.count += 1
        if status.st_dev != found.device or status.st_ino == _STUB:
            found.subvolumes.append(path)
            if status.st_ino == _STUB:
                found.stubs.append(path)
            continue
        entries[name] = _entry(status)
        if stat.S_ISDIR(status.st_mode):
            found.numbers[path] = status.st_ino
            inner.append(path)
        if found.count > MOST_ENTRIES:
            break
    return inner


def _entry(status: os.stat_result) -> Entry:
    return Entry(
        status.st_ino,
        stat.S_IFMT(status.st_mode),
        status.st_nlink,
        status.st_size,
        status.st_ctime_ns,
    )


def contents(path: str, mounts: Sequence[mountinfo.Mount], seen: Look) -> Contents:
    """The facts that decide whether the directory can become a subvolume; none where it is not."""
    try:
        with inode.directory(path) as top:
            found = survey(top)
            fixed, unclonable = _attributes(top, found, _without_sums(path, mounts))
            shown = seen.subject(top).anywhere(found.folders, inner=False)
            exported = seen.exported(top).anywhere()
    except FileNotFoundError:
        return Contents()
    who = seen.who(_inodes(found))
    return Contents(
        found.count,
        tuple(path for path in found.subvolumes if path not in found.stubs),
        tuple(m.target.removeprefix(f"{path}/") for m in mounts if m.target.startswith(f"{path}/")),
        shown,
        tuple(found.outside()),
        tuple(found.special()),
        tuple(found.unseen),
        _standing(found, who),
        _opened(found, who),
        exported,
        fixed,
        unclonable,
        seen.unseen,
        seen.limits,
        os.geteuid() == 0,
        _left(path, found.numbers[""]),
        any(mount.target == path for mount in mounts),
        tuple(found.stubs),
    )


def _without_sums(path: str, mounts: Sequence[mountinfo.Mount]) -> bool:
    """Whether new files there get no checksums, without being nocow (mount option nodatasum)."""
    on = mountinfo.containing(mounts, path)
    options = on.super_options.split(",") if on else ()
    return "nodatasum" in options and "nodatacow" not in options


def _attributes(
    top: int, found: Survey, without_sums: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What may not be moved, and what cannot share its data with a new file; as root sees it.

    That a file has no checksums no attribute shows, unless it is nocow.
    """
    if os.geteuid():
        return (), ()
    first: dict[int, str] = {}
    for path, entry in found.every():
        if entry.format in {stat.S_IFREG, stat.S_IFDIR}:
            first.setdefault(entry.number, path)
    first[found.numbers[""]] = "."
    btrfs.commit(top)  # what was set a moment ago lies beside the tree
    fixed, unclonable = [], []
    for number, flags in trees.attributes(top, sorted(first)):
        if word := next((word for flag, word in _FIXED.items() if flags & flag), ""):
            fixed.append(f"{first[number]} ({word})")
        if flags & _CLASS == trees.NODATASUM and not without_sums:
            unclonable.append(first[number])
    return tuple(sorted(fixed)), tuple(sorted(unclonable))


_CLASS = trees.NODATASUM | trees.NODATACOW

_FIXED = {
    trees.IMMUTABLE: "immutable",
    trees.APPEND: "append-only",
    trees.SEALED: SEALED,
}


def _inodes(found: Survey) -> set[Inode]:
    """All directories and files in it."""
    numbers = {entry.number for _, entry in found.every()}
    return {(found.device, number) for number in numbers | set(found.numbers.values())}


def _standing(found: Survey, who: Mapping[Inode, Sequence[str]]) -> tuple[str, ...]:
    """Programs whose working directory it is, or that hold a directory of it open."""
    inside = (who.get((found.device, number), ()) for number in found.numbers.values())
    return tuple(sorted({name for names in inside for name in names}))


def _opened(found: Survey, who: Mapping[Inode, Sequence[str]]) -> tuple[str, ...]:
    """Files that somebody has, with who: "a.raw (qemu (pid 3))"."""
    return tuple(
        f"{path} (by {', '.join(who[found.device, entry.number])})"
        for path, entry in found.every()
        if _is_file(entry) and (found.device, entry.number) in who
    )


def used(found: Survey, top: int) -> str:
    """How anybody uses the directory without opening a file in it; "" where nobody does.

    Whether one is open the leases on them say.
    """
    seen = look(maps=False)
    inodes = _inodes(found)
    if who := _standing(found, seen.who({(found.device, n) for n in found.numbers.values()})):
        return f"{', '.join(who)} has a directory of it open, or works in it"
    handles = {inode: who for inode in inodes if (who := seen.handles(inode))}
    if opened := _opened(found, handles):
        return f"in use: {opened[0]}"
    if shown := seen.subject(top).anywhere(found.folders):
        return f"it, or what is in it, is {shown[0]}"
    if exported := seen.exported(top).anywhere():
        return f"{exported[0]} is exported by NFS"
    return f"what is in use cannot be told: {seen.unseen[0]}" if seen.unseen else ""


def _left(path: str, number: int) -> str:
    if os.geteuid():
        return ""
    parent, name = os.path.split(path)
    with inode.directory(parent) as within:
        found = subvolumes.left(within, name, number)
    return os.path.join(parent, found) if found else ""
