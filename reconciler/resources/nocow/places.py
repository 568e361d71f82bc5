"""What lies below a nocow directory: the place of nocow besides the directory itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reconciler.engine.directory import Directory
from reconciler.engine.place import Place, directory_thing
from reconciler.facts.diagnostics import Note
from reconciler.facts.tree import MOST, NameList
from reconciler.formats import jsondata
from reconciler.formats.paths import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.facts.host_view import HostView


class Below(Place[NameList]):
    """Directories and empty files below a nocow directory that lack the attribute.

    They were there before it was set, and inherit nothing; unlike files with
    data they can still take it. Those in ``apart`` (absolute) are declared on
    their own and left out.
    """

    path: str
    apart: tuple[str, ...] = ()
    rank: ClassVar[int] = 11
    in_words: ClassVar[bool] = True
    in_a_tree: ClassVar[bool] = True

    @staticmethod
    def decoded(data: Any) -> NameList:
        """Read the value; records of older versions name all of them."""
        if isinstance(data, list):
            return NameList(len(data), jsondata.names(data)[:MOST])
        return NameList.decoded(data)

    def lasting(self, want: NameList) -> Note | None:
        if want.is_whole:
            return None
        return Note(f"{want.count:,} directories and empty files below stay nocow")

    def staying(self, now: NameList, host: HostView) -> Note | None:
        del now
        is_gone = host.maybe(Directory(self.path)) is None
        return None if is_gone else Note("what was made nocow below it is left as it is")

    def not_undone(self, have: NameList, want: NameList) -> Iterator[str]:
        del have, want
        yield "files in it that have data by now stay nocow"

    def makes_nocow(self, have: NameList, want: NameList) -> bool:
        return want.is_left_of(have)

    @property
    def label(self) -> str:
        return "below it"

    @property
    def full(self) -> str:
        return f"below {self.path}"

    def words(self, value: NameList) -> str:
        if not value.count:
            return "nocow"
        named = ", ".join(value.named[:3]) + (", ..." if value.count > 3 else "")  # noqa: PLR2004
        return f"{value.count:,} copy-on-write ({named})"

    def half_done(self, have: NameList, now: NameList, want: NameList) -> bool:
        """Some of them set, others not yet."""
        return want.is_left_of(now) and now.is_left_of(have)

    def thing(self, host: HostView) -> tuple[object, ...]:
        return directory_thing(self, self.path, host)

    def covers(self, other: Place[Any]) -> bool:
        """All that lies below the directory is to be nocow, but what is declared apart."""
        path = getattr(other, "path", "")
        return (
            type(other).__name__ in {"Directory", "Below", "Images", "OneImage"}
            and is_at_or_below(path, self.path)
            and not any(is_at_or_below(path, top) for top in self.apart)
        )

    def stays(self, original: NameList) -> bool:
        """Each entry may have become part of something else."""
        return bool(original.count)
