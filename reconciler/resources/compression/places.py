"""What lies below a directory with a compression property."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.directory import Directory
from reconciler.engine.place import Place, directory_thing
from reconciler.facts.diagnostics import Note
from reconciler.facts.tree import NameList
from reconciler.formats.paths import is_at_or_below

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView


class PropertyBelow(Place[NameList]):
    """Directories and files below one with a compression property that have another, or none.

    They were there before it was set. Left out are those that are nocow, which
    excludes it, the immutable ones, and the absolute paths ``apart``.
    """

    path: str
    compression: str
    apart: tuple[str, ...] = ()
    rank: ClassVar[int] = 11
    in_words: ClassVar[bool] = True
    in_a_tree: ClassVar[bool] = True
    decoded = staticmethod(NameList.decoded)

    def lasting(self, want: NameList) -> Note | None:
        del want
        return Note("what is below keeps the compression property")

    def staying(self, now: NameList, host: HostView) -> Note | None:
        is_gone = host.maybe(Directory(self.path)) is None
        return None if is_gone else self.lasting(now)

    @property
    def label(self) -> str:
        return "below it"

    @property
    def full(self) -> str:
        return f"below {self.path}"

    def words(self, value: NameList) -> str:
        if not value.count:
            return f"compression {self.compression}"
        named = ", ".join(value.named[:3]) + (", ..." if value.count > 3 else "")  # noqa: PLR2004
        return f"{value.count:,} without ({named})"

    def half_done(self, have: NameList, now: NameList, want: NameList) -> bool:
        """Some of them set, others not yet."""
        return want.count <= now.count <= have.count

    def thing(self, host: HostView) -> tuple[object, ...]:
        return directory_thing(self, self.path, host)

    def covers(self, other: Place[Any]) -> bool:
        """All that lies below the directory gets the property, but what is declared apart."""
        path = getattr(other, "path", "")
        return (
            type(other).__name__ in {"Directory", "PropertyBelow", "Images", "OneImage"}
            and is_at_or_below(path, self.path)
            and not any(is_at_or_below(path, top) for top in self.apart)
        )

    def stays(self, original: NameList) -> bool:
        """What each of them had is not known."""
        del original
        return True
