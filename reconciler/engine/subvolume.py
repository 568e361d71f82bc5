"""A path as a subvolume of its own: the place, and what decides whether it can become one."""

# ruff: noqa: ARG002 - a method of a place need not use all that every place is given

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.place import Ground
from reconciler.facts.diagnostics import Note
from reconciler.facts.host import DIRECTORY, MISSING, SUBVOLUME, UNFINISHED
from reconciler.facts.host_view import PathFact
from reconciler.formats import jsondata
from reconciler.formats.paths import parent
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.place import Who
    from reconciler.facts.host_view import HostView


class Subvolume(Ground[str]):
    """Whether a path is a subvolume of its own: MISSING, DIRECTORY, UNFINISHED or SUBVOLUME.

    One that is made gets ``mode``, ``uid`` and ``gid``; one that a directory
    is turned into keeps the directory's.
    """

    mode: int = field(compare=False)
    uid: int = field(compare=False)
    gid: int = field(compare=False)
    remakes: ClassVar[bool] = True
    word: ClassVar[str] = "path"
    nothing: ClassVar[str] = MISSING

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.name(data)

    def lasting(self, want: str) -> Note | None:
        if want == MISSING:
            return None
        return Note("it stays a subvolume: vmtune turns none into a directory")

    def staying(self, now: str, host: HostView) -> Note | None:
        return self.lasting(DIRECTORY) if now == SUBVOLUME else None

    def written_paths(self, have: str, want: str) -> Iterator[str]:
        yield from (parent(self.path), self.path)

    def words(self, value: str) -> str:
        if value == UNFINISHED:
            return "subvolume, the old directory still beside it"
        return value

    def made(self, want: str, who: Who) -> str:
        return f"owner {who(self.uid, self.gid)}, mode {self.mode:04o}" if want != MISSING else ""

    def half_done(self, have: str, now: str, want: str) -> bool:
        """Turned, but what it was is not removed yet."""
        return now == UNFINISHED and want == SUBVOLUME

    def stays(self, original: str) -> bool:
        """It may hold images by now; and a subvolume is a directory to whoever uses it."""
        return True


SEALED = "sealed by fs-verity"
"""Why a file stays where it is, as Contents.fixed has it in parentheses behind the name."""

MOST_ENTRIES = 50_000
"""Files and directories that one turn can hold still: each file is held open meanwhile."""


class Contents(Value):
    """What a directory holds, as far as it decides whether it can become a subvolume.

    The names are relative, sorted. ``outside`` are
    files with hard links outside, ``special`` FIFOs, sockets and devices,
    ``shown`` how other mounts hold the directory or what lies in it, in words,
    ``users`` the programs that stand in it, as far as they can be seen, ``opened`` files that are
    open, with by whom, ``exported`` directories by which NFS clients reach it or a part of it.
    ``fixed`` files are immutable, append-only or sealed, ``unclonable`` ones have no checksums
    where a new file gets some.
    ``left`` is a subvolume beside it that a turn was to make of it and that
    holds what others wrote, as root sees it.
    """

    entries: int = 0
    subvolumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    special: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    unclonable: tuple[str, ...] = ()
    unlooked: tuple[str, ...] = ()
    """Mounts that root could not look at, in words."""
    limits: tuple[str, ...] = ()
    """What else was not looked at, in words, and is no reason to refuse."""
    all_seen: bool = True
    """Whether everybody's open files, and all mounts, could be seen: to root alone they can."""
    left: str = ""
    mounted: bool = False
    """Whether the path itself is a mount point."""
    stubs: tuple[str, ...] = ()
    """Empty directories in the place of a subvolume, as a rollback leaves them: see facts.stub."""

    @property
    def too_many(self) -> bool:
        return self.entries > MOST_ENTRIES

    @property
    def can_be_turned(self) -> bool:
        """Nothing that was seen stands in the way."""
        hindrances = (
            *(self.subvolumes, self.mounts, self.shown, self.outside, self.special),
            *(self.unseen, self.users, self.opened, self.exported, self.fixed),
            *(self.unclonable, self.unlooked, self.stubs),
        )
        return not (self.mounted or self.too_many or self.left or any(hindrances))


class ContentsOf(PathFact[Contents]):
    """Look through a whole directory, by names alone: no file is opened."""


def becomes(path: str, host: HostView) -> bool:
    """Whether a path that is declared as a subvolume is none yet, and can be made one."""
    found = host(Subvolume(path, 0, 0, 0))
    return found == MISSING or (found == DIRECTORY and host(ContentsOf(path)).can_be_turned)
