"""From declared resources to a plan: goals over a snapshot, then what differs, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import agree, obstacles, tries
from reconciler.core.diff import compare
from reconciler.core.item import Items
from reconciler.core.model import (
    Change,
    Finding,
    Goal,
    NotApplicable,
    Note,
    Op,
    Plan,
    Refusal,
    Reload,
    Summary,
    Swap,
    is_end,
)
from reconciler.core.order import DAEMON_RELOAD, in_order, operation
from reconciler.core.outlook import weighed
from reconciler.core.ownership import History, Ownership
from reconciler.core.snapshot import Hidden
from reconciler.core.written import latest
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.core.item import Item
    from reconciler.core.kind import Kind
    from reconciler.core.model import Said
    from reconciler.core.ownership import Chosen
    from reconciler.core.places import Place
    from reconciler.core.snapshot import Snapshot
    from reconciler.core.written import Written

_BEHIND = Note(f"systemd holds an older version of its files: {DAEMON_RELOAD.name}")
NOTHING_WRITTEN: Mapping[Place[Any], Any] = {}
NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Declared:
    """An item with the kind that reads it and its spec."""

    kind: Kind
    item: Item
    spec: Any

    @property
    def owner(self) -> str:
        return f"{self.kind.name} {self.item.name}"


Spoken = tuple[Declared, "tuple[Said, ...]"]


def declare(items: Sequence[Item], kinds: Sequence[Kind]) -> tuple[Declared, ...]:
    """Each item with every kind it asks something of, in the order of the file."""
    of = Items(items)
    return tuple(
        Declared(kind, item, spec)
        for item in of
        for kind in kinds
        if kind.section == item.section and (spec := kind.parse(item, of)) is not None
    )


def make_plan(
    declared: Sequence[Declared],
    kinds: Sequence[Kind],
    see: Snapshot,
    history: History = NO_HISTORY,
    chosen: Chosen | None = None,
) -> Plan:
    """Return the whole plan; raises Problems when two items want one place to differ.

    ``history`` tells drift from what was never applied, what to put back for items no
    longer declared, and what other configurations declare. ``chosen`` tells which
    rows the plan is about; None: all of them.
    """
    last = latest(history.written)
    ownership = Ownership(history, see)
    declared = ownership.recalled(declared)
    see.expect(lambda: _units(declared, kinds, see))
    spoken = heard(declared, lambda d: ownership.contested(_said(d, see)))
    said = agree.strong(list(spoken))
    said = weighed(said, see)
    agree.check_conflicts(said)
    changes: list[Change] = []
    for d, words in said:
        changes += _changes(d, words, see, last)
    for kind in kinds:
        specs = [d.spec for d in declared if d.kind is kind]
        changes += _leftovers(kind, specs, see, ownership)
    taken = [swap.place for change in changes for swap in change.swaps]
    undeclared = list(ownership.undeclared(said, taken, chosen))
    changes += undeclared
    kept = [change for change in changes if chosen is None or chosen(change)]
    behind = any(isinstance(word, Reload) for _, words in said for word in words)
    return Plan(
        tuple(kept),
        in_order(kept, see, reload=behind),
        ownership.claims(said, kept, chosen),
        len(changes) - len(kept),
    )


def _units(declared: Sequence[Declared], kinds: Sequence[Kind], see: Snapshot) -> Iterator[str]:
    for kind in kinds:
        yield from kind.units([d.spec for d in declared if d.kind is kind], see)


def heard(
    declared: Iterable[Declared], say: Callable[[Declared], tuple[Said, ...]]
) -> Iterator[Spoken]:
    """What each kind says; one that needs another, which cannot do its part, is not asked."""
    fallen: set[tuple[str, str, str]] = set()
    for d in declared:
        entry = (d.item.section, d.item.path)
        if not any((*entry, kind) in fallen for kind in d.kind.needs):
            words = say(d)
            yield d, words
            if any(map(is_end, words)):
                fallen.add((*entry, d.kind.name))


def _said(declared: Declared, see: Snapshot) -> tuple[Said, ...]:
    """All that the kind says; where it must stop for want of sight, that is said too."""
    try:
        words = tuple(declared.kind.want(declared.spec, see))
        for word in words:
            if isinstance(word, Goal):
                see(word.place)  # what cannot be compared is unknown too
    except Hidden as hidden:
        return (Finding(Op.UNKNOWN, "", hidden.why),)
    return words


def _changes(
    declared: Declared,
    words: tuple[Said, ...],
    see: Snapshot,
    written: Mapping[Place[Any], Written],
) -> Iterator[Change]:
    """The resource's own row, and a row for each finding beside it."""
    base = Change(
        Op.SAME,
        declared.kind.name,
        declared.item.name,
        text=next((w.text for w in reversed(words) if isinstance(w, Summary)), ""),
        notes=tuple(w for w in words if isinstance(w, Note) and w.code not in declared.item.quiet),
        origin=declared.item.origin,
        about=declared.item.path,
    )
    hidden = next((w for w in words if isinstance(w, Finding) and not w.subject), None)
    refusal = next((w for w in words if isinstance(w, Refusal)), None)
    skipped = next((w for w in words if isinstance(w, NotApplicable)), None)
    if hidden:
        yield replace(base, op=hidden.op, text=hidden.text, hint=hidden.hint, notes=())
    elif skipped:
        yield replace(base, text=f"not applicable: {skipped.text}", applicable=False)
    elif refusal:
        yield replace(base, op=Op.BLOCKED, text=refusal.text, hint=refusal.hint, code=refusal.code)
    elif any(not isinstance(w, Finding) for w in words):  # else it says nothing of the entry itself
        goals = [w for w in words if isinstance(w, Goal)]
        swaps = tuple(_drift(goals, declared.owner, see, written))
        behind = not swaps and any(isinstance(w, Reload) for w in words)
        notes = (*base.notes, _BEHIND) if behind else base.notes
        op = Op.CHANGE if behind else operation(swaps, notes)
        if no := obstacles.obstacle(swaps, see):
            yield replace(base, op=Op.BLOCKED, text=no.text, hint=no.hint, code=no.code, notes=())
        else:
            yield replace(base, op=op, swaps=swaps, notes=notes)
    for finding in (w for w in words if isinstance(w, Finding) and w.subject):
        kind = finding.kind or declared.kind.name
        row = Change(finding.op, kind, finding.subject, finding.text, hint=finding.hint)
        item = declared.item
        yield replace(row, code=finding.code, origin=item.origin, about=item.path)


def _drift(
    goals: Iterable[Goal[Any]],
    owner: str,
    see: Snapshot,
    written: Mapping[Place[Any], Written] = NOTHING_WRITTEN,
) -> Iterator[Swap]:
    """A swap for each place that does not hold what it should."""
    for goal in dict.fromkeys(goals):
        have = see(goal.place)
        if compare(have, goal.want):
            before = written.get(goal.place)
            why = goal.why
            if before and tries.is_drift(before, goal.want, have):
                why = f"changed by someone else since run {before.run}"
            yield Swap(goal.place, have, goal.want, why, owner)


def _leftovers(
    kind: Kind, specs: Sequence[Any], see: Snapshot, ownership: Ownership
) -> Iterator[Change]:
    try:
        left = [
            (name, tuple(_drift(goals, f"{kind.name} {name}", see)))
            for name, goals in kind.leftovers(specs, see)
        ]
    except Hidden as hidden:
        yield Change(Op.UNKNOWN, kind.name, "...", text=f"no longer declared: {hidden.why}")
        return
    for name, swaps in left:
        if swaps and not any(ownership.is_anothers(swap.place) for swap in swaps):
            text = "no longer declared: taken back"
            row = Change(Op.REMOVE, kind.name, name, text=text, swaps=swaps, about=name)
            if no := obstacles.obstacle(swaps, see):
                text = f"no longer declared, but {no.text}"
                row = replace(row, op=Op.BLOCKED, text=text, hint=no.hint, code=no.code, swaps=())
            yield row
