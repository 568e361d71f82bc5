"""What a place is: a fact about a host that can also be put.

The lower its rank, the earlier a place is put: the live filesystem tries an option before
/etc/fstab may hold it, files exist before systemd loads them, and a timer is stopped before its
unit file goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from reconciler.facts.host import DirectoryId, Locate
from reconciler.facts.host_view import Fact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.host_view import HostView


V = TypeVar("V")


class Place(Fact[V], ABC):
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

    def thing(self, see: HostView) -> tuple[object, ...]:
        """Return what the place is on this host, the same for each way to name the place.

        Raises Hidden where that may not be seen.
        """
        del see
        return (type(self).__name__, self)

    def covers(self, other: Place[Any]) -> bool:
        """Tell whether an entry that declares this place decides ``other`` as well."""
        del other
        return False


def directory_thing(place: Place[Any], path: str, see: HostView) -> tuple[object, ...]:
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
