"""A directory as a place, and directories that are to be made: whose they are, their mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.model import Desired
from reconciler.engine.place import Place, directory_thing, parent, removal_turn
from reconciler.formats import jsondata
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from reconciler.facts.host import Location
    from reconciler.facts.host_view import HostView


MODE = 0o711  # what libvirt gives the directory of a storage pool it builds

_PLAIN_MODE = 0o755

TOO_WIDE = frozenset({"/", "/boot", "/etc", "/home", "/opt", "/srv", "/usr", "/var", "/var/lib"})
"""Directories of the system: far more than images lies below them."""


def mode(bits: int, where: Location) -> int:
    """With the set-group-ID bit where the parent hands it on."""
    return bits | 0o2000 if where.parent_setgid else bits


def owner(where: Location) -> dict[str, Any]:
    """The fields ``uid`` and ``gid`` of what is made there."""
    return {"uid": where.parent_uid, "gid": where.parent_gid}


def on_the_way(
    where: Location, see: HostView, nocow: Collection[str] = (), own: Collection[str] = ()
) -> Iterator[Desired[Folder | None]]:
    """Missing directories above a path, which inherit from what is there or will be.

    Below the paths ``nocow`` they inherit that; those in ``own`` are made as they are
    declared.
    """
    if len(where.missing) < 2:  # noqa: PLR2004 - only the path itself is missing
        return
    nearest = see.maybe(Directory(where.missing[0].rpartition("/")[0] or "/"))
    for missing in where.missing[:-1]:
        inside = any(missing.startswith(f"{path}/") for path in nocow)
        folder = Folder(
            nocow=inside or bool(nearest and nearest.nocow),
            compression=nearest.compression if nearest and not inside else "",
            mode=mode(_PLAIN_MODE, where),
            **owner(where),
        )
        if missing not in own:
            yield Desired(Directory(missing), folder, weak=True)


def alike(setting: str, wanted: str) -> bool:
    """Whether a compression setting of an inode has the effect of a property ``wanted``.

    The kernel ignores the level, and takes "no" and chattr +m for "none".
    """
    return setting.partition(":")[0] == wanted or (wanted == "none" and setting in {"no", "m"})


@dataclass(frozen=True, slots=True)
class Folder:
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


@dataclass(frozen=True, slots=True)
class Directory(Place[Folder | None]):
    """A directory that is there or not; absolute and resolved."""

    path: str
    rank: ClassVar[int] = 10
    in_a_tree: ClassVar[bool] = True
    is_ground: ClassVar[bool] = True

    @staticmethod
    def decoded(data: Any) -> Folder | None:
        return None if data is None else jsondata.built(Folder, jsondata.mapping(data))

    def turn(self, want: Folder | None) -> tuple[int, str]:
        return removal_turn(self.path) if want is None else self.order

    def not_undone(self, have: Folder | None, want: Folder | None) -> Iterator[str]:
        del have
        if want and want.nocow:
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

    @property
    def order(self) -> tuple[int, str]:
        """A directory sorts behind those it lies in."""
        return (self.rank, self.path)

    @property
    def label(self) -> str:
        return self.path

    def words(self, value: Folder | None) -> str:
        if value is None:
            return "missing"
        own = f", compression {value.compression}" if value.compression else ""
        return f"directory{', nocow' if value.nocow else own}, mode {value.mode:04o}"

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

    def thing(self, see: HostView) -> tuple[object, ...]:
        return directory_thing(self, self.path, see)

    def stays(self, original: Folder | None) -> bool:
        """A directory that was made may hold images by now."""
        return original is None
