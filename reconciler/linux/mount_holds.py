"""What mounts, overlays and NFS exports make of a filesystem: which of its inodes they hold.

Sources: overlayfs.rst in the kernel; exportfs(8) and /var/lib/nfs/etab.
"""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.formats import overlay
from reconciler.formats.fstab import unescape
from reconciler.formats.paths import is_at_or_below
from reconciler.linux import files, namespaces, proc
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.linux.namespaces import Namespace, Row


_STACKED = {b"overlay": "overlay", b"ecryptfs": "ecryptfs", b"shiftfs": "shiftfs"}
"""Filesystems that keep the inodes of other directories."""

_BTRFS = b"btrfs"

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
        lines = proc.whole(f"/proc/self/fdinfo/{fd}").splitlines()
        number = next(int(line[7:]) for line in lines if line.startswith(b"mnt_id:"))
        mount = self.mounts.get(number)
        if mount is None:
            return None
        path = os.readlink(f"/proc/self/fd/{fd}")
        return Spot(mount.device, _below(mount, path))


def look(kept: Iterable[str] = ()) -> Mounted:
    """Look at every mount namespace once; ``kept`` are further paths of namespace files."""
    found = Mounted()
    with _descriptors():
        spaces, unseen = namespaces.every(_to_resolve, kept)
    found.unseen = tuple(unseen)
    spaces.sort(key=lambda space: not space.is_own)
    for space in spaces:
        found.mounts |= space.mounts
    for space in spaces:
        for row in space.mounts.values():
            found.held += _of(row, space)
    found.held += _layers(spaces, found)
    return found


@contextmanager
def _descriptors() -> Iterator[None]:
    """A few more, whatever else is open (setrlimit(2)), where they may be had."""
    soft = hard = 0
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        if hard:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _of(row: Row, space: Namespace) -> Iterator[Held]:
    """The inode of a Btrfs that a mount shows, and the one that its mount point covers."""
    is_own, on = space.is_own, space.mounts.get(row.parent)
    # A name that is gone is that of no inode: whoever has the name now has nothing of the mount.
    if row.kind == _BTRFS and not row.root.endswith(b"//deleted"):
        words = f"mounted at {_text(row.target)}{space.words}"
        yield Held(Spot(row.device, _text(row.root)), SHOWN, words, is_own)
    if on and on.kind == _BTRFS:
        target = _text(row.target)
        words = f"covered by the mount at {target}{space.words}"
        yield Held(Spot(on.device, _below(on, target)), COVERED, words, is_own)


def _below(mount: Row, path: str) -> str:
    """A path that is on a mount as a path within its filesystem."""
    root, target = _text(mount.root).rstrip("/"), _text(mount.target).rstrip("/")
    return f"{root}{path.removeprefix(target)}".rstrip("/") or "/"


def _text(shown: bytes) -> str:
    return unescape(shown) if b"\\" in shown else os.fsdecode(shown)


def _to_resolve(space: Namespace) -> Iterator[str]:
    """Where the layers of the overlays in a namespace may lie, as absolute paths in it."""
    for row in space.mounts.values():
        if row.kind in _STACKED:
            for ways in _named(row):
                for way in ways:
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
        of = f"the {_STACKED[row.kind]} mounted at {_text(row.target)}{space.words}"
        for ways in _named(row):
            yield from _layer(ways, of, at, found)


def _named(row: Row) -> tuple[tuple[str, ...], ...]:
    _, source, options = row.rest.split(b" - ", 1)[1].split(b" ", 2)
    if row.kind == b"overlay":
        return overlay.layers(options.decode("utf-8", "surrogateescape"))
    return ((_text(source),),)


def _layer(
    ways: tuple[str, ...], of: str, at: Sequence[tuple[Namespace, Row]], found: Mounted
) -> Iterator[Held]:
    spots: set[Spot] = set()
    for space, row in at:
        for path in (path for way in ways for path in _absolute(way, row, space)):
            for number, place in space.places.get(path, ()):
                if mount := found.mounts.get(number):
                    spots.add(Spot(mount.device, _below(mount, place)))
    for way in ways if not spots and ways[0].startswith("/") else ():
        spots |= {spot for spot in [_here(way, found)] if spot}
    for spot in spots:
        yield Held(spot, LAYER, f"a layer of {of}")
    if not spots:
        yield Held(Spot(b"", _last(ways[-1])), PERHAPS, _perhaps(of, ways))
    elif not ways[0].startswith("/") and (name := _end(ways[-1])):
        yield Held(Spot(b"", name), PERHAPS, _perhaps(of, ways))


def _here(path: str, found: Mounted) -> Spot | None:
    """Where a path lies in this process's own namespace, which a container was made from."""
    with suppress(OSError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            return found.spot(fd)
        finally:
            os.close(fd)
    return None


def _perhaps(of: str, ways: tuple[str, ...]) -> str:
    return f"perhaps a layer of {of}, which calls it {ways[-1]}"


def _last(name: str) -> str:
    """The last name of a layer that was not found: what was above it may be a mount or a link."""
    return _end(name).rpartition("/")[2]


def _end(name: str) -> str:
    """What a relative name ends with, wherever it begins; "" where it says nothing."""
    parts = os.path.normpath(name).split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def _absolute(way: str, row: Row, space: Namespace) -> Iterator[str]:
    """The name itself; a relative one below where it is mounted, and where a process works."""
    if way.startswith("/"):
        yield way
        return
    folders = [_text(row.target), *([space.works_in] if space.works_in else [])]
    above: dict[str, None] = {}
    for folder in folders:
        here = folder
        while here not in above:
            above[here] = None
            here = os.path.dirname(here)
    yield from (os.path.join(folder, way) for folder in above)


class Subject:
    """A file or a directory that is asked about, and what is held at, in and above it."""

    def __init__(self, found: Mounted, spot: Spot | None) -> None:
        self._path = spot.path if spot else ""
        self._above = [] if spot else ["on a mount that was taken away (umount -l)"]
        self._in: list[tuple[str, Held]] = []
        self._at: dict[str, list[str]] = {}
        for held in found.held:
            if spot and held.how != PERHAPS and held.spot.device == spot.device:
                self._note(held.spot.path, held)
        self._perhaps = [held for held in found.held if held.how == PERHAPS]

    def _note(self, path: str, held: Held) -> None:
        if held.how == LAYER and is_within(self._path, path):
            self._above.append(held.words)
        elif is_within(path, self._path):
            below = path.removeprefix(self._path.rstrip("/")).lstrip("/")
            self._in.append((below, held))
            if held.how != LAYER:
                self._at.setdefault(below, []).append(held.words)

    def used(self, relative: str = "") -> tuple[str, ...]:
        """How mounts use one file: itself, where ``relative`` is "", or one below the directory.

        A mount of a directory that it is in is none of these: a new file shows there, too.
        """
        if not (self._above or self._in or self._perhaps):
            return ()
        found = [*self._above, *self._at.get(relative, ())]
        found += [h.words for at, h in self._in if h.how == LAYER and is_within(relative, at)]
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


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or below it."""
    return is_at_or_below(path, folder)


_TABLE = "/var/lib/nfs/etab"


def exported() -> tuple[str, ...]:
    """Resolved; none where no NFS server is set up."""
    return tuple(os.path.realpath(path) for path in parse_exports(files.read(_TABLE) or b""))


def held(found: Mounted) -> Iterator[Held]:
    """The exported directories, as what holds all that lies below them."""
    for path in exported():
        with suppress(OSError):  # it is not there: nobody is shown anything
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if spot := found.spot(fd):
                    yield Held(spot, LAYER, path)
            finally:
                os.close(fd)


def parse_exports(data: bytes) -> tuple[str, ...]:
    """The directories, each once and sorted; a blank in one is escaped as in fstab."""
    fields = (line.split(None, 1)[0] for line in data.splitlines() if line.strip())
    return tuple(sorted({unescape(field) for field in fields if field.startswith(b"/")}))
