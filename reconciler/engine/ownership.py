"""Who declares what: claims of configurations on places, and what nobody declares any more.

A place is put back when no configuration declares it any more and it still holds what vmtune
wrote. Places are compared as things: a directory is the same one by whatever path it is named,
and a setting of a filesystem the same one by each of its mount points. Configurations are
compared as files: by their resolved paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.engine import apart, codec, obstacles, restore
from reconciler.engine.last_applied import merged
from reconciler.engine.model import Change, Desired, Swap, is_end
from reconciler.engine.order import operation
from reconciler.engine.place import at_and_above
from reconciler.facts.diagnostics import Note, Op, Refusal
from reconciler.facts.host import DirectoryId, EntriesOf, Locate, UseOf
from reconciler.facts.host_view import NotVisible
from reconciler.formats import options
from reconciler.value import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import LastApplied
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.engine.plan import Declared, Spoken
    from reconciler.facts.host_view import HostView
if TYPE_CHECKING:
    Part = Mapping[str, Any]
    Chosen = Callable[[Change], bool]

PRESENT, GONE, UNREADABLE = "present", "gone", "unreadable"
"""What became of a configuration's file. UNREADABLE: it cannot be told whether it is there."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What one configuration declared when it was applied last.

    ``config`` is its resolved path, ``home`` the filesystem that its file lay on.
    ``wanted`` maps each place to the part of its value that an entry decides, as
    JSON data; ``owed`` are places that no entry declares any more and that are
    not put back yet.
    """

    config: str
    home: str = ""
    wanted: Mapping[Place[Any], Part] = field(default_factory=dict)
    owed: frozenset[Place[Any]] = frozenset()


@dataclass(frozen=True, slots=True)
class History:
    """All that is on record of earlier runs, as one configuration needs to know it.

    ``config`` is the resolved path of the configuration that is planned for, ""
    for none; ``home`` the filesystem its file is on. ``files`` says of each
    other configuration on record whether it is PRESENT, GONE or UNREADABLE.
    """

    config: str = ""
    home: str = ""
    written: Mapping[Place[Any], tuple[LastApplied, ...]] = field(default_factory=dict)
    claims: Mapping[str, Claims] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def is_gone(self, config: str) -> bool:
        """Tell whether a configuration on record is surely there no more."""
        return self.files.get(config) == GONE

    @property
    def has_gone(self) -> bool:
        """Whether any configuration on record is gone."""
        return GONE in self.files.values()

    @property
    def own(self) -> Claims:
        """The claims of the configuration that is planned for."""
        return self.claims.get(self.config) or Claims(self.config)

    def others(self) -> Iterator[Claims]:
        """Yield the claims of all other configurations whose files are not gone."""
        for config, claims in self.claims.items():
            if config != self.config and not self.is_gone(config):
                yield claims

    def claims_without_record(self, records: Iterable[LastApplied]) -> bool:
        """Tell whether a file that is there wrote a place before claims were on record."""
        return any(
            was.config not in {self.config, ""}
            and was.config not in self.claims
            and not self.is_gone(was.config)
            for was in records
        )


def part_of(goal: Desired[Any]) -> Part:
    """Return what of the value an entry decides, as JSON data."""
    if goal.part is not None:
        return goal.part
    return {"is": codec.plain_value(goal.want)}


class Ownership:
    """The claims on the places of one host, while a plan is made."""

    def __init__(self, history: History, see: HostView) -> None:
        self._history, self._see = history, see
        self._others = [
            (place, part, claims.config)
            for claims in history.others()
            for place, part in claims.wanted.items()
        ]
        self._by_place: dict[Place[Any], list[tuple[Part, str]]] = {}
        for place, part, config in self._others:
            self._by_place.setdefault(place, []).append((part, config))
        self._things: dict[tuple[object, ...], list[tuple[Part, str]]] | None = None
        self._hindered: set[Place[Any]] = set()
        self._others_above: dict[str, str] | None = None
        self._others_at: dict[str, list[Place[Any]]] | None = None

    # --- what other files declare

    def contested(self, words: tuple[Said, ...]) -> tuple[Said, ...]:
        """Return what a kind says; a refusal where another file wants a place to differ."""
        for goal in (word for word in words if isinstance(word, Desired) and not word.weak):
            for part, config in self._claimed(goal.place):
                if differing := _differing(part_of(goal), part):
                    return (_contest(goal, differing, config),)
        return words

    def _claimed(self, place: Place[Any]) -> Sequence[tuple[Part, str]]:
        """Return the parts that other files declare of a thing, each with its file."""
        if not self._others:
            return ()
        if found := self._by_place.get(place):
            return found
        if self._things is None:
            self._things = {}
            for other, part, config in self._others:
                if thing := self._thing(other):
                    self._things.setdefault(thing, []).append((part, config))
        thing = self._thing(place)
        return self._things.get(thing, ()) if thing else ()

    def _thing(self, place: Place[Any]) -> tuple[object, ...] | None:
        try:
            return place.thing(self._see)
        except NotVisible:
            return None

    def kept(self, place: Place[Any]) -> frozenset[str]:
        """Return the parts of a place that others decide.

        The parts of a line in /etc/fstab are its options. Other files declare them, or a file
        that is gone set them and this one never declared them.
        """
        names = {name for part, _ in self._claimed(place) for name in part}
        mine = self._history.own.wanted.get(place, {})
        for was in self._history.written.get(place, ()):
            if self._history.is_gone(was.config):
                names |= place.changed_parts(was) - mine.keys()
        return frozenset(names)

    # --- what this one answers for

    def records(self, place: Place[Any]) -> tuple[LastApplied, ...]:
        """Return the records of a place that this configuration answers for; () for others'.

        It answers for what it wrote or claimed. A line of /etc/fstab may have parts
        that another file answers for.
        """
        found, me = self._history.written.get(place, ()), self._history.config
        claims = self._history.own
        if not any(was.config == me for was in found) and not (
            place in claims.wanted or place in claims.owed
        ):
            return ()
        if place.in_parts:
            return tuple(was for was in found if not self._history.claims_without_record([was]))
        if self._history.claims_without_record(found) or self._claimed(place):
            return ()
        return found

    def is_anothers(self, place: Place[Any]) -> bool:
        """Tell whether another configuration answers for a place, also one that is gone."""
        found = self._history.written.get(place, ())
        return bool(found or self._claimed(place)) and not self.records(place)

    def recalled(self, declared: Sequence[Declared]) -> tuple[Declared, ...]:
        """Return each entry with what was written for it: it may ask for less of it now."""
        by_owner: dict[str, dict[Place[Any], tuple[LastApplied, ...]]] = {}
        lines: dict[Place[Any], tuple[LastApplied, ...]] = {}
        for place in self._history.written:
            if records := self.records(place):
                if place.in_parts:
                    lines[place] = records
                else:
                    by_owner.setdefault(records[-1].owner, {})[place] = records
        declared = apart.resolved(declared, self._see, self._others)
        declared = tuple(replace(d, spec=d.kind.located(d.spec, self._see)) for d in declared)
        return tuple(
            replace(d, spec=d.kind.recall(d.spec, {**by_owner.get(d.owner, {}), **lines}, self))
            if d.owner in by_owner or lines or self._others
            else d
            for d in declared
        )

    # --- what nobody declares any more

    def undeclared(
        self, said: Sequence[Spoken], taken: Iterable[Place[Any]], chosen: Chosen | None
    ) -> Iterator[Change]:
        """Yield a row for each entry that is gone and of which something is still there.

        Places in ``taken`` are taken back already. What a configuration that is gone
        had set is taken back only where it is ``chosen``; else its row names the ways out.
        """
        held, done = _Held(said, self._see), set(taken)
        mine: dict[str, list[_Left]] = {}
        gone: dict[tuple[str, str], list[_Left]] = {}
        for left in self._left(held, done):
            if left.config:
                gone.setdefault((left.config, left.owner), []).append(left)
            else:
                mine.setdefault(left.owner, []).append(left)
        going: set[str] = set()
        rows: dict[str, list[Change]] = {}
        # A directory is empty once what vmtune made in it is gone: what lies deepest goes first.
        for owner in sorted(mine, key=lambda owner: _top(mine[owner]), reverse=True):
            then = set(going)
            rows[owner] = list(self._put_back(owner, mine[owner], then))
            if chosen is None or any(map(chosen, rows[owner])):
                going = then
        for owner in mine:
            yield from rows[owner]
        for (config, owner), lefts in gone.items():
            for row in self._put_back(owner, lefts, set()):
                is_done = not row.swaps or (chosen and chosen(row))
                yield row if is_done else _orphaned(row, config)

    def _left(self, held: _Held, done: set[Place[Any]]) -> Iterator[_Left]:
        """Yield what may be put back, each thing once."""
        things: dict[tuple[object, ...], list[tuple[Place[Any], tuple[LastApplied, ...], str]]] = {}
        for place, found in self._history.written.items():
            if place.in_parts:
                yield from self._left_in_parts(place, found, held)
                continue
            if place in done or held.has(place):
                continue
            config, records = self._answers(place, found)
            if not records:
                continue
            at = _resolved(place, self._see)
            if not held.covers(at, records) and not self._others_cover(at):
                thing = self._thing(at) or ("", at)
                things.setdefault(thing, []).append((at, records, config))
        for rows in things.values():
            records = tuple(record for _, found, _ in rows for record in found)
            config = "" if any(not config for *_, config in rows) else rows[-1][2]
            if was := merged(records):
                at, owner = rows[-1][0], max(records, key=_run).owner
                yield _Left(at, was, records, owner, config, needed=self._needed(at, held))

    def _others_cover(self, place: Place[Any]) -> bool:
        if self._others and self._others_at is None:
            self._others_at = {}
            for other, *_ in self._others:
                self._others_at.setdefault(_path(other), []).append(other)
        return _is_covered(place, self._others_at or {}, self._see)

    def _needed(self, place: Place[Any], held: _Held) -> str:
        """Return why a directory cannot go though its own entry is gone; "" where it can."""
        path = _path(place)
        if path in held.above:
            return f"the configuration still names {_which(path, held.paths)}"
        if self._others_above is None:
            self._others_above = {}
            for other, _, config in self._others:
                for above in at_and_above(_path(other)):
                    self._others_above.setdefault(above, config)
        if config := self._others_above.get(path, ""):
            paths = {_path(other) for other, *_ in self._others}
            return f"{config} names {_which(path, paths)}"
        return ""

    def _left_in_parts(
        self, place: Place[Any], found: Sequence[LastApplied], held: _Held
    ) -> Iterator[_Left]:
        """Yield what is left of a line of /etc/fstab: of this configuration, and of one gone."""
        records = self.records(place)
        place = place.as_called_now(self._see)
        if records and not held.has(place):
            yield _Left(place, records[-1], records, records[-1].owner, "", self.kept(place))
        gone = tuple(was for was in found if self._history.is_gone(was.config))
        if gone:
            claimed = {name for part, _ in self._claimed(place) for name in part}
            claimed |= held.parts(place) | self._history.own.wanted.get(place, {}).keys()
            yield _Left(place, gone[-1], gone, gone[-1].owner, gone[-1].config, frozenset(claimed))

    def _answers(
        self, place: Place[Any], found: tuple[LastApplied, ...]
    ) -> tuple[str, tuple[LastApplied, ...]]:
        """Return the records to act on, and the file that is gone which they are of, or ""."""
        if records := self.records(place):
            return "", records
        gone = tuple(was for was in found if was.config and self._history.is_gone(was.config))
        if len(gone) < len(found) or self._claimed(place):
            return "", ()
        return gone[-1].config, gone

    def _put_back(self, owner: str, lefts: Sequence[_Left], going: set[str]) -> Iterator[Change]:
        """Yield the row that puts the places of one entry back, or says why they stay."""
        swaps: list[Swap] = []
        notes: list[Note] = []
        for left in sorted(lefts, key=lambda left: left.place.order, reverse=True):
            for word in self._one_back(left, going):
                notes += [word] if isinstance(word, Note) else []
                swaps += [replace(word, owner=owner)] if isinstance(word, Swap) else []
        if not swaps and not notes:
            return
        kind, _, name = owner.partition(" ")
        about = next((_path(left.place) for left in lefts if _path(left.place)), "")
        notes = list(dict.fromkeys(reversed(notes)))
        op = Op.REMOVE if swaps else operation((), notes)
        row = Change(op, kind, name, notes=tuple(notes), about=about)
        if no := obstacles.to_put_back(swaps, self._see):
            text = f"no longer declared, but {no.text}"
            self._hindered.update(swap.place for swap in swaps)
            yield replace(row, op=Op.BLOCKED, text=text, hint=no.hint, code=no.code, notes=())
            return
        text = "what was there before is put back" if swaps else "what is left of it stays"
        yield replace(row, text=f"no longer declared: {text}", swaps=tuple(reversed(swaps)))

    def _one_back(self, left: _Left, going: set[str]) -> Iterator[Swap | Note]:
        place, was = left.place, left.was
        now = self._see.maybe(place)
        if place.is_ground and now in {None, place.nothing}:
            return
        if is_other := restore.another(place, was, self._see):
            yield is_other
            return
        if place.is_ground and was.original == place.nothing:
            yield from self._made(left, now, going)
            return
        if place.stays(was.original):
            if note := place.staying(now, self._see):
                yield note
            return
        before = self._before(left, now)
        if before == now:
            return
        if note := place.lasting(before):
            yield note
        else:
            yield Swap(place, now, before)

    def _before(self, left: _Left, now: Any) -> Any:
        part = left.place.restored_part(now, left.records, left.kept)
        if part is not None:
            return part
        return left.place.restored(left.was.original, left.was.values, now)

    def _made(self, left: _Left, now: Any, going: set[str]) -> Iterator[Swap | Note]:
        """Remove a directory that vmtune made where it is empty, or say why it stays."""
        place, was, path = left.place, left.was, _path(left.place)
        names = self._see.maybe(EntriesOf(path))
        is_empty = names is not None and all(f"{path}/{name}" in going for name in names)
        is_ours = is_empty and now in was.values and not left.needed
        use = self._see.maybe(UseOf(path)) if is_ours else ""
        if is_ours and not use:
            going.add(path)
            yield Swap(place, now, was.original)
            return
        if left.needed:
            why = left.needed
        elif is_empty:
            why = use or "it was changed since"
        elif names is None:
            why = "whether it is empty cannot be seen"
        else:
            why = "it is not empty"
        nocow = ", nocow" if getattr(now, "nocow", False) else ""
        yield Note(f"{path} stays{nocow}, because {why}; run {was.run} made it")

    # --- what is on record afterwards

    def claims(
        self, said: Sequence[Spoken], undeclared: Iterable[Change], chosen: Chosen | None
    ) -> Claims | None:
        """Return what this configuration declares now; None where just that is on record.

        Where only some entries are ``chosen`` the claims of the others stay as they are.
        """
        before = self._history.own
        if not self._history.config:
            return None
        held = _Held(said, self._see)
        places = {swap.place for row in undeclared for swap in row.swaps} | self._hindered
        owed = {place for place in places if self.records(place)}
        if chosen is None:
            wanted = {p: part for p, part in before.wanted.items() if held.is_ended(p)}
        else:
            wanted = {p: part for p, part in before.wanted.items() if p not in owed}
        for d, words in said:
            if any(map(is_end, words)) or (chosen and not chosen(_row_of(d))):
                continue
            for goal in (word for word in words if isinstance(word, Desired)):
                if goal.place.is_claimed and not goal.weak:
                    wanted[goal.place] = part_of(goal)
        if chosen is not None:
            owed |= before.owed - wanted.keys()
        found = Claims(self._history.config, self._history.home, wanted, frozenset(owed))
        is_known = self._history.config in self._history.claims or any(
            was.config == found.config for each in self._history.written.values() for was in each
        )
        is_on_record = found.config in self._history.claims and found == before
        return None if is_on_record or not (is_known or wanted or owed) else found


@dataclass(frozen=True, slots=True)
class _Left:
    """A thing that nobody declares any more; ``config`` is the file of it that is gone, or ""."""

    place: Place[Any]
    was: LastApplied
    records: tuple[LastApplied, ...]
    owner: str
    config: str
    kept: frozenset[str] = frozenset()
    """Options of a line of /etc/fstab that stay, because somebody declares them."""
    needed: str = ""
    """Why a directory that vmtune made is needed still; "" where it is not."""


class _Held:
    """The places that the declared entries decide, also those that are refused now."""

    def __init__(self, said: Sequence[Spoken], see: HostView) -> None:
        self._see = see
        self._wanted: dict[Place[Any], set[str]] = {}
        self._ended: dict[Place[Any], None] = {}
        self._ended_owners: set[str] = set()
        for d, words in said:
            if any(map(is_end, words)):
                self._ended_owners.add(d.owner)
                self._ended.update(dict.fromkeys(_places(d, see)))
            else:
                for goal in (word for word in words if isinstance(word, Desired)):
                    self._wanted.setdefault(goal.place, set()).update(part_of(goal))
        self._things: set[tuple[object, ...]] | None = None
        self._owners = {d.owner for d, _ in said}
        self._at: dict[str, list[Place[Any]]] = {}
        for place in (*self._wanted, *self._ended):
            self._at.setdefault(_path(place), []).append(place)
        self.paths = self._at.keys() | {apart.where(d.item.path, see) for d, _ in said}
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
        return _is_covered(place, self._at, self._see)

    def _is_on_the_way(self, place: Place[Any], records: Sequence[LastApplied]) -> bool:
        """Tell whether vmtune made a directory only for what is declared below it."""
        path, owner = _path(place), records[-1].owner
        made = place.is_ground and records[0].original == place.nothing
        if not made or path not in self.above or path in self.paths:
            return False
        # An entry's own directory is called as the entry is, however that is written.
        is_own = owner.rstrip("/").rpartition("/")[2] == path.rpartition("/")[2]
        return owner in self._owners or not is_own

    def _of(self, place: Place[Any]) -> Iterator[tuple[object, ...]]:
        try:
            yield place.thing(self._see)
        except NotVisible:
            return


def _is_covered(place: Place[Any], at: Mapping[str, Sequence[Place[Any]]], see: HostView) -> bool:
    """Tell whether one of the places, by their paths, decides the place as part of its own."""
    near = (each for above in at_and_above(_path(place)) for each in at.get(above, ()))
    return any(each.covers(place) and _is_in_one_subvolume(each, place, see) for each in near)


def _is_in_one_subvolume(one: Place[Any], other: Place[Any], see: HostView) -> bool:
    first, second = (see.maybe(DirectoryId(_path(place))) or "" for place in (one, other))
    return first.rpartition(" inode ")[0] == second.rpartition(" inode ")[0]


def _places(declared: Declared, see: HostView) -> tuple[Place[Any], ...]:
    try:
        return tuple(declared.kind.places(declared.spec, see))
    except NotVisible:
        return ()


def _path(place: Place[Any]) -> str:
    return str(getattr(place, "path", "") or getattr(place, "target", ""))


def _which(path: str, declared: Collection[str]) -> str:
    return "it" if path in declared else "what is in it"


def _top(lefts: Sequence[_Left]) -> str:
    """Return the outermost path of what one entry left."""
    return min(_path(left.place) for left in lefts)


def _run(record: LastApplied) -> int:
    return record.run


def _resolved(place: Place[Any], see: HostView) -> Place[Any]:
    """Return the place by the path where it is now: a link may stand there since."""
    if not hasattr(place, "path"):
        return place
    where = see.maybe(Locate(place.path))
    return replace(place, path=where.path) if where else place  # type: ignore[type-var]


def _row_of(declared: Declared) -> Change:
    item = declared.item
    return Change(Op.SAME, declared.kind.name, item.name, about=item.path)


def _orphaned(row: Change, config: str) -> Change:
    """Return the row of what a configuration that is gone left, which nobody declares."""
    return replace(
        row,
        op=Op.BLOCKED,
        text=f"set for {config}, which is gone: nothing declares it now",
        swaps=(),
        notes=(),
        hint=f"`vmtune apply {row.about or row.name}` takes it back; "
        "to keep it, declare it in a vmtune.yaml",
        code="V405",
    )


def is_orphaned(row: Change) -> bool:
    """Tell whether a row is about what a configuration that is gone had set."""
    return row.code == "V405"


def _differing(one: Part, other: Part) -> Part:
    """Return what the other part says of each name that both have and say otherwise."""
    return {name: other[name] for name in one.keys() & other.keys() if one[name] != other[name]}


def _contest(goal: Desired[Any], differing: Part, config: str) -> Refusal:
    words = ", ".join(
        f"{name} {_word(value)}" if name != "is" else _word(value)
        for name, value in sorted(differing.items())
    )
    return Refusal(
        f"{config} declares it otherwise: {goal.place.full}: {words}",
        "declare one value in both files; or take it out of that one and apply that one first",
        "V404",
    )


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value or "none")
