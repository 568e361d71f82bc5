"""The places of a host that vmtune puts values into.

Each place is a query (what is there?) that can also be put. The lower its
rank, the earlier its swap: the live filesystem tries an option before
/etc/fstab may hold it, files exist before systemd loads them, and a timer is
stopped before its unit file goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from reconciler.core.facts import DirectoryId, FilesystemOf, Locate, Mounts
from reconciler.core.sizes import counted
from reconciler.core.snapshot import Query
from reconciler.core.standing import Standing
from reconciler.formats import mountinfo, tuning
from reconciler.value import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.snapshot import Snapshot

V = TypeVar("V")

ON, OFF = "on", "off"


class Place(Query[V], ABC):
    """A query whose answer can be put: compare-and-swap is the only way to change it."""

    __slots__ = ()
    rank: ClassVar[int]
    is_claimed: ClassVar[bool] = True
    """Whether it is put on record which configuration declares it: others must know."""
    remakes: ClassVar[bool] = False
    """To put it makes another directory of its path."""
    in_parts: ClassVar[bool] = False
    """Several entries and files may each decide a part of its value."""
    loaded_by_systemd: ClassVar[bool] = False
    in_words: ClassVar[bool] = False
    """Its value is printed as a whole, by ``words``, although it has attributes."""

    @property
    def order(self) -> tuple[int, str]:
        """What sorts swaps: by rank, then (where it matters) by name."""
        return (self.rank, "")

    @property
    @abstractmethod
    def label(self) -> str:
        """What is printed to the left of the values."""

    @property
    def full(self) -> str:
        """The same where nothing around it says whose it is."""
        return self.label

    def words(self, value: V) -> str:
        """The value as printed."""
        return "none" if value is None else str(value)

    def half_done(self, have: V, now: V, want: V) -> bool:
        """Whether ``now`` is what a put that was cut off in the middle leaves behind."""
        del have, now, want
        return False

    def stays(self, original: V) -> bool:
        """Whether what vmtune made is left where it is once it is no longer declared."""
        del original
        return False

    def restored(self, original: V, values: Sequence[V], now: V) -> V:
        """Return what the place is to hold once nothing that vmtune wrote is wanted any more.

        ``values`` are what vmtune may have written last. Where the place holds nothing of
        that, it keeps what it holds ``now``.
        """
        return original if now in values else now

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        """Return what the place is on this host, the same for each way to name the place.

        Raises Hidden where that may not be seen.
        """
        del see
        return (type(self).__name__, self)

    def covers(self, other: Place[Any]) -> bool:
        """Tell whether an entry that declares this place decides ``other`` as well."""
        del other
        return False


def directory_thing(place: Place[Any], path: str, see: Snapshot) -> tuple[object, ...]:
    """Return what a place on a directory is: the directory, however its path is written."""
    where = see(Locate(path)).path
    found = see(DirectoryId(where))
    return (type(place).__name__, where if found == "missing" else found)


def is_at_or_below(path: str, top: str) -> bool:
    """Tell whether an absolute path is ``top`` or lies below it, by the names alone."""
    return f"{path}/".startswith(f"{top.rstrip('/')}/")


def at_and_above(path: str) -> Iterator[str]:
    """Yield an absolute path and each directory above it; nothing for ""."""
    while path:
        yield path
        path = "" if path == "/" else path.rpartition("/")[0] or "/"


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

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        return directory_thing(self, self.path, see)

    def stays(self, original: Folder | None) -> bool:
        """A directory that was made may hold images by now."""
        return original is None


@dataclass(frozen=True, slots=True)
class Below(Place[Standing]):
    """Directories and empty files below a nocow directory that lack the attribute.

    They were there before it was set, and inherit nothing; unlike files with
    data they can still take it. Those in ``apart`` (absolute) are declared on
    their own and left out.
    """

    path: str
    apart: tuple[str, ...] = ()
    rank: ClassVar[int] = 11
    in_words: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "below it"

    @property
    def full(self) -> str:
        return f"below {self.path}"

    def words(self, value: Standing) -> str:
        if not value.count:
            return "nocow"
        named = ", ".join(value.named[:3]) + (", ..." if value.count > 3 else "")  # noqa: PLR2004
        return f"{value.count:,} copy-on-write ({named})"

    def half_done(self, have: Standing, now: Standing, want: Standing) -> bool:
        """Some of them set, others not yet."""
        return want.is_left_of(now) and now.is_left_of(have)

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        return directory_thing(self, self.path, see)

    def covers(self, other: Place[Any]) -> bool:
        """All that lies below the directory is to be nocow, but what is declared apart."""
        path = getattr(other, "path", "")
        return (
            type(other).__name__ in {"Directory", "Below", "Images"}
            and is_at_or_below(path, self.path)
            and not any(is_at_or_below(path, top) for top in self.apart)
        )

    def stays(self, original: Standing) -> bool:
        """Each entry may have become part of something else."""
        return bool(original.count)


@dataclass(frozen=True, slots=True)
class LiveOption(Place[str]):
    """One option of a mounted filesystem, as the kernel has it now ("" when absent)."""

    target: str
    name: str
    rank: ClassVar[int] = 20

    @property
    def label(self) -> str:
        return "live"

    @property
    def full(self) -> str:
        return f"{self.name} live on {self.target}"

    def words(self, value: str) -> str:
        return value or f"no {self.name}"

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        """A setting of the filesystem is one, by whichever of its mount points it is named."""
        mounts = see(Mounts())
        mount = mountinfo.at(mounts, see(Locate(self.target)).path)
        if mount is None:
            return ("LiveOption", self.name, self.target)
        if tuning.option(self.name).per_mount:
            return ("LiveOption", self.name, str(mount.mount_id))
        return ("LiveOption", self.name, see(FilesystemOf(mount.target)).uuid)


@dataclass(frozen=True, slots=True)
class FstabOptions(Place[str | None]):
    """The options field of the one /etc/fstab line for a mount point.

    ``line`` is where it stood when it was looked at; other lines come and go,
    so it does not tell places apart.
    """

    target: str
    line: int = field(compare=False)
    rank: ClassVar[int] = 30
    in_parts: ClassVar[bool] = True
    loaded_by_systemd: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"/etc/fstab:{self.line}"

    def words(self, value: str | None) -> str:
        return value or "defaults"


@dataclass(frozen=True, slots=True)
class TextFile(Place[str | None]):
    """A file that is wholly vmtune's: its text, or None when there is none."""

    path: str
    rank: ClassVar[int] = 40

    @property
    def label(self) -> str:
        return self.path

    def words(self, value: str | None) -> str:
        return "none" if value is None else counted(len(value.splitlines()), "line")

    def stays(self, original: str | None) -> bool:
        """What vmtune took away was its own, from before its journal: nobody wants it back."""
        return original is not None


@dataclass(frozen=True, slots=True)
class UnitFile(TextFile):
    """A unit file: systemd reads it only after a daemon-reload."""

    rank: ClassVar[int] = 41
    loaded_by_systemd: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Timer(Place[str]):
    """Whether a timer is enabled (from the next boot) and active (now).

    "on" is both, "off" neither; "enabled" and "active" are one without the other.
    """

    unit: str
    rank: ClassVar[int] = 60

    @property
    def label(self) -> str:
        return self.unit

    def words(self, value: str) -> str:
        return {"on": "enabled, active", "active": "active, not enabled"}.get(value, value)

    def half_done(self, have: str, now: str, want: str) -> bool:
        """One without the other; a link left of a lost file enables the new one at once."""
        del have, want
        return now in {"enabled", "active"}

    def stays(self, original: str) -> bool:
        """As with its file."""
        return original != OFF
