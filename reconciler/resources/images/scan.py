"""What lies below a directory of images: the files decide, not the directory's attribute."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import is_second, is_stale_copy
from reconciler.facts.tree import (
    LARGEST,
    NAMED,
    OPENED_TWICE,
    REDACTED,
    CowFile,
    Lot,
    Parts,
    Settings,
    Tree,
)
from reconciler.formats import image_file
from reconciler.formats.paths import at_and_above
from reconciler.linux import extents, in_use, inode, lease, users
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
from reconciler.resources.images.places import NOCOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.linux.in_use import Inode, Look
    from reconciler.linux.tree_walk import Entry
    from reconciler.resources.images.places import Image


def scan_outline(path: str, mounted: frozenset[str], apart: tuple[str, ...] = ()) -> Tree:
    """The tree below ``path``; a directory that is not there is an empty one.

    Not filled in are what FIEMAP and the files' own headers say, who has what open, and the
    compression settings: `scan` looks that close. Of the largest the extents are counted.
    """
    walk, found = Walk(frozenset(apart), mounted), Outline()
    with suppress(FileNotFoundError):
        for entry in entries(path, walk):
            _judge(entry, path, found)
    cow = Lot(_looked_at(path, found), found.cow_count, found.cow_size, found.cow_allocated)
    nocow_only = bool(found.data_files) and not found.cow_count
    return replace(_tree(walk, found), cow=cow, nocow_only=nocow_only)


def _judge(entry: Entry, path: str, found: Outline) -> None:
    status, value, name = entry.status, inode.flags(entry.fd), entry.path.rpartition("/")[2]
    is_file = stat.S_ISREG(status.st_mode)
    if is_file and is_stale_copy(name):
        if why := stale_copies.why_kept(entry.within, name):
            found.left_over.append(CowFile(entry.path, status.st_size, obstacle=why))
        else:
            found.stale_copies.append(entry.path)
        return
    if is_file and is_second(name, status.st_ino):
        found.left_over.append(CowFile(entry.path, status.st_size, obstacle=OPENED_TWICE))
    nocow = bool(value & inode.NOCOW)
    found.files += is_file
    found.nocow_directories += nocow and not is_file
    if isinstance(found, _Found) and not value & (inode.NOCOW | inode.IMMUTABLE):
        setting = inode.compression(entry.fd, value)
        found.settings.setdefault(setting, Names()).add(entry.path)
    if not is_file or not status.st_size:
        if not nocow:
            found.plain.add(entry.path)
    elif isinstance(found, _Found):
        _with_data(entry, value, path, found)
    else:
        found.data(entry.path, status, nocow=nocow)


def _tree(walk: Walk, found: Outline) -> Tree:
    return Tree(
        files=found.files,
        plain=found.plain.standing,
        subvolumes=tuple(sorted(walk.subvolumes)),
        mounts=tuple(sorted(walk.mounts)),
        unseen=walk.unseen.standing,
        nocow_directories=found.nocow_directories,
        largest=tuple(row[2] for row in sorted(found.largest, key=lambda row: (-row[0], row[2]))),
        data_files=found.data_files,
        data_bytes=found.data_bytes,
        stale_copies=tuple(sorted(found.stale_copies)),
        holders_seen=os.geteuid() == 0,
        left_over=tuple(sorted(found.left_over, key=lambda file: file.path)),
        busy=lease.busy_words(walk.busy),
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
    with suppress(OSError), lease.opened(name, top) as fd:
        return _measured(fd, name, os.fstat(fd), inode.flags(fd))
    return CowFile(name, size, None, allocated)


_ASKED = 100_000
"""Files of which it is looked up who has them open; a lease is asked for of every one."""

_MOST_NAMED = 10_000
"""Parts of images that are remembered, in all: a header may name a thousand."""


@dataclass
class _Sum:
    """A Lot while it grows: never more names than are shown."""

    largest: list[tuple[int, int, str, CowFile]] = field(default_factory=list)
    """Bytes on disk, size, path: by these, and the file."""
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

    def add(self, file: CowFile) -> None:
        self.count += 1
        self.size += file.size
        self.allocated += file.allocated
        self.shared += file.shared
        self.encoded += file.encoded
        self.kept += file.kept
        keep_largest(self.largest, (file.allocated, file.size, file.path, file), NAMED)
        keep_first(self.first, file.path)
        if file.obstacle:
            self.hindered_count += 1
            keep_first(self.hindered, (file.path, file))

    def hold(self, file: CowFile) -> None:
        """Someone uses it: said wherever the file is named."""
        path = file.path
        self.held[path] = file
        if any(name == path for name, _ in self.hindered):
            self.hindered = [(n, file if n == path else f) for n, f in self.hindered]
        elif not file.obstacle:
            self.hindered_count += 1
            keep_first(self.hindered, (path, file))

    def lot(self) -> Lot:
        ordered = sorted(self.largest, key=lambda row: (-row[0], -row[1], row[2]))
        return Lot(
            tuple(self.held.get(path) or file for *_, path, file in ordered),
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


@dataclass
class _Found(Outline):
    """With what only a close look asks; its lots are counted in ``cow`` and ``compressed``."""

    cow: _Sum = field(default_factory=_Sum)
    compressed: _Sum = field(default_factory=_Sum)
    asked: dict[Inode, CowFile] = field(default_factory=dict)
    parts: list[Row] = field(default_factory=list)
    named: int = 0
    settings: dict[str, Names] = field(default_factory=dict)


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
            _judge(entry, path, found)
    if found.parts:
        found.parts = followed(found.parts, path)
    tree = _tree(walk, found)
    if found.asked:
        tree = _used(path, found, tree, uses())
    return replace(
        tree,
        cow=found.cow.lot(),
        compressed=found.compressed.lot(),
        nocow_only=bool(found.data_files) and not found.cow.count,
        parts=tuple(Parts(*row) for row in found.parts),
        settings=tuple(Settings(value, names.standing) for value, names in found.settings.items()),
        special=tuple(walk.special),
        special_count=walk.special_count,
    )


def _one_image(name: str, path: str, walk: Walk, found: _Found) -> None:
    """Judge an image, and each file that it names below ``path``, however many lead there."""
    pending, known = {name}, {name}
    while pending:
        for entry in named(path, sorted(pending), walk):
            _judge(entry, path, found)
        named_by = followed(found.parts, path) if found.parts else ()
        others = {other for *_, names in named_by for other in names if other[:1] != "/"}
        pending = {n for n in others - known if walk.apart.isdisjoint(at_and_above(f"{path}/{n}"))}
        known |= pending


def _with_data(entry: Entry, value: int, path: str, found: _Found) -> None:
    if not is_again(entry.status, found.linked):  # a file counts once, whatever names it has
        found.data_files += 1
        found.data_bytes += entry.status.st_size
        keep_largest(found.largest, (entry.status.st_size, 0, entry.path), LARGEST)
    if value & inode.NOCOW:
        return
    file = _measured(entry.fd, entry.path, entry.status, value)
    found.cow.add(file)
    if file.encoded:
        found.compressed.add(file)
    if len(found.asked) < _ASKED:
        found.asked[in_use.inode_of(entry.status)] = file
    what, others = _parts(entry, path)
    found.named += len(others)
    if others and found.named <= _MOST_NAMED:
        keep_first(found.parts, (entry.path, what, others))


def _measured(fd: int, path: str, status: os.stat_result, value: int) -> CowFile:
    size, obstacle = status.st_size, _obstacle(status, value)
    allocated = status.st_blocks * 512  # whatever st_blksize is: inode(7)
    try:
        found = extents.sums(fd, size)
    except OSError:
        return CowFile(path, size, None, allocated, obstacle=obstacle)
    sums = found.data, found.shared, found.encoded, found.both
    return CowFile(path, size, found.fragments, allocated, *sums, obstacle)


def _obstacle(status: os.stat_result, value: int) -> str:
    if not value & (inode.IMMUTABLE | inode.VERITY | inode.APPEND):
        return "hard links" if status.st_nlink > 1 else ""
    if value & inode.IMMUTABLE:
        return "immutable"
    return "sealed" if value & inode.VERITY else "append-only"


def _parts(entry: Entry, path: str) -> tuple[str, tuple[str, ...]]:
    """What an image says at its beginning; of no other file more than that is read."""
    if entry.status.st_size < image_file.SMALLEST:
        return "", ()
    fd = entry.fd
    with suppress(PermissionError):  # for who owns it: looking changes not even the time of access
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NOATIME | os.O_NONBLOCK)
    if not image_file.is_known(os.pread(fd, image_file.MAGIC, 0)):
        return "", ()
    return image_file.parts(os.pread(fd, image_file.HEAD, 0), entry.path, path)


def _used(path: str, found: _Found, tree: Tree, seen: Look) -> Tree:
    """The tree with the parts that are open, and nocow already; its lots hear who uses what."""
    named = {name for *_, others in found.parts for name in others if name[:1] != "/"}
    parts: dict[Inode, CowFile] = {}
    with inode.directory(path) as top:
        for name in sorted(named):  # what lies elsewhere is not looked at
            with suppress(OSError):
                status = inode.status_beneath(name, top)
                parts[in_use.inode_of(status)] = CowFile(name, status.st_size)
        mounts, shared = seen.subject(top), seen.exported(top)
    who = in_use.staying(seen, {*found.asked, *parts})
    for key, file in found.asked.items():
        use = (who.get(key, ()), mounts.used(file.path), "".join(shared.used(file.path)[:1]))
        if any(use):
            held = replace(file, holders=use[0], shown=use[1], exported=use[2])
            found.cow.hold(held)
            if file.encoded:
                found.compressed.hold(held)
    nocow = sorted(parts.keys() & who.keys() - found.asked.keys())
    held_parts = tuple(replace(parts[key], holders=who[key]) for key in nocow)
    return replace(tree, held_parts=held_parts, unlooked=seen.unseen, limits=seen.limits)


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
    for _ in range(_MOST):
        if name.startswith("/"):
            break
        try:
            name = image_file.placed(inode.link_beneath(name, top), name, path)
        except OSError:  # no link, at last; or there is nothing of that name
            break
    return name


def image_state(place: Image) -> str:
    """How the data of one image lies, as of the place; NotVisible where that cannot be told."""
    if place.name == REDACTED:
        raise users.not_visible("see which image it was")
    try:
        with inode.directory(place.path) as top, lease.opened(place.name, top) as fd:
            return place.UNLIKE if differs(fd, os.fstat(fd), place.aim) else place.ALIKE
    except (FileNotFoundError, NotADirectoryError):
        return place.GONE
    except OSError as error:
        raise NotVisible(f"{place.path}/{place.name}: {error.strerror}") from None


def differs(fd: int, status: os.stat_result, aim: str) -> bool:
    """Whether an open file has data that lies otherwise than ``aim`` says."""
    if not stat.S_ISREG(status.st_mode) or not status.st_size or inode.flags(fd) & inode.NOCOW:
        return False
    return aim == NOCOW or bool(extents.sums(fd, status.st_size).encoded)
