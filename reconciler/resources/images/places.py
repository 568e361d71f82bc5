"""The places of image files: how their data lies, what a rewrite left over, subvolumes.

They hold for a directory as a whole: an action is "the images below it",
however many there are, and never a list of a million names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from reconciler.engine.place import Place, directory_thing
from reconciler.facts.tree import NameList
from reconciler.formats.sizes import counted
from reconciler.value import dataclass

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView


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

_MARGIN = 16 << 20


def needed(allocated: int) -> int:
    """Bytes that must be free to rewrite an image with as many on disk.

    1/128 more is for metadata, the margin for who else writes.
    """
    return allocated + allocated // 128 + _MARGIN


@dataclass(frozen=True, slots=True)
class Images(Place[NameList]):
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

    def words(self, value: NameList) -> str:
        is_what = "copy-on-write" if self.aim == NOCOW else "compressed"
        aim = "nocow" if self.aim == NOCOW else "uncompressed"
        return f"{counted(value.count, 'file')} {is_what}" if value.count else aim

    def half_done(self, have: NameList, now: NameList, want: NameList) -> bool:
        """Some of them rewritten, others not yet."""
        return want.count <= now.count <= have.count

    def thing(self, see: HostView) -> tuple[object, ...]:
        return (*directory_thing(self, self.path, see), self.aim)

    def stays(self, original: NameList) -> bool:
        """Written in place is written in place."""
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
