"""Directories and subvolumes as places, and directories that are to be made."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.model import Desired
from reconciler.engine.place import Ground
from reconciler.facts.diagnostics import Note
from reconciler.facts.host import DIRECTORY, MISSING, SUBVOLUME, UNFINISHED, Mounts, real
from reconciler.facts.host_view import PathFact
from reconciler.formats import datamode, jsondata, mountinfo
from reconciler.formats.paths import is_at_or_below, parent
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.item import Item, Items
    from reconciler.engine.place import Who
    from reconciler.facts.host import Location
    from reconciler.facts.host_view import HostView


MODE = 0o711  # what libvirt gives the directory of a storage pool it builds

TOO_WIDE = frozenset({"/", "/boot", "/etc", "/home", "/opt", "/srv", "/usr", "/var", "/var/lib"})
"""Directories of the system: far more than images lies below them."""


def made_in(where: Location, mode: int = MODE) -> dict[str, Any]:
    """Return the fields ``mode``, ``uid`` and ``gid`` of what is made there."""
    setgid = 0o2000 if where.parent_setgid else 0  # handed on by the parent
    return {"mode": mode | setgid, "uid": where.parent_uid, "gid": where.parent_gid}


class Above(Value):
    """What an entry declares of a directory above a path: what is made below inherits from it.

    ``nocow`` is None where the entry says nothing of it, ``compression`` then "". ``subvolume``:
    the directory is to be a subvolume, which inherits nothing of what is around it.
    """

    path: str
    nocow: bool | None = None
    compression: str = ""
    subvolume: bool = False


def declared_above(item: Item, items: Items) -> tuple[Above, ...]:
    """Return what the entries above an entry's path declare, the outermost first."""
    found = (
        Above(
            other.path,
            bool(other.data["nocow"]) if "nocow" in other.marks else None,
            str(other.data.get("compression") or ""),
            bool(other.data.get("subvolume")),
        )
        for other in items.above(item.path)
        if other.section == item.section
    )
    return tuple(sorted(found, key=lambda each: len(each.path)))


class Inherited(Value):
    """What a new directory has from the one that it is made in."""

    nocow: bool = False
    compression: str = ""


def inherited(
    where: Location, host: HostView, above: Sequence[Above]
) -> dict[str, Inherited | None]:
    """Return what each missing directory above a path will have, once the plan is done.

    The directories are those of ``where.missing`` but the last. The key "" holds what the path
    itself would inherit. None: the nearest directory that is there could not be seen.
    """
    top = parent(where.missing[0])
    nearest = host.maybe(Directory(top))
    found = Inherited(nearest.nocow, nearest.compression) if nearest else None
    by_path = {real(each.path, host): each for each in above}
    for path, each in by_path.items():
        if is_at_or_below(top, path):
            found = _reaching(found, each) if path != top else _declared(found, each)
    each_has: dict[str, Inherited | None] = {}
    for missing in where.missing[:-1]:
        if by := by_path.get(missing):
            found = _declared(Inherited() if by.subvolume else found, by)
        each_has[missing] = found
    return {**each_has, "": found}


def _declared(now: Inherited | None, by: Above) -> Inherited | None:
    """Return what the declared directory itself will have."""
    if by.compression:
        return Inherited(nocow=False, compression=by.compression)
    if by.nocow is None:
        return now
    if by.nocow:
        return Inherited(nocow=True)
    return now and replace(now, nocow=False)


def _reaching(now: Inherited | None, by: Above) -> Inherited | None:
    """Return what a directory that is there already, below a declared one, will have.

    Nocow and a property are set below, too; what is not wanted is ended at the path alone.
    """
    if by.compression and now and not now.nocow:
        return Inherited(nocow=False, compression=by.compression)
    return Inherited(nocow=True) if by.nocow else now


def is_written_in_place(path: str, host: HostView) -> bool:
    """Whether new files there are nocow whatever their directory is: the mount option decides."""
    mount = mountinfo.containing(host.maybe(Mounts()) or (), path)
    return mount is not None and datamode.of_live(mount.super_options).nodatacow


def without_nocow(path: str, host: HostView) -> str:
    """What new files there are, in words, if their directory is not nocow."""
    if is_written_in_place(path, host):
        return "nocow only as long as the filesystem is mounted nodatacow"
    return "copy-on-write"


def on_the_way(
    where: Location, host: HostView, above: Sequence[Above] = ()
) -> Iterator[Desired[Folder | None]]:
    """Yield a goal for each missing directory above a path, with what it will inherit.

    A run that is cut off anywhere is followed by a plan that comes to the same end, so what is
    declared above counts as done. A directory that is to be a subvolume is made by its own entry.
    """
    if len(where.missing) < 2:  # noqa: PLR2004 - only the path itself is missing
        return
    own = {real(each.path, host) for each in above if each.subvolume}
    for missing, has in inherited(where, host, above).items():
        if missing and missing not in own:
            folder = Folder(
                nocow=bool(has and has.nocow),
                compression=has.compression if has else "",
                **made_in(where, 0o755),
            )
            yield Desired(Directory(missing), folder, weak=True)


def alike(setting: str, wanted: str) -> bool:
    """Whether a compression setting of an inode has the effect of a property ``wanted``.

    The kernel ignores the level, and takes "no" and chattr +m for "none".
    """
    return setting.partition(":")[0] == wanted or (wanted == "none" and setting in {"no", "m"})


class Folder(Value):
    """A directory: what its new files inherit, and whose it is.

    ``compression`` is the per-directory setting that the kernel refuses next
    to nocow: "" or "zstd", "lzo", "zlib", "none" (property btrfs.compression),
    "c" or "m" (chattr without a property). ``mode`` has permission bits only.
    """

    nocow: bool
    compression: str
    mode: int
    uid: int
    gid: int


def _property(value: str) -> str:
    return f"compression {value}" if value else "no compression property"


class Directory(Ground[Folder | None]):
    """A directory that is there or not."""

    in_words: ClassVar[bool] = True
    word: ClassVar[str] = "directory"

    @staticmethod
    def decoded(data: Any) -> Folder | None:
        return None if data is None else jsondata.built(Folder, jsondata.mapping(data))

    def not_undone(self, have: Folder | None, want: Folder | None) -> Iterator[str]:
        if have and want and want.nocow:  # what was made is removed only where it is empty
            yield "files written since stay nocow, and without checksums"

    def written_paths(self, have: Folder | None, want: Folder | None) -> Iterator[str]:
        """Name the directory around it where it comes or goes; itself for an extended attribute.

        Root may set the nocow attribute on what is immutable.
        """
        if have is None or want is None:
            yield from (parent(self.path), self.path)
        elif have.compression != want.compression:
            yield self.path

    def makes_nocow(self, have: Folder | None, want: Folder | None) -> bool:
        return bool(want and want.nocow and not (have and have.nocow))

    def words(self, value: Folder | None) -> str:
        if value is None:
            return "missing"
        own = f", compression {value.compression}" if value.compression else ""
        return f"directory{', nocow' if value.nocow else own}, mode {value.mode:04o}"

    def shown(self, value: Folder | None) -> str:
        if value is None:
            return "missing"
        if value.compression:
            own = f"compression {value.compression}"
            return f"nocow, {own}" if value.nocow else own
        return "nocow" if value.nocow else "copy-on-write"

    def change(self, have: Folder | None, want: Folder | None, who: Who) -> tuple[str, str]:
        """Say of a property that comes, goes or changes just that."""
        if have and want and have.nocow == want.nocow:
            return _property(have.compression), _property(want.compression)
        return super().change(have, want, who)

    def made(self, want: Folder | None, who: Who) -> str:
        return f"owner {who(want.uid, want.gid)}, mode {want.mode:04o}" if want else ""

    def half_done(self, have: Folder | None, now: Folder | None, want: Folder | None) -> bool:
        """Made, or one attribute gone, but the other not yet set."""
        if now is None or want is None:
            return False
        left = {want.compression, have.compression, ""} if have else {now.compression}
        as_wanted = replace(now, nocow=want.nocow, compression=want.compression) == want
        return as_wanted and now.compression in left

    def restored(
        self, original: Folder | None, values: Sequence[Folder | None], now: Folder | None
    ) -> Folder | None:
        """Put back the attribute and the property: mode and owner are not vmtune's."""
        if original is None or now is None:
            return original if now in values else now
        ours = {(value.nocow, value.compression) for value in values if value}
        if (now.nocow, now.compression) not in ours:
            return now
        return replace(now, nocow=original.nocow, compression=original.compression)

    def stays(self, original: Folder | None) -> bool:
        """A directory that was made may hold images by now."""
        return original is None


# ruff: noqa: ARG002 - a method of a place need not use all that every place is given


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
