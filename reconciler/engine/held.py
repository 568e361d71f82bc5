"""What the entries of one configuration hold: every place that one of them decides.

A directory that is declared on its own below another one is not the other's to decide.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reconciler.engine.directory import Directory
from reconciler.engine.document import part_of
from reconciler.engine.model import Desired, is_end
from reconciler.engine.place import path_of
from reconciler.facts.host import DirectoryId, real
from reconciler.facts.host_view import NotVisible
from reconciler.formats.paths import at_and_above

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.resource import Declared, Spoken
    from reconciler.facts.host_view import HostView

    Claimed = tuple[Place[Any], Mapping[str, Any], str]


def without_apart(
    declared: Sequence[Declared], host: HostView, others: Iterable[Claimed]
) -> tuple[Declared, ...]:
    """Return the entries, each with the directories below it that are not its own to decide.

    These are the entries of the same file, and of ``others`` (what other files claim) those
    that want something else of a directory: else each file would undo the other.
    """
    leads = {d.item.path: real(d.item.path, host) for d in declared if d.item.section == "paths"}
    tops = set(leads.values())
    lower: list[tuple[str, Mapping[str, Any]]] = [(path, {}) for path in tops]
    for place, part, _ in others:
        if isinstance(place, Directory) and "nocow" in part:
            lower.append((place.path, part))
    below: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path, part in lower:
        for top in tops.intersection(at_and_above(path)) - {path}:
            below.setdefault(top, []).append((path, part))
    return tuple(_with(d, leads, below) for d in declared)


def _with(
    declared: Declared,
    leads: Mapping[str, str],
    below: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]],
) -> Declared:
    spec, data = declared.spec, declared.item.data
    if not hasattr(spec, "apart"):
        return declared
    own: dict[str, Any] = {"nocow": bool(data.get("nocow"))}
    if data.get("compression"):
        own = {"nocow": False, "compression": data["compression"]}
    found = below.get(leads[declared.item.path], ())
    paths = [leads.get(path, path) for path in spec.apart]
    paths += sorted(path for path, part in found if part != own)
    apart = tuple(dict.fromkeys(paths))
    return declared if apart == spec.apart else replace(declared, spec=replace(spec, apart=apart))


class Held:
    """The places that the declared entries decide, also those that are refused now."""

    def __init__(self, said: Sequence[Spoken], host: HostView) -> None:
        self._host = host
        self._wanted: dict[Place[Any], set[str]] = {}
        self.ended: dict[Place[Any], None] = {}
        """The places of the entries that are refused now."""
        self._ended_owners: set[str] = set()
        self.is_whole = True
        """Whether it is known of each entry which places it decides."""
        for d, words in said:
            if any(map(is_end, words)):
                self._ended_owners.add(d.owner)
                places = _places(d, host)
                self.is_whole &= bool(places)
                self.ended.update(dict.fromkeys(places))
            else:
                for goal in (word for word in words if isinstance(word, Desired)):
                    self._wanted.setdefault(goal.place, set()).update(part_of(goal))
        self._owners = {d.owner for d, _ in said}
        self._at = by_path((*self._wanted, *self.ended))
        declared = (d.item.path for d, _ in said)
        self.paths = self._at.keys() | {real(path, host) for path in declared if path}
        self.above = {above for path in self.paths for above in at_and_above(path)}

    def has(self, place: Place[Any]) -> bool:
        """Tell whether an entry decides the place, named just as it is."""
        return place in self._wanted or place in self.ended

    def parts(self, place: Place[Any]) -> set[str]:
        """Return the names of the parts of a place that entries decide; all if one is refused."""
        if place in self.ended:
            return set(place.part_names)
        return self._wanted.get(place, set())

    def covers(self, place: Place[Any], records: Sequence[LastApplied]) -> bool:
        """Tell whether an entry decides the place under another name, or as part of another."""
        return (
            self.has(place)
            or not self._ended_owners.isdisjoint(record.owner for record in records)
            or self._is_on_the_way(place, records)
            or thing_of(place, self._host) in self._things
            or is_covered(place, self._at, self._host)
        )

    @cached_property
    def _things(self) -> set[tuple[object, ...] | None]:
        return {thing_of(place, self._host) for place in (*self._wanted, *self.ended)} - {None}

    def _is_on_the_way(self, place: Place[Any], records: Sequence[LastApplied]) -> bool:
        """Tell whether vmtune made a directory only for what is declared below it."""
        path, owner = path_of(place), records[-1].owner
        is_between = path in self.above and path not in self.paths
        if not place.is_made(records[0].original) or not is_between:
            return False
        # An entry's own directory is called as the entry is, however that is written.
        is_own = owner.rstrip("/").rpartition("/")[2] == path.rpartition("/")[2]
        return owner in self._owners or not is_own


def thing_of(place: Place[Any], host: HostView) -> tuple[object, ...] | None:
    """Return what a place is on this host; None where that may not be seen."""
    try:
        return place.thing(host)
    except NotVisible:
        return None


def by_path(places: Iterable[Place[Any]]) -> dict[str, list[Place[Any]]]:
    """Return places by their paths."""
    found: dict[str, list[Place[Any]]] = {}
    for place in places:
        found.setdefault(path_of(place), []).append(place)
    return found


def is_covered(place: Place[Any], at: Mapping[str, Sequence[Place[Any]]], host: HostView) -> bool:
    """Tell whether one of the places, by their paths, decides the place as part of its own."""
    near = (each for above in at_and_above(path_of(place)) for each in at.get(above, ()))
    return any(each.covers(place) and _is_in_one_subvolume(each, place, host) for each in near)


def _is_in_one_subvolume(one: Place[Any], other: Place[Any], host: HostView) -> bool:
    first, second = (host.maybe(DirectoryId(path_of(place))) or "" for place in (one, other))
    return first.rpartition(" inode ")[0] == second.rpartition(" inode ")[0]


def _places(declared: Declared, host: HostView) -> tuple[Place[Any], ...]:
    try:
        return tuple(declared.kind.places(declared.spec, host))
    except NotVisible:
        return ()
