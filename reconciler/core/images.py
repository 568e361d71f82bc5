"""The places of image files: how their data lies, what a rewrite left over, subvolumes.

They hold for a directory as a whole: an action is "the images below it",
however many there are, and never a list of a million names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.core.places import Place, directory_thing, is_at_or_below
from reconciler.core.sizes import counted
from reconciler.core.standing import Standing
from reconciler.value import dataclass

if TYPE_CHECKING:
    from reconciler.core.snapshot import Snapshot

CODES = {
    "open": "V702",
    "links": "V703",
    "protected": "V704",
    "room": "V706",
    "twice": "V711",
    "damaged": "V716",
    "quota": "V717",
    "disk": "V718",
    "changed": "V719",
    "unlike": "V721",
    "size": "V722",
    "fault": "V723",
    "halted": "V724",
    "remaining": "V724",
    "mounted": "V713",
    "exported": "V714",
    "unseen": "V715",
}
"""Why an image is not rewritten, where that is found out only as the image is rewritten."""

ELSEWHERE = {
    "open": "end that program, then apply again",
    "mounted": "stop the container or service that has this mount, or unmount it, then apply again",
    "exported": "stop what uses it there, take the export back (exportfs -u), then apply again",
    "unseen": "apply where root may look at every mount, outside of a container",
}
"""What to do about an image that is in use although nobody has it open."""

NOCOW, PLAIN = "nocow", "plain"
"""What images should be: written in place, or copy-on-write without compressed extents."""

_STRAY, _SECOND = ".vmtune", ".opened-meanwhile-"
_LONGEST = 200  # bytes, of 255 that a name may have
_MARGIN = 16 << 20
_TIME = 2**64 - 1


def needed(allocated: int) -> int:
    """Bytes that must be free to rewrite an image with as many on disk.

    1/128 more is for metadata, the margin for who else writes.
    """
    return allocated + allocated // 128 + _MARGIN


def stray(old: int, new: int, time: int) -> str:
    """The name that a finished copy has beside its image: their inode numbers, st_mtime_ns.

    Who opened the image just before the two changed places, and wrote after a
    kill, wrote to the stray: the time tells.
    """
    return f"{_STRAY}-{old}-{new}-{time & _TIME:x}"


def stray_parts(name: str) -> tuple[int, int, int] | None:
    """Both inode numbers and the time (as an unsigned number); None for any other name."""
    first, *numbers = name.split("-")
    if first != _STRAY or len(numbers) != 3:  # noqa: PLR2004
        return None
    try:
        found = int(numbers[0]), int(numbers[1]), int(numbers[2], 16)
    except ValueError:
        return None
    return found if stray(*found) == name else None


def second(name: str, new: int) -> str:
    """The name that a copy keeps which was written to, as the image was too: its inode number."""
    while len(name.encode("utf-8", "surrogateescape")) > _LONGEST:
        name = name[:-1]
    return f"{name}{_SECOND}{new}"


def is_second(name: str, number: int) -> bool:
    """Whether ``second`` names a file of that inode number so; a copy of it has another one."""
    return name.endswith(f"{_SECOND}{number}")


def is_stray(name: str) -> bool:
    """Whether a file name is one that only ``stray`` gives."""
    return name.startswith(_STRAY) and stray_parts(name) is not None


@dataclass(frozen=True, slots=True)
class Images(Place[Standing]):
    """Files with data below a directory that are not ``aim`` (NOCOW or PLAIN) yet.

    Putting NONE_LEFT rewrites each of them, one whole image at a time.
    ``apart`` (absolute) are declared on their own; ``spared`` (relative) are
    left as they are, because the plan said why they cannot be rewritten.
    """

    path: str
    aim: str
    apart: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    rank: ClassVar[int] = 12
    is_claimed: ClassVar[bool] = False
    in_words: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "images"

    @property
    def full(self) -> str:
        return f"images below {self.path}"

    def words(self, value: Standing) -> str:
        is_what = "copy-on-write" if self.aim == NOCOW else "compressed"
        aim = "nocow" if self.aim == NOCOW else "uncompressed"
        return f"{counted(value.count, 'file')} {is_what}" if value.count else aim

    def half_done(self, have: Standing, now: Standing, want: Standing) -> bool:
        """Some of them rewritten, others not yet."""
        return want.count <= now.count <= have.count

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        return (*directory_thing(self, self.path, see), self.aim)

    def stays(self, original: Standing) -> bool:
        """Written in place is written in place."""
        del original
        return True


def alike(setting: str, wanted: str) -> bool:
    """Whether a compression setting of an inode has the effect of a property ``wanted``.

    The kernel ignores the level, and takes "no" and chattr +m for "none".
    """
    return setting.partition(":")[0] == wanted or (wanted == "none" and setting in {"no", "m"})


@dataclass(frozen=True, slots=True)
class PropertyBelow(Place[Standing]):
    """Directories and files below one with a compression property that have another, or none.

    They were there before it was set. Left out are those that are nocow, which
    excludes it, the immutable ones, and the absolute paths ``apart``.
    """

    path: str
    compression: str
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
            return f"compression {self.compression}"
        named = ", ".join(value.named[:3]) + (", ..." if value.count > 3 else "")  # noqa: PLR2004
        return f"{value.count:,} without ({named})"

    def half_done(self, have: Standing, now: Standing, want: Standing) -> bool:
        """Some of them set, others not yet."""
        return want.count <= now.count <= have.count

    def thing(self, see: Snapshot) -> tuple[object, ...]:
        return directory_thing(self, self.path, see)

    def covers(self, other: Place[Any]) -> bool:
        """All that lies below the directory gets the property, but what is declared apart."""
        path = getattr(other, "path", "")
        return (
            type(other).__name__ in {"Directory", "PropertyBelow", "Images"}
            and is_at_or_below(path, self.path)
            and not any(is_at_or_below(path, top) for top in self.apart)
        )

    def stays(self, original: Standing) -> bool:
        """What each of them had is not known."""
        del original
        return True


@dataclass(frozen=True, slots=True)
class Strays(Place[tuple[str, ...]]):
    """What a rewrite that was killed left beside its image: names, relative, sorted."""

    path: str
    apart: tuple[str, ...] = ()
    rank: ClassVar[int] = 9
    is_claimed: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "left over"

    @property
    def full(self) -> str:
        return f"left over below {self.path}"

    def words(self, value: tuple[str, ...]) -> str:
        return counted(len(value), "unfinished copy", "unfinished copies") if value else "nothing"

    def half_done(self, have: tuple[str, ...], now: tuple[str, ...], want: tuple[str, ...]) -> bool:
        """Some of them gone."""
        return set(want) <= set(now) <= set(have)

    def stays(self, original: tuple[str, ...]) -> bool:
        """Nobody wants them back."""
        return bool(original)
