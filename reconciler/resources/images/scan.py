"""What lies below a directory of images: the files decide, not the directory's attribute."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from reconciler.facts.stale_copies import is_second, is_stale_copy
from reconciler.facts.tree import LARGEST, NAMED, OPENED_TWICE, CowFile, Lot, Parts, Settings, Tree
from reconciler.formats.paths import at_and_above
from reconciler.linux import fiemap, inode, proc_locks
from reconciler.linux.tree_walk import (
    Names,
    Outline,
    Walk,
    entries,
    is_again,
    keep_first,
    keep_largest,
    named,
)
from reconciler.resources.images import stale_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.linux.in_use import Inode, Look
    from reconciler.linux.tree_walk import Entry


def scan_outline(path: str, mounted: frozenset[str], apart: tuple[str, ...] = ()) -> Tree:
    """The tree below ``path``; a directory that is not there is an empty one.

    Not filled in are what FIEMAP and the files' own headers say, who has what open, and the
    compression settings: `scan` looks that close. Of the largest the extents are counted.
    """
    walk, found = Walk(frozenset(apart), mounted), Outline()
    with suppress(FileNotFoundError):
        for entry in entries(path, walk):
            _judge(entry, found)
    return _tree(path, walk, found)


def _judge(entry: Entry, found: Outline) -> None:
    status, name = entry.status, entry.path.rpartition("/")[2]
    is_file = stat.S_ISREG(status.st_mode)
    if is_file and is_stale_copy(name):
        if why := stale_copies.why_kept(entry.within, name):
            found.left_over.append(CowFile(entry.path, status.st_size, obstacle=why))
        else:
            found.stale_copies.append(entry.path)
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
        stale_copies=tuple(sorted(found.stale_copies)),
        holders_seen=os.geteuid() == 0,
        left_over=tuple(sorted(found.left_over, key=lambda file: file.path)),
        busy=proc_locks.busy_words(walk.busy),
        stubs=tuple(sorted(walk.stubs)),
    )


def _looked_at(path: str, found: Outline) -> tuple[CowFile, ...]:
    """The largest, with the number of their fragments where the kernel tells it."""
    if not found.cow_largest:
        return ()
    ordered = sorted(found.cow_largest, key=lambda row: (-row[0], -row[1], row[3]))
    with inode.directory(path) as top:
        return tuple(_close(top, name, size, allocated) for allocated, size, _, name in ordered)


def _close(top: int, name: str, size: int, allocated: int) -> CowFile:
    """Sum up the extents of one file, and say what would keep it from being rewritten."""
    with suppress(OSError), proc_locks.opened(name, top) as fd:
        return _file(_measured(fd, name, os.fstat(fd), inode.flags(fd)))
    return CowFile(name, size, None, allocated)


_ASKED = 100_000
"""Files of which it is looked up who has them open; a lease is asked for of every one."""

_MOST_NAMED = 10_000
"""Parts of images that are remembered, in all: a header may name a thousand."""

_Use = tuple[tuple[str, ...], tuple[str, ...], str]
"""Who has a file, which mounts hold it, and the directory that exports it."""


class _Row(NamedTuple):
    """One file of many, as CowFile; the largest are those with most on disk."""

    allocated: int
    size: int
    path: str
    fragments: int | None
    data: int
    shared: int
    encoded: int
    both: int
    obstacle: str


@dataclass
class _Sum:
    """A Lot while it grows: never more names than are shown."""

    largest: list[_Row] = field(default_factory=list)
    count: int = 0
    size: int = 0
    allocated: int = 0
    shared: int = 0
    encoded: int = 0
    kept: int = 0
    first: list[str] = field(default_factory=list)
    hindered: list[tuple[str, CowFile]] = field(default_factory=list)
    hindered_count: int = 0
    held: dict[str, CowFile] = field(default_factory=dict)

    def add(self, row: _Row) -> None:
        self.count += 1
        self.size += row.size
        self.allocated += row.allocated
        self.shared += row.shared
        self.encoded += row.encoded
        self.kept += row.shared + row.encoded - row.both
        keep_largest(self.largest, row, NAMED)
        keep_first(self.first, row.path)
        if row.obstacle:
            self.hindered_count += 1
            keep_first(self.hindered, (row.path, _file(row)))

    def hold(self, row: _Row, use: _Use) -> None:
        """Someone uses it: said wherever the file is named."""
        path, (who, shown, exported) = row.path, use
        file = replace(_file(row), holders=who, shown=shown, exported=exported)
        self.held[path] = file
        if any(name == path for name, _ in self.hindered):
            self.hindered = [(n, file if n == path else f) for n, f in self.hindered]
        elif not file.obstacle:
            self.hindered_count += 1
            keep_first(self.hindered, (path, file))

    def lot(self) -> Lot:
        ordered = sorted(self.largest, key=lambda row: (-row.allocated, -row.size, row.path))
        return Lot(
            tuple(self.held.get(row.path) or _file(row) for row in ordered),
            self.count,
            self.size,
            self.allocated,
            self.shared,
            self.encoded,
            tuple(self.first),
            tuple(file for _, file in self.hindered),
            self.hindered_count,
            self.kept,
        )


def _file(row: _Row) -> CowFile:
    return CowFile(
        row.path,
        row.size,
        row.fragments,
        row.allocated,
        row.data,
        row.shared,
        row.encoded,
        row.both,
        row.obstacle,
    )


@dataclass
class _Found:
    files: int = 0
    cow: _Sum = field(default_factory=_Sum)
    compressed: _Sum = field(default_factory=_Sum)
    plain: Names = field(default_factory=Names)
    nocow_directories: int = 0
    largest: list[tuple[int, str]] = field(default_factory=list)
    data_files: int = 0
    data_bytes: int = 0
    nocow_only: bool = True
    asked: dict[tuple[int, int], _Row] = field(default_factory=dict)
    parts: list[Row] = field(default_factory=list)
    named: int = 0
    stale_copies: list[str] = field(default_factory=list)
    left_over: list[CowFile] = field(default_factory=list)
    settings: dict[str, Names] = field(default_factory=dict)
    linked: set[tuple[int, int]] = field(default_factory=set)


def scan(  # noqa: PLR0913 - one question to each
    path: str,
    mounted: frozenset[str],
    apart: tuple[str, ...],
    uses: Callable[[], Look],
    *,
    patient: bool = True,
    only: str = "",
) -> Tree:
    """Walk one subvolume from ``path``; a directory that is not there is an empty tree.

    ``uses`` looks at what is in use; ``patient``: files on which others have leases are
    waited for. ``only`` is a file below, relative: of the others, only its parts are looked at.
    """
    walk, found = Walk(frozenset(apart), mounted), _Found()
    walk.patience *= patient
    with suppress(FileNotFoundError):
        if only:
            _one_image(only, path, walk, found)
        for entry in () if only else entries(path, walk):
            _survey_judge(entry, path, found)
    if found.parts:
        found.parts = followed(found.parts, path)
    return (
        _used(path, found, _survey_tree(walk, found), uses())
        if found.asked
        else _survey_tree(walk, found)
    )


def _one_image(name: str, path: str, walk: Walk, found: _Found) -> None:
    """Judge an image, and each file that it names below ``path``, however many lead there."""
    pending, known = {name}, {name}
    while pending:
        for entry in named(path, sorted(pending), walk):
            _survey_judge(entry, path, found)
        named_by = followed(found.parts, path) if found.parts else ()
        others = {other for *_, names in named_by for other in names if other[:1] != "/"}
        pending = {n for n in others - known if not is_apart(f"{path}/{n}", walk.apart)}
        known |= pending


def is_apart(path: str, apart: frozenset[str]) -> bool:
    """Tell whether a path is declared on its own, or lies below one that is."""
    return any(above in apart for above in at_and_above(path))


def _survey_judge(entry: Entry, path: str, found: _Found) -> None:
    status, value, name = entry.status, inode.flags(entry.fd), entry.path.rpartition("/")[2]
    if stat.S_ISDIR(status.st_mode):
        found.nocow_directories += bool(value & inode.NOCOW)
    elif is_stale_copy(name):
        _stray(entry, name, found)
        return
    else:
        found.files += 1
        if is_second(name, status.st_ino):
            found.left_over.append(CowFile(entry.path, status.st_size, obstacle=OPENED_TWICE))
    if not value & (inode.NOCOW | inode.IMMUTABLE):
        _set_apart(inode.compression(entry.fd, value), entry.path, found)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        _with_data(entry, value, path, found)
    elif not value & inode.NOCOW:
        found.plain.add(entry.path)


def _set_apart(setting: str, path: str, found: _Found) -> None:
    found.settings.setdefault(setting, Names()).add(path)


def _stray(entry: Entry, name: str, found: _Found) -> None:
    if why := stale_copies.why_kept(entry.within, name):
        found.left_over.append(CowFile(entry.path, entry.status.st_size, obstacle=why))
    else:
        found.stale_copies.append(entry.path)


def _with_data(entry: Entry, value: int, path: str, found: _Found) -> None:
    if not is_again(entry.status, found.linked):  # a file counts once, whatever names it has
        found.data_files += 1
        found.data_bytes += entry.status.st_size
        keep_largest(found.largest, (entry.status.st_size, entry.path), LARGEST)
    if value & inode.NOCOW:
        return
    found.nocow_only = False
    row = _measured(entry.fd, entry.path, entry.status, value)
    found.cow.add(row)
    if row.encoded:
        found.compressed.add(row)
    if len(found.asked) < _ASKED:
        found.asked[entry.status.st_dev, entry.status.st_ino] = row
    what, others = _parts(entry, path)
    found.named += len(others)
    if others and found.named <= _MOST_NAMED:
        keep_first(found.parts, (entry.path, what, others))


def _measured(fd: int, path: str, status: os.stat_result, value: int) -> _Row:
    allocated = status.st_blocks * 512  # whatever st_blksize is: inode(7)
    try:
        found = fiemap.sums(fd, status.st_size)
    except OSError:
        return _Row(allocated, status.st_size, path, None, 0, 0, 0, 0, _obstacle(status, value))
    figures = (found.fragments, found.data, found.shared, found.encoded, found.both)
    return _Row(allocated, status.st_size, path, *figures, _obstacle(status, value))


def _obstacle(status: os.stat_result, value: int) -> str:
    if not value & (inode.IMMUTABLE | inode.VERITY | inode.APPEND):
        return "hard links" if status.st_nlink > 1 else ""
    if value & inode.IMMUTABLE:
        return "immutable"
    return "sealed" if value & inode.VERITY else "append-only"


def _parts(entry: Entry, path: str) -> tuple[str, tuple[str, ...]]:
    """What an image says at its beginning; of no other file more than that is read."""
    from reconciler.formats import image_file  # noqa: PLC0415 - only where images are cow

    if entry.status.st_size < image_file.SMALLEST:
        return "", ()
    fd = entry.fd
    with suppress(PermissionError):  # for who owns it: looking changes not even the time of access
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NOATIME | os.O_NONBLOCK)
    if not image_file.is_known(os.pread(fd, image_file.MAGIC, 0)):
        return "", ()
    return image_file.parts(os.pread(fd, image_file.HEAD, 0), entry.path, path)


def _used(path: str, found: _Found, tree: Tree, seen: Look) -> Tree:
    """The tree with who uses what; and which parts of images are open, that are nocow already."""
    from reconciler.linux.in_use import inode_of, staying  # noqa: PLC0415 - only where images are cow

    named = {name for *_, others in found.parts for name in others if name[:1] != "/"}
    parts: dict[Inode, CowFile] = {}
    with inode.directory(path) as top:
        for name in sorted(named):  # what lies elsewhere is not looked at
            with suppress(OSError):
                status = inode.status_beneath(name, top)
                parts[inode_of(status)] = CowFile(name, status.st_size)
        mounts, shared = seen.subject(top), seen.exported(top)
    who = staying(seen, {*found.asked, *parts})
    for key, row in found.asked.items():
        use = (who.get(key, ()), mounts.used(row.path), "".join(shared.used(row.path)[:1]))
        if any(use):
            found.cow.hold(row, use)
            if row.encoded:
                found.compressed.hold(row, use)
    nocow = sorted(parts.keys() & who.keys() - found.asked.keys())
    return replace(
        tree,
        cow=found.cow.lot(),
        compressed=found.compressed.lot(),
        held_parts=tuple(replace(parts[key], holders=who[key]) for key in nocow),
        unlooked=seen.unseen,
        limits=seen.limits,
    )


def _survey_tree(walk: Walk, found: _Found) -> Tree:
    return Tree(
        found.files,
        found.cow.lot(),
        found.compressed.lot(),
        found.plain.standing,
        tuple(sorted(walk.subvolumes)),
        tuple(sorted(walk.mounts)),
        walk.unseen.standing,
        found.nocow_directories,
        tuple(name for _, name in sorted(found.largest, key=lambda pair: (-pair[0], pair[1]))),
        found.data_files,
        found.data_bytes,
        found.nocow_only and bool(found.data_files),
        tuple(Parts(*row) for row in found.parts),
        (),
        tuple(sorted(found.stale_copies)),
        os.geteuid() == 0,
        settings=tuple(Settings(value, names.standing) for value, names in found.settings.items()),
        left_over=tuple(sorted(found.left_over, key=lambda file: file.path)),
        special=tuple(walk.special),
        special_count=walk.special_count,
        busy=proc_locks.busy_words(walk.busy),
        stubs=tuple(sorted(walk.stubs)),
    )


_MOST = 10
"""Links that are followed one after another; the kernel follows 40 (path_resolution(7))."""

Row = tuple[str, str, tuple[str, ...]]
"""As facts.tree.Parts: a file, what the others are that it names, and those."""


def followed(rows: Sequence[Row], path: str) -> list[Row]:
    """The same rows, naming files where they named links ("current.qcow2").

    Relative to ``path``, and only as long as that leads to what lies below it:
    what is elsewhere is not looked at. Nothing is opened.
    """
    files: dict[str, str] = {}
    with inode.directory(path) as top:
        for name in {name for *_, others in rows for name in others}:
            files[name] = _links_file(name, path, top)
    found = ((i, w, dict.fromkeys(files[name] for name in others)) for i, w, others in rows)
    without = ((i, w, tuple(name for name in others if name != i)) for i, w, others in found)
    return [row for row in without if row[2]]


def _links_file(name: str, path: str, top: int) -> str:
    from reconciler.formats import image_file  # noqa: PLC0415 - only where images name others

    for _ in range(_MOST):
        if name.startswith("/"):
            break
        try:
            name = image_file.placed(inode.link_beneath(name, top), name, path)
        except OSError:  # no link, at last; or there is nothing of that name
            break
    return name
