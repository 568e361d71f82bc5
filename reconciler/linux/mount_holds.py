"""What mounts, overlays and NFS exports make of a filesystem: which of its inodes they hold.

Sources: overlayfs.rst in the kernel; exportfs(8) and /var/lib/nfs/etab.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.formats import mountinfo
from reconciler.formats.fstab import unescape
from reconciler.formats.paths import at_and_above, is_at_or_below
from reconciler.linux import files, namespaces, process
from reconciler.linux.syscalls import closing
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.linux.namespaces import Namespace, Row


_STACKED = {b"overlay", b"ecryptfs", b"shiftfs"}
"""Filesystems that keep the inodes of other directories."""

SHOWN, COVERED, LAYER, PERHAPS = "shown", "covered", "layer", "perhaps"


class Spot(Value):
    """A place in a filesystem: "major:minor" as in mountinfo, and the path from its root."""

    device: bytes
    path: str


class Held(Value):
    """One inode that a mount holds, how (SHOWN, COVERED, LAYER or PERHAPS), and in words.

    PERHAPS is a layer that cannot be found: its spot has no device, and the last of its name; ""
    where even that is not known.
    """

    spot: Spot
    how: str
    words: str
    is_own: bool = False
    """Whether a mount of this process's own namespace holds it."""


@dataclass(eq=False, repr=False)
class Mounted:
    """All that mounts hold, and every mount by its number."""

    held: list[Held] = field(default_factory=list)
    mounts: dict[int, Row] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def spot(self, fd: int) -> Spot | None:
        """Where an open file lies; None on a mount that is in no namespace any more."""
        if mount := self.mounts.get(process.mount_of(fd)):
            return Spot(mount.device, _below(mount, os.readlink(f"/proc/self/fd/{fd}")))
        return None


def look(kept: Iterable[str] = ()) -> Mounted:
    """Look at every mount namespace once; ``kept`` are further paths of namespace files."""
    with _descriptors():
        spaces, unseen = namespaces.every(_to_resolve, kept)
    found = Mounted(unseen=tuple(unseen))
    spaces.sort(key=lambda space: not space.is_own)
    for space in spaces:
        found.mounts |= space.mounts
        for row in space.mounts.values():
            found.held += _of(row, space)
    found.held += _layers(spaces, found)
    return found


@contextmanager
def _descriptors() -> Iterator[None]:
    """A few more, whatever else is open (setrlimit(2)), where they may be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _of(row: Row, space: Namespace) -> Iterator[Held]:
    """The inode of a Btrfs that a mount shows, and the one that its mount point covers."""
    is_own, on = space.is_own, space.mounts.get(row.parent)
    target = unescape(row.target)
    # A name that is gone is that of no inode: whoever has the name now has nothing of the mount.
    if row.kind == b"btrfs" and not row.root.endswith(b"//deleted"):
        words = f"mounted at {target}{space.words}"
        yield Held(Spot(row.device, unescape(row.root)), SHOWN, words, is_own)
    if on and on.kind == b"btrfs":
        words = f"covered by the mount at {target}{space.words}"
        yield Held(Spot(on.device, _below(on, target)), COVERED, words, is_own)


def _below(mount: Row, path: str) -> str:
    """A path that is on a mount as a path within its filesystem."""
    root, target = unescape(mount.root).rstrip("/"), unescape(mount.target).rstrip("/")
    return f"{root}{path.removeprefix(target)}".rstrip("/") or "/"


def _to_resolve(space: Namespace) -> Iterator[str]:
    """Where the layers of the overlays in a namespace may lie, as absolute paths in it."""
    for row in space.mounts.values():
        if row.kind in _STACKED:
            for way in (way for ways in _named(row) for way in ways):
                yield from _absolute(way, row, space)


def _layers(spaces: Sequence[Namespace], found: Mounted) -> Iterator[Held]:
    """What the layers of each overlay are, wherever it is mounted, once.

    A name means what it meant to who mounted it, which is not told. So every root counts of each
    namespace that has the overlay; where all of them lack the name, this process's own.
    """
    seen: dict[bytes, list[tuple[Namespace, Row]]] = {}
    for space in spaces:
        for row in space.mounts.values():
            if row.kind in _STACKED:
                seen.setdefault(row.device, []).append((space, row))
    for at in seen.values():
        space, row = at[0]
        of = f"the {row.kind.decode()} mounted at {unescape(row.target)}{space.words}"
        for ways in _named(row):
            yield from _layer(ways, of, at, found)


def _named(row: Row) -> tuple[tuple[str, ...], ...]:
    _, source, options = row.rest.split(b" - ", 1)[1].split(b" ", 2)
    if row.kind == b"overlay":
        return mountinfo.overlay_layers(options.decode("utf-8", "surrogateescape"))
    return ((unescape(source),),)


def _layer(
    ways: tuple[str, ...], of: str, at: Sequence[tuple[Namespace, Row]], found: Mounted
) -> Iterator[Held]:
    spots: set[Spot] = set()
    for space, row in at:
        for path in (path for way in ways for path in _absolute(way, row, space)):
            for number, place in space.places.get(path, ()):
                if mount := found.mounts.get(number):
                    spots.add(Spot(mount.device, _below(mount, place)))
    is_relative = not ways[0].startswith("/")
    if not spots and not is_relative:  # a container was made from this process's own namespace
        spots = {spot for way in ways if (spot := _here(way, found))}
    for spot in spots:
        yield Held(spot, LAYER, f"a layer of {of}")
    names = [name for name in os.path.normpath(ways[-1]).split("/") if name not in {"", ".", ".."}]
    if not spots:
        names = names[-1:]  # what was above it may be a mount or a link
    if not spots or (is_relative and names):
        words = f"perhaps a layer of {of}, which calls it {ways[-1]}"
        yield Held(Spot(b"", "/".join(names)), PERHAPS, words)


def _here(path: str, found: Mounted) -> Spot | None:
    """Where a path lies in this process's own namespace; None where nothing is there."""
    with suppress(OSError), closing(os.open(path, os.O_PATH | os.O_CLOEXEC)) as fd:
        return found.spot(fd)
    return None


def _absolute(way: str, row: Row, space: Namespace) -> Iterator[str]:
    """The name itself; a relative one below where it is mounted, and where a process works."""
    if way.startswith("/"):
        yield way
        return
    above = (*at_and_above(unescape(row.target)), *at_and_above(space.works_in))
    yield from (os.path.join(folder, way) for folder in dict.fromkeys(above))


class Subject:
    """A file or a directory that is asked about, and what is held at, in and above it."""

    def __init__(self, found: Mounted, spot: Spot | None) -> None:
        self._path = spot.path if spot else ""
        self._above = [] if spot else ["on a mount that was taken away (umount -l)"]
        self._in: list[tuple[str, Held]] = []
        self._perhaps = [held for held in found.held if held.how == PERHAPS]
        for held in found.held:
            path = held.spot.path
            if spot is None or held.how == PERHAPS or held.spot.device != spot.device:
                continue
            if held.how == LAYER and is_at_or_below(self._path, path):
                self._above.append(held.words)
            elif is_at_or_below(path, self._path):
                self._in.append((path.removeprefix(self._path.rstrip("/")).lstrip("/"), held))

    def used(self, relative: str = "") -> tuple[str, ...]:
        """How mounts use one file: itself, where ``relative`` is "", or one below the directory.

        A mount of a directory that it is in is none of these: a new file shows there, too.
        """
        found = [*self._above]
        for at, held in self._in:
            if at == relative or (held.how == LAYER and is_at_or_below(relative, at)):
                found.append(held.words)
        found += self._maybe([relative])
        return tuple(dict.fromkeys(found))

    def anywhere(self, folders: Iterable[str] = (), *, inner: bool = True) -> tuple[str, ...]:
        """How mounts use the directory, or anything in it; ``folders`` are in it, by their paths.

        ``inner``: what this process's own mounts in it cover, too.
        """
        found = [*self._above]
        found += [h.words for _, h in self._in if inner or not (h.how == COVERED and h.is_own)]
        found += self._maybe(["", *folders])
        return tuple(dict.fromkeys(found))

    def _maybe(self, below: Sequence[str]) -> Iterator[str]:
        for held in self._perhaps:
            name = f"/{held.spot.path}/" if held.spot.path else "/"
            if any(name in f"{self._path}/{path}/" for path in below):
                yield held.words


def held(found: Mounted) -> Iterator[Held]:
    """The directories that an NFS server exports, as what holds all that lies below them."""
    for exported in parse_exports(files.read("/var/lib/nfs/etab") or b""):
        path = os.path.realpath(exported)
        if spot := _here(path, found):  # where it is not there nobody is shown anything
            yield Held(spot, LAYER, path)


def parse_exports(data: bytes) -> tuple[str, ...]:
    """The directories, each once and sorted; a blank in one is escaped as in fstab."""
    fields = (line.split(None, 1)[0] for line in data.split(b"\n") if line.strip())
    return tuple(sorted({unescape(field) for field in fields if field.startswith(b"/")}))
