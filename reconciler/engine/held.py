"""What the entries of one configuration hold: every place that one of them decides.

A directory that is declared on its own below another one is not the other's to decide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine.codec import part_of
from reconciler.engine.directory import Directory
from reconciler.engine.model import Desired, is_end
from reconciler.facts.host import DirectoryId, Locate
from reconciler.facts.host_view import NotVisible
from reconciler.formats.paths import at_and_above

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.resource import Declared, Spoken
    from reconciler.facts.host_view import HostView


if TYPE_CHECKING:
    Claimed = tuple[Place[Any], Mapping[str, Any], str]


def where(path: str, host: HostView) -> str:
    """Return a declared path by where it is; as it is written where that cannot be seen."""
    found = host.maybe(Locate(path)) if path else None
    return found.path if found else path


def without_apart(
    declared: Sequence[Declared], host: HostView, others: Iterable[Claimed]
) -> tuple[Declared, ...]:
    """Return the entries, each with the directories below it that are not its own to decide.

    These are the entries of the same file, and of ``others`` (what other files claim) those
    that want something else of a directory: else each file would undo the other.
    """
    real = {d.item.path: where(d.item.path, host) for d in declared if d.item.section == "paths"}
    tops = set(real.values())
    below: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path in tops:
        for top in tops.intersection(at_and_above(path)) - {path}:
            below.setdefault(top, []).append((path, {}))
    for place, part, _ in others:
        if isinstance(place, Directory) and "nocow" in part:
            for top in tops.intersection(at_and_above(place.path)) - {place.path}:
                below.setdefault(top, []).append((place.path, part))
    return tuple(_with(d, real, below) for d in declared)


def _with(
    declared: Declared,
    real: Mapping[str, str],
    below: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]],
) -> Declared:
    spec, data = declared.spec, declared.item.data
    if not hasattr(spec, "apart"):
        return declared
    own: dict[str, Any] = {"nocow": bool(data.get("nocow"))}
    if data.get("compression"):
        own = {"nocow": False, "compression": data["compression"]}
    found = below.get(real[declared.item.path], ())
    paths = [real.get(path, path) for path in spec.apart]
    paths += sorted(path for path, part in found if part != own)
    apart = tuple(dict.fromkeys(paths))
    return declared if apart == spec.apart else replace(declared, spec=replace(spec, apart=apart))


class Held:
    """The places that the declared entries decide, also those that are refused now."""

    def __init__(self, said: Sequence[Spoken], host: HostView) -> None:
        self._host = host
        self._wanted: dict[Place[Any], set[str]] = {}
        self._ended: dict[Place[Any], None] = {}
        self._ended_owners: set[str] = set()
        self.is_whole = True
        """Whether it is known of each entry which places it decides."""
        for d, words in said:
            if any(map(is_end, words)):
                self._ended_owners.add(d.owner)
                places = places_of(d, host)
                self.is_whole &= bool(places)
                self._ended.update(dict.fromkeys(places))
            else:
                for goal in (word for word in words if isinstance(word, Desired)):
                    self._wanted.setdefault(goal.place, set()).update(part_of(goal))
        self._things: set[tuple[object, ...]] | None = None
        self._owners = {d.owner for d, _ in said}
        self._at: dict[str, list[Place[Any]]] = {}
        for place in (*self._wanted, *self._ended):
            self._at.setdefault(path_of(place), []).append(place)
        self.paths = self._at.keys() | {where(d.item.path, host) for d, _ in said}
        self.above = {above for path in self.paths for above in at_and_above(path)}

    def has(self, place: Place[Any]) -> bool:
        """Tell whether an entry decides the place, named just as it is."""
        return place in self._wanted or place in self._ended

    def parts(self, place: Place[Any]) -> set[str]:
        """Return the names of the parts of a place that entries decide; all if one is refused."""
        if place in self._ended:
            return set(place.part_names)
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
