"""What the entries of one configuration hold: every place that one of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import apart
from reconciler.engine.claims import part_of
from reconciler.engine.model import Desired, is_end
from reconciler.engine.place import at_and_above
from reconciler.facts.host import DirectoryId
from reconciler.facts.host_view import NotVisible
from reconciler.formats import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import LastApplied
    from reconciler.engine.place import Place
    from reconciler.engine.plan import Declared, Spoken
    from reconciler.facts.host_view import HostView


class Held:
    """The places that the declared entries decide, also those that are refused now."""

    def __init__(self, said: Sequence[Spoken], host: HostView) -> None:
        self._host = host
        self._wanted: dict[Place[Any], set[str]] = {}
        self._ended: dict[Place[Any], None] = {}
        self._ended_owners: set[str] = set()
        for d, words in said:
            if any(map(is_end, words)):
                self._ended_owners.add(d.owner)
                self._ended.update(dict.fromkeys(places_of(d, host)))
            else:
                for goal in (word for word in words if isinstance(word, Desired)):
                    self._wanted.setdefault(goal.place, set()).update(part_of(goal))
        self._things: set[tuple[object, ...]] | None = None
        self._owners = {d.owner for d, _ in said}
        self._at: dict[str, list[Place[Any]]] = {}
        for place in (*self._wanted, *self._ended):
            self._at.setdefault(path_of(place), []).append(place)
        self.paths = self._at.keys() | {apart.where(d.item.path, host) for d, _ in said}
        self.above = {above for path in self.paths for above in at_and_above(path)}

    def has(self, place: Place[Any]) -> bool:
        """Tell whether an entry decides the place, named just as it is."""
        return place in self._wanted or place in self._ended

    def parts(self, place: Place[Any]) -> set[str]:
        """Return the names of the parts of a place that entries decide; all if one is refused."""
        if place in self._ended:
            return {option.name for option in options.ALL}
        return self._wanted.get(place, set())

    def is_ended(self, place: Place[Any]) -> bool:
        """Tell whether the place is of an entry that is refused now."""
        return place in self._ended

    def covers(self, place: Place[Any], records: Sequence[LastApplied]) -> bool:
        """Tell whether an entry decides the place under another name, or as part of another."""
        if place in self._wanted or place in self._ended:
            return True
        if self._ended_owners.intersection(record.owner for record in records):
            return True
        if self._is_on_the_way(place, records):
            return True
        if self._things is None:
            self._things = {thing for p in (*self._wanted, *self._ended) for thing in self._of(p)}
        if not self._things.isdisjoint(self._of(place)):
            return True
        return is_covered(place, self._at, self._host)

    def _is_on_the_way(self, place: Place[Any], records: Sequence[LastApplied]) -> bool:
        """Tell whether vmtune made a directory only for what is declared below it."""
        path, owner = path_of(place), records[-1].owner
        made = place.is_ground and records[0].original == place.nothing
        if not made or path not in self.above or path in self.paths:
            return False
        # An entry's own directory is called as the entry is, however that is written.
        is_own = owner.rstrip("/").rpartition("/")[2] == path.rpartition("/")[2]
        return owner in self._owners or not is_own

    def _of(self, place: Place[Any]) -> Iterator[tuple[object, ...]]:
        try:
            yield place.thing(self._host)
        except NotVisible:
            return


def is_covered(place: Place[Any], at: Mapping[str, Sequence[Place[Any]]], host: HostView) -> bool:
    """Tell whether one of the places, by their paths, decides the place as part of its own."""
    near = (each for above in at_and_above(path_of(place)) for each in at.get(above, ()))
    return any(each.covers(place) and _is_in_one_subvolume(each, place, host) for each in near)


def _is_in_one_subvolume(one: Place[Any], other: Place[Any], host: HostView) -> bool:
    first, second = (host.maybe(DirectoryId(path_of(place))) or "" for place in (one, other))
    return first.rpartition(" inode ")[0] == second.rpartition(" inode ")[0]


def places_of(declared: Declared, host: HostView) -> tuple[Place[Any], ...]:
    try:
        return tuple(declared.kind.places(declared.spec, host))
    except NotVisible:
        return ()


def path_of(place: Place[Any]) -> str:
    return str(getattr(place, "path", "") or getattr(place, "target", ""))
