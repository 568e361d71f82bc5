"""What a place is: a fact about a host that can also be put.

The lower its rank, the earlier a place is put: the live filesystem tries an option before
/etc/fstab may hold it, files exist before systemd loads them, and a timer is stopped before its
unit file goes.
"""

# ruff: noqa: ARG002 - a method of a place need not use all that every place is given

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from reconciler.facts.host import DirectoryId, Locate
from reconciler.facts.host_view import Fact, HostView
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from reconciler.engine.reporter import Reporter
    from reconciler.facts.diagnostics import Note, Refusal

    Reads = Mapping[type[Fact[Any]], Callable[[Any, HostView], Any]]
    Written = Mapping["Place[Any]", tuple["LastApplied", ...]]
    """What is on record of each place: of each configuration, the last writer last."""
    Writes = Mapping[type["Place[Any]"], Callable[[Any, Any, Any, Reporter], str | None]]

V = TypeVar("V")

_DEEPEST = 10_000
"""Above every rank: PATH_MAX allows for 4,096 levels."""

Who = Callable[[int, int], str]
"""Names the owner, and where it is not theirs the group, of two numeric ids."""


def numbered(uid: int, gid: int) -> str:
    """Name nobody: for who cannot ask the host."""
    return f"{uid}:{gid}"


class Place(Fact[V], ABC):
    """A fact whose answer can be put: compare-and-swap is the only way to change it."""

    rank: ClassVar[int]
    is_claimed: ClassVar[bool] = True
    """Whether it is put on record which configuration declares it: others must know."""
    remakes: ClassVar[bool] = False
    """To put it makes another directory of its path."""
    in_parts: ClassVar[bool] = False
    """Several entries and files may each decide a part of its value."""

    part_names: ClassVar[frozenset[str]] = frozenset()
    """The names of all parts, for places in parts."""
    loaded_by_systemd: ClassVar[bool] = False
    in_words: ClassVar[bool] = False
    """Its value is printed as a whole, by ``words``, although it has attributes."""
    in_a_tree: ClassVar[bool] = False
    """It is a directory, or tells of what lies in one, and has a ``path``."""
    is_ground: ClassVar[bool] = False
    """Its ``path`` is a directory, which is made and removed with the place."""
    uses_loaded_units: ClassVar[bool] = False
    """systemd must have read unit files before it is switched on."""
    word: ClassVar[str] = ""
    """What a row calls it where the path of the entry and of the place are one."""
    nothing: ClassVar[Any] = None
    """The value that says that nothing is there, or that it is switched off."""

    @staticmethod
    @abstractmethod
    def decoded(data: Any) -> V:
        """Read a value from JSON data; raise FormatError where it is none."""

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

    @property
    def left_out(self) -> frozenset[str]:
        """Name what lies below it and is left as it is; none for most places."""
        return frozenset()

    def without_left_out(self) -> Place[V]:
        """Return the place whatever is left out of it: the same for each run."""
        return self

    def parts(self, have: V) -> frozenset[Place[Any]] | None:
        """Return the places that a put changes one after the other where ``have`` is.

        Most places are one whole. None where they are more than are named.
        """
        return frozenset({self})

    def redacted(self) -> Place[V]:
        """Return the place without the names of files that were found."""
        return self

    def is_made(self, have: V) -> bool:
        """Tell whether to put the place where ``have`` is makes its directory."""
        return self.is_ground and bool(have == self.nothing)

    def turn(self, want: V) -> tuple[int, str]:
        """Return what sorts the swap that puts ``want`` among the swaps of a plan."""
        return self.order

    def words(self, value: V) -> str:
        """The value as printed."""
        return "none" if value is None else str(value)

    def shown(self, value: V) -> str:
        """Return the value as a row of a plan prints it, before or behind the arrow."""
        return self.words(value)

    def change(self, have: V, want: V, who: Who) -> tuple[str, str]:
        """Return both values as a row prints them; of what is made also the owner and the mode."""
        before, after = self.shown(have), self.shown(want)
        made = self.made(want, who) if have == self.nothing else ""
        return before, f"{after}, {made}" if made else after

    def made(self, want: V, who: Who) -> str:
        """Say whose it is, and with which mode, where it is made; "" for most places."""
        return ""

    def in_full(self, have: V, want: V, who: Who) -> tuple[str | None, str | None]:
        """Return both values as a person reads all of them: of a file the text, None for none."""
        return self.change(have, want, who)

    def units(self) -> tuple[str, ...]:
        """Name the units that systemd makes of the place, which it must read again."""
        return ()

    def half_done(self, have: V, now: V, want: V) -> bool:
        """Whether ``now`` is what a put that was cut off in the middle leaves behind."""
        return False

    def is_rest(self, now: V, then: V, want: V) -> bool:
        """Tell whether to put ``want`` where ``now`` is, is no more than where ``then`` was."""
        return now == then or self.half_done(then, now, want)

    def stays(self, original: V) -> bool:
        """Whether what vmtune made is left where it is once it is no longer declared."""
        return False

    def restored(self, original: V, values: Sequence[V], now: V) -> V:
        """Return what the place is to hold once nothing that vmtune wrote is wanted any more.

        ``values`` are what vmtune may have written last. Where the place holds nothing of
        that, it keeps what it holds ``now``.
        """
        return original if now in values else now

    def original(self, was: LastApplied, have: V) -> V:
        """Return what was there before vmtune, where a run finds ``have`` now."""
        original: V = was.original
        return original

    def restored_part(
        self, now: V, records: Sequence[LastApplied], kept: frozenset[str]
    ) -> V | None:
        """Return the value without what ``records`` wrote into it, for places in parts.

        ``kept`` are the parts that others decide. None where the value cannot be read part by
        part.
        """
        return None

    def changed_parts(self, was: LastApplied) -> frozenset[str]:
        """Return the parts of the value that a record changed, for places in parts."""
        return frozenset()

    def as_called_now(self, host: HostView) -> Place[V]:
        """Return the place as it is called now: a line of a file has another number later."""
        return self

    def lasting(self, want: V) -> Note | None:
        """Say why the place does not become ``want`` again by being put; None where it does."""
        return None

    def kept_off(self, want: V, host: HostView) -> Note | None:
        """Say why ``want`` is not put back here and now; None where nothing hinders it."""
        return None

    def restores_also(self, swap: Swap, swaps: Sequence[Swap], host: HostView) -> Iterator[Swap]:
        """Yield what comes back with a swap that puts this place back, one of ``swaps``."""
        return iter(())

    def staying(self, now: V, host: HostView) -> Note | None:
        """Say what stays once nothing declares the place; None where nothing is left to say."""
        return None

    def not_undone(self, have: V, want: V) -> Iterator[str]:
        """Yield what it does not undo to put ``have`` back where ``want`` was put."""
        return iter(())

    def obstacle(self, host: HostView) -> Refusal | None:
        """Return why nothing can be put here, whatever the value is; None where it can."""
        return None

    def written_paths(self, have: V, want: V) -> Iterator[str]:
        """Yield the directories that get or lose an entry, and what is changed itself."""
        return iter(())

    def makes_nocow(self, have: V, want: V) -> bool:
        """Tell whether the swap sets the nocow attribute on something."""
        return False

    def rests_on(self, host: HostView) -> Iterator[tuple[str, str]]:
        """Yield the facts that a plan of it rests on, as preconditions.ASK names them."""
        return iter(())

    def ends_sharing(self, below: str, host: HostView) -> int:
        """Count the bytes below a path that are shared now, and no more once it is put."""
        return 0

    def makes_images_nocow(self, path: str) -> bool:
        """Tell whether it makes every image below a resolved path nocow."""
        return False

    def compress_option(self, targets: Collection[str], want: V) -> str | None:
        """Return the live compress option that it puts on one of the mount points, else None."""
        return None

    def thing(self, host: HostView) -> tuple[object, ...]:
        """Return what the place is on this host, the same for each way to name the place.

        Raise NotVisible where that may not be seen.
        """
        return (type(self).__name__, self)

    def covers(self, other: Place[Any]) -> bool:
        """Tell whether an entry that declares this place decides ``other`` as well."""
        return False


def path_of(place: Place[Any]) -> str:
    """Return the path of a place, or its mount point; "" for one that has neither."""
    return str(getattr(place, "path", "") or getattr(place, "target", ""))


def directory_thing(place: Place[Any], path: str, host: HostView) -> tuple[object, ...]:
    """Return what a place on a directory is: the directory, however its path is written."""
    where = host(Locate(path)).path
    found = host(DirectoryId(where))
    return (type(place).__name__, where if found == "missing" else found)


class Ground(Place[V]):
    """A directory, which is made and removed with the place; ``path`` is absolute and resolved."""

    path: str
    rank: ClassVar[int] = 10
    in_a_tree: ClassVar[bool] = True
    is_ground: ClassVar[bool] = True

    @property
    def order(self) -> tuple[int, str]:
        """A directory sorts behind those it lies in."""
        return (self.rank, self.path)

    def turn(self, want: V) -> tuple[int, str]:
        """A directory is removed last of all, the inner ones first."""
        is_removed = want == self.nothing
        return (_DEEPEST - self.path.count("/"), "") if is_removed else self.order

    @property
    def label(self) -> str:
        return self.path

    def thing(self, host: HostView) -> tuple[object, ...]:
        return directory_thing(self, self.path, host)


class Swap(Value):
    """Compare-and-swap: put ``want`` where ``have`` is; anything else there is stale."""

    place: Place[Any]
    have: Any
    want: Any
    why: str = ""
    owner: str = ""
    """The resource it serves, as printed: ``nocow ~/libvirt/images``."""


class LastApplied(Value):
    """A place's value before a configuration first had it written, and what it may hold now.

    That is the value written last. Only where the last writing was cut off or
    failed (not ``certain``) may it also be an earlier one, or still the original.
    """

    original: Any
    values: tuple[Any, ...]
    owner: str
    run: int
    certain: bool = True
    config: str = ""
    """The resolved path of the configuration that declared it when it was written.

    Two configurations may share a line of fstab: what one of them finds there of the
    other's words is part of its ``original``.
    """
    thing: str = ""
    """Which directory this is, as facts.host.DirectoryId tells; "" where that is not known."""
