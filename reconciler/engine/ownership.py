"""Who declares what: claims of configurations on places, and what nobody declares any more.

A place is put back when no configuration declares it any more and it still holds what vmtune
wrote. Places are compared as things: a directory is the same one by whatever path it is named,
and a setting of a filesystem the same one by each of its mount points. Configurations are
compared as files: by their resolved paths.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING, Any

from reconciler.engine import held, restore
from reconciler.engine.claims import Claims
from reconciler.engine.document import part_of
from reconciler.engine.held import Held, by_path, is_covered, thing_of
from reconciler.engine.last_applied import merged
from reconciler.engine.model import Change, Desired, is_end
from reconciler.engine.order import operation
from reconciler.engine.place import Swap, path_of
from reconciler.facts.diagnostics import DO, WHY, Note, Op, Refusal
from reconciler.facts.host import EntriesOf, UseOf, real
from reconciler.formats.paths import at_and_above
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.engine.claims import History, Part
    from reconciler.engine.model import Chosen, Said
    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.resource import Declared, Spoken
    from reconciler.facts.host_view import HostView


class Ownership:
    """The claims on the places of one host, while a plan is made."""

    def __init__(self, history: History, host: HostView) -> None:
        self._history, self._host = history, host
        self._others = [
            (place, part, claims.config)
            for claims in history.others()
            for place, part in claims.wanted.items()
        ]
        self._by_place: dict[Place[Any], list[tuple[Part, str]]] = {}
        for place, part, config in self._others:
            self._by_place.setdefault(place, []).append((part, config))
        self._hindered: set[Place[Any]] = set()

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
        thing = thing_of(place, self._host)
        return self._by_thing.get(thing, ()) if thing else ()

    @cached_property
    def _by_thing(self) -> dict[tuple[object, ...], list[tuple[Part, str]]]:
        found: dict[tuple[object, ...], list[tuple[Part, str]]] = {}
        for place, part, config in self._others:
            if thing := thing_of(place, self._host):
                found.setdefault(thing, []).append((part, config))
        return found

    @cached_property
    def _others_at(self) -> dict[str, list[Place[Any]]]:
        return by_path(place for place, *_ in self._others)

    @cached_property
    def _others_above(self) -> dict[str, str]:
        """The first other file that names a path or what lies below it, by the path."""
        found: dict[str, str] = {}
        for place, _, config in self._others:
            for above in at_and_above(path_of(place)):
                found.setdefault(above, config)
        return found

    def kept(self, place: Place[Any]) -> frozenset[str]:
        """Return the parts of a place that others decide.

        The parts of a line in /etc/fstab are its options. Other files declare them, or a file
        that is gone set them and this one never declared them.
        """
        names = {name for part, _ in self._claimed(place) for name in part}
        mine = self._history.own.wanted.get(place, {})
        for was in self._history.written.get(place, ()):
            if was.config in self._history.gone:
                names |= place.changed_parts(was) - mine.keys()
        return frozenset(names)

    # --- what this one answers for

    def records(self, place: Place[Any]) -> tuple[LastApplied, ...]:
        """Return the records of a place that this configuration answers for; () for others'.

        It answers for what it wrote or claimed. A line of /etc/fstab may have parts
        that another file answers for.
        """
        history, found = self._history, self._history.written.get(place, ())
        is_claimed = place in history.own.wanted or place in history.own.owed
        if not is_claimed and all(was.config != history.config for was in found):
            return ()
        if place.in_parts:
            return tuple(was for was in found if not history.is_before_claims(was))
        if any(map(history.is_before_claims, found)) or self._claimed(place):
            return ()
        return found

    def is_anothers(self, place: Place[Any]) -> bool:
        """Tell whether another configuration answers for a place, also one that is gone."""
        found = self._history.written.get(place, ())
        return bool(found or self._claimed(place)) and not self.records(place)

    def recalled(self, declared: Sequence[Declared]) -> Iterator[Declared]:
        """Yield each entry with what was written for it: it may ask for less of it now."""
        by_owner: dict[str, dict[Place[Any], tuple[LastApplied, ...]]] = {}
        lines: dict[Place[Any], tuple[LastApplied, ...]] = {}
        for place in self._history.written:
            if records := self.records(place):
                mine = lines if place.in_parts else by_owner.setdefault(records[-1].owner, {})
                mine[place] = records
        for d in held.without_apart(declared, self._host, self._others):
            spec = d.kind.located(d.spec, self._host)
            if d.owner in by_owner or lines or self._others:
                spec = d.kind.recall(spec, {**by_owner.get(d.owner, {}), **lines}, self.kept)
            yield replace(d, spec=spec)

    # --- what nobody declares any more

    def undeclared(
        self, said: Sequence[Spoken], taken: Iterable[Place[Any]], chosen: Chosen | None
    ) -> Iterator[Change]:
        """Yield a row for each entry that is gone and of which something is still there.

        Places in ``taken`` are taken back already. What a configuration that is gone
        had set is taken back only where it is ``chosen``; else its row names the ways out.
        """
        held = Held(said, self._host)
        found: dict[tuple[str, str], list[_Left]] = {}
        for left in self._left(held, set(taken)):
            found.setdefault((left.config, left.owner), []).append(left)
        mine = {owner: lefts for (config, owner), lefts in found.items() if not config}
        going: set[str] = set()
        rows: dict[str, list[Change]] = {}
        # A directory is empty once what vmtune made in it is gone: what lies deepest goes first.
        tops = {owner: min(path_of(left.place) for left in mine[owner]) for owner in mine}
        for owner in sorted(mine, key=lambda owner: tops[owner], reverse=True):
            then = set(going)
            rows[owner] = list(self._put_back(owner, mine[owner], then, chosen))
            if chosen is None or any(map(chosen, rows[owner])):
                going = then
        for owner in mine:
            yield from rows[owner]
        yield from self._shared(held)
        for (config, owner), lefts in found.items():
            if config:
                for row in self._put_back(owner, lefts, set(), chosen):
                    is_done = not row.swaps or (chosen and chosen(row))
                    yield row if is_done else _orphaned(row, config)

    def _shared(self, held: Held) -> Iterator[Change]:
        """Yield a row for each entry that is gone and stays for another file: said once.

        It is said as long as the entry is on record as this configuration's.
        """
        found: dict[str, dict[str, str]] = {}
        for place, mine in self._history.own.wanted.items() if held.is_whole else ():
            written = self._history.written.get(place, ())
            if not written or held.covers(place, written):
                continue
            for part, config in self._claimed(place):
                if mine.keys() & part.keys():
                    found.setdefault(written[-1].owner, {})[config] = path_of(place)
        for owner, configs in found.items():
            kind, _, name = owner.partition(" ")
            notes = tuple(note for config in configs for note in _held_by(config))
            text = "no longer declared: stays as it is"
            about = next(iter(configs.values()))
            yield Change(Op.SAME, kind, name, text=text, notes=notes, about=about)

    def _left(self, held: Held, done: set[Place[Any]]) -> Iterator[_Left]:
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
            at = _resolved(place, self._host)
            if not held.covers(at, records) and not is_covered(at, self._others_at, self._host):
                thing = thing_of(at, self._host) or ("", at)
                things.setdefault(thing, []).append((at, records, config))
        for rows in things.values():
            records = tuple(record for _, found, _ in rows for record in found)
            config = "" if any(not config for *_, config in rows) else rows[-1][2]
            if was := merged(records):
                at, owner = rows[-1][0], max(records, key=lambda record: record.run).owner
                yield _Left(at, was, records, owner, config, needed=self._needed(at, held))

    def _needed(self, place: Place[Any], held: Held) -> str:
        """Return why a directory cannot go though its own entry is gone; "" where it can."""
        path = path_of(place)
        if path in held.above:
            return f"the configuration still names {_which(path, held.paths)}"
        if config := self._others_above.get(path):
            return f"{config} names {_which(path, self._others_at)}"
        return ""

    def _left_in_parts(
        self, place: Place[Any], found: Sequence[LastApplied], held: Held
    ) -> Iterator[_Left]:
        """Yield what is left of a line of /etc/fstab: of this configuration, and of one gone."""
        records = self.records(place)
        place = place.as_called_now(self._host)
        if records and not held.has(place):
            yield _Left(place, records[-1], records, records[-1].owner, "", self.kept(place))
        gone = tuple(was for was in found if was.config in self._history.gone)
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
        gone = tuple(was for was in found if was.config in self._history.gone)
        if len(gone) < len(found) or self._claimed(place):
            return "", ()
        return gone[-1].config, gone

    def _put_back(
        self, owner: str, lefts: Sequence[_Left], going: set[str], chosen: Chosen | None
    ) -> Iterator[Change]:
        """Yield the row that puts the places of one entry back, or says why they stay.

        What stays whatever anybody does is said once, as long as the entry is on record.
        """
        swaps: list[Swap] = []
        notes: list[Note] = []
        has_news = False
        for left in sorted(lefts, key=lambda left: left.place.order, reverse=True):
            word = self._one_back(left, going)
            notes += [word] if isinstance(word, Note) else []
            swaps += [word] if isinstance(word, Swap) else []
            stays = left.place.stays(left.was.original) and not left.is_made
            has_news |= word is not None and not stays
        swaps = [*restore.with_them(swaps, self._host), *swaps]
        if not swaps and not notes:
            return
        kind, _, name = owner.partition(" ")
        about = next(filter(None, (path_of(left.place) for left in lefts)), "")
        notes = list(dict.fromkeys(reversed(notes)))
        op = Op.REMOVE if swaps else operation((), notes)
        row = Change(op, kind, name, notes=tuple(notes), about=about)
        is_leaving = any(path_of(place) == about for place in self._history.own.wanted)
        if not (swaps or has_news or is_leaving or (chosen and chosen(row))):
            return
        if no := restore.to_put_back(swaps, self._host):
            self._hindered.update(swap.place for swap in swaps)
            yield row.refused(no, "no longer declared, but ")
            return
        text = "what was there before is put back" if swaps else "stays as it is"
        yield replace(row, text=f"no longer declared: {text}", swaps=tuple(reversed(swaps)))

    def _one_back(self, left: _Left, going: set[str]) -> Swap | Note | None:
        """Put one place back, or say why it stays; None where there is nothing to say."""
        place, was = left.place, left.was
        now = self._host.maybe(place)
        if place.is_ground and now in {None, place.nothing}:
            return None
        if is_other := restore.another(place, was, self._host):
            return is_other
        if left.is_made:
            return self._made(left, now, going)
        if place.stays(was.original):
            return place.staying(now, self._host)
        before = place.restored_part(now, left.records, left.kept)
        if before is None:
            before = place.restored(was.original, was.values, now)
        if before == now:
            return None
        note = place.lasting(before) or place.kept_off(before, self._host)
        return note or Swap(place, now, before, owner=left.owner)

    def _made(self, left: _Left, now: Any, going: set[str]) -> Swap | Note:
        """Remove a directory that vmtune made where it is empty, or say why it stays."""
        place, was, path = left.place, left.was, path_of(left.place)
        names = self._host.maybe(EntriesOf(path))
        is_empty = names is not None and all(f"{path}/{name}" in going for name in names)
        is_ours = is_empty and now in was.values and not left.needed
        use = self._host.maybe(UseOf(path)) if is_ours else ""
        if is_ours and not use:
            going.add(path)
            return Swap(place, now, was.original, owner=left.owner)
        if left.needed:
            why = left.needed
        elif is_empty:
            why = use or "it was changed since"
        elif names is None:
            why = "whether it is empty cannot be seen"
        else:
            why = "it is not empty"
        nocow = ", nocow" if getattr(now, "nocow", False) else ""
        stays = f"{path} stays{nocow}, because {why}. Run {was.run} made it"
        way = f"once it is empty, `vmtune revert {was.run}` or `rmdir {quote(path)}` removes it"
        return Note(stays if left.needed else f"{stays}; {way}", label=WHY)

    # --- what is on record afterwards

    def claims(
        self, said: Sequence[Spoken], undeclared: Iterable[Change], chosen: Chosen | None
    ) -> Claims | None:
        """Return what this configuration declares now; None where just that is on record.

        Where only some entries are ``chosen`` the claims of the others stay as they are.
        """
        history, before = self._history, self._history.own
        if not history.config:
            return None
        places = {swap.place for row in undeclared for swap in row.swaps} | self._hindered
        owed = {place for place in places if self.records(place)}
        stay = before.wanted.keys() - owed if chosen else Held(said, self._host).ended.keys()
        wanted = {place: part for place, part in before.wanted.items() if place in stay}
        for d, words in said:
            if any(map(is_end, words)) or (chosen and not chosen(d.row)):
                continue
            for goal in (word for word in words if isinstance(word, Desired)):
                if goal.place.is_claimed and not goal.weak:
                    wanted[goal.place] = part_of(goal)
        if chosen is not None:
            owed |= before.owed - wanted.keys()
        found = Claims(history.config, history.home, wanted, frozenset(owed))
        if history.config in history.claims:
            return None if found == before else found
        written = (was.config for each in history.written.values() for was in each)
        return found if wanted or owed or history.config in written else None


class _Left(Value):
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

    @property
    def is_made(self) -> bool:
        """Whether vmtune made the directory."""
        return self.place.is_made(self.was.original)


def _which(path: str, declared: Collection[str]) -> str:
    return "it" if path in declared else "what is in it"


def _resolved(place: Place[Any], host: HostView) -> Place[Any]:
    """Return the place by the path where it is now: a link may stand there since."""
    if not hasattr(place, "path"):
        return place
    return replace(place, path=real(place.path, host))  # type: ignore[call-arg]


def _orphaned(row: Change, config: str) -> Change:
    """Return the row of what a configuration that is gone left, which nobody declares."""
    text = f"the file that set this is gone, and no other file declares it: {config}"
    take_back = f"`vmtune apply {quote(row.about or row.name)}` takes it back"
    hint = f"{take_back}; to keep it, declare it in a vmtune.yaml"
    return row.refused(Refusal(text, hint, "V405"))


def is_orphaned(row: Change) -> bool:
    """Tell whether a row is about what a configuration that is gone had set."""
    return row.code == "V405"


def _differing(one: Part, other: Part) -> Part:
    """Return what the other part says of each name that both have and say otherwise."""
    return {name: other[name] for name in one.keys() & other.keys() if one[name] != other[name]}


def _held_by(config: str) -> tuple[Note, Note]:
    """Say that another file holds an entry, and what to do to have it taken back."""
    return (
        Note(f"{config} declared this at its last `apply`", label=WHY),
        Note(
            f"to take it back, take it out of that file too, and run `vmtune --config "
            f"{quote(config)} apply`",
            label=DO,
        ),
    )


def _contest(goal: Desired[Any], differing: Part, config: str) -> Refusal:
    words = ", ".join(
        word if name == "is" or word.startswith(f"{name}=") else f"{name} {word}"
        for name, word in sorted((name, _word(value)) for name, value in differing.items())
    )
    return Refusal(
        f"{config} declares another value: {goal.place.full}: {words}",
        "write the same value into both files; or take the entry out of the other file, and run "
        "`vmtune apply` with that file",
        "V404",
    )


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value or "none")
