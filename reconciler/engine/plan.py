"""From declared resources to a plan: desired values over a view of the host, then what differs.

Each place has one desired value; what cannot be put is a row that says why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine import last_applied, restore
from reconciler.engine.claims import History
from reconciler.engine.item import Items
from reconciler.engine.last_applied import latest
from reconciler.engine.model import Apart, Awaited, Change, Desired, Plan, Reload, Wait, is_end
from reconciler.engine.order import in_order, in_turn, operation
from reconciler.engine.ownership import Ownership
from reconciler.engine.place import Swap
from reconciler.engine.planned_state import Outlook
from reconciler.engine.resource import Declared, Spoken
from reconciler.errors import ConfigError, ConfigErrors
from reconciler.facts.diagnostics import Finding, NotApplicable, Note, Op, Refusal, Summary
from reconciler.facts.host_view import NotVisible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.item import Item
    from reconciler.engine.model import Chosen, Said
    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.resource import Kind
    from reconciler.facts.host_view import HostView


NOTHING_WRITTEN: Mapping[Place[Any], Any] = {}

NO_HISTORY = History()


def declare(items: Sequence[Item], kinds: Sequence[Kind]) -> tuple[Declared, ...]:
    """Each item with every kind it asks something of, in the order of the file."""
    of = Items(items)
    return tuple(
        Declared(kind, item, spec)
        for item in of
        for kind in kinds
        if kind.section.name == item.section and (spec := kind.parse(item, of)) is not None
    )


def make_plan(
    declared: Sequence[Declared],
    kinds: Sequence[Kind],
    host: HostView,
    history: History = NO_HISTORY,
    chosen: Chosen | None = None,
) -> Plan:
    """Return the whole plan; raises ConfigErrors when two items want one place to differ.

    ``history`` tells drift from what was never applied, what to put back for items no
    longer declared, and what other configurations declare. ``chosen`` tells which
    rows the plan is about; None: all of them.
    """

    def is_chosen(d: Declared) -> bool:
        return chosen is None or chosen(d.row)

    last = latest(history.written)
    ownership = Ownership(history, host)
    declared = tuple(ownership.recalled(declared))
    host.expect(lambda: (u for k in kinds for u in k.units(_specs(declared, k), host)))
    spoken = collect(declared, lambda d: ownership.contested(_said(d, host)))
    said = _agreed(list(spoken), host, is_chosen if chosen else None)
    changes: list[Change] = []
    for d, words in said:
        changes += _with_waits(d, words, _changes(d, words, host, last))
    for kind in kinds:
        changes += _leftovers(kind, _specs(declared, kind), host, ownership)
    taken = [swap.place for change in changes for swap in change.swaps]
    changes += ownership.undeclared(said, taken, chosen)
    kept = [change for change in changes if chosen is None or chosen(change)]
    left_out = len(changes) - len(kept)
    kept += _unfinished(kinds, host)
    behind = any(isinstance(w, Reload) for d, words in said if is_chosen(d) for w in words)
    actions = in_order(kept, host, reload=behind)
    claims = ownership.claims(said, kept, chosen)
    return Plan(in_turn(kept, actions, behind=behind), actions, claims, left_out)


def _agreed(
    spoken: list[Spoken], host: HostView, is_chosen: Callable[[Declared], bool] | None
) -> list[Spoken]:
    """Return what all kinds said, as far as it holds once the plan is done.

    Raises ConfigErrors when two items want one place to differ, whichever are chosen.
    """
    said = weighed(drop_weak(spoken), host)
    check_conflicts(said)
    if is_chosen is None:
        return said
    # What the others want is not done, so nothing may rest on it.
    return weighed(drop_weak(spoken, is_chosen), host, is_chosen)


def _specs(declared: Sequence[Declared], kind: Kind) -> list[Any]:
    return [d.spec for d in declared if d.kind is kind]


def collect(
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


def _said(declared: Declared, host: HostView) -> tuple[Said, ...]:
    """All that the kind says; where it must stop for want of sight, that is said too."""
    try:
        words = tuple(declared.kind.want(declared.spec, host))
        for word in words:
            if isinstance(word, Desired | Apart):  # what cannot be compared is unknown too
                host(word.place if isinstance(word, Desired) else word.goal.place)
    except NotVisible as hidden:
        return (Finding(Op.UNKNOWN, "", hidden.why),)
    return words


def _with_waits(
    declared: Declared, words: Iterable[Said], rows: Iterable[Change]
) -> Iterator[Change]:
    """Yield the rows of an entry, each with what it comes to once whoever is in the way lets go."""
    waits: dict[str, list[Wait]] = {}
    for word in words:
        if isinstance(word, Awaited):
            goal = word.goal
            swap = Swap(goal.place, word.have, goal.want, goal.why, declared.owner)
            name = word.subject or declared.item.name
            waits.setdefault(name, []).append(Wait(swap, word.why, word.paths, word.notes))
    for row in rows:
        is_it = row.op is Op.BLOCKED and row.name in waits
        yield replace(row, waits=tuple(waits[row.name])) if is_it else row


def _changes(
    declared: Declared,
    words: tuple[Said, ...],
    host: HostView,
    written: Mapping[Place[Any], LastApplied],
) -> Iterator[Change]:
    """The resource's own row, and a row for each finding beside it."""
    base = replace(
        declared.row,
        text=next((w.text for w in reversed(words) if isinstance(w, Summary)), ""),
        notes=tuple(w for w in words if isinstance(w, Note) and w.code not in declared.item.quiet),
    )
    hidden = next((w for w in words if isinstance(w, Finding) and not w.subject), None)
    refusal = next((w for w in words if isinstance(w, Refusal)), None)
    skipped = next((w for w in words if isinstance(w, NotApplicable)), None)
    if hidden:
        yield replace(base, op=hidden.op, text=hidden.text, hint=hidden.hint, notes=())
    elif skipped:
        yield replace(base, text=f"not applicable: {skipped.text}", applicable=False)
    elif refusal:
        yield replace(base.refused(refusal), notes=base.notes)
    elif any(not isinstance(w, Finding | Awaited | Apart) for w in words):  # else of the entry none
        goals = [w for w in words if isinstance(w, Desired)]
        swaps = tuple(_drift(goals, declared.owner, host, written))
        yield _if_possible(replace(base, op=operation(swaps, base.notes), swaps=swaps), host)
    for apart in (w for w in words if isinstance(w, Apart)):
        yield from _apart(apart, replace(base, notes=()), declared.owner, host)
    for finding in (w for w in words if isinstance(w, Finding) and w.subject):
        kind = finding.kind or declared.kind.name
        row = Change(finding.op, kind, finding.subject, finding.text, hint=finding.hint)
        yield replace(row, code=finding.code, origin=base.origin, about=base.about)


def _apart(of: Apart, base: Change, owner: str, host: HostView) -> Iterator[Change]:
    """Yield the row that a goal has of its own, unless the goal is reached."""
    swaps = tuple(_drift([of.goal], owner, host))
    if swaps:
        row = replace(base, op=Op.CHANGE, name=of.subject, text=of.text, swaps=swaps)
        yield _if_possible(replace(row, notes=of.notes, code=of.code), host)


def _if_possible(row: Change, host: HostView, before: str = "") -> Change:
    """Return the row; refused, behind the words ``before``, where a place cannot be put."""
    no = restore.obstacle(row.swaps, host)
    return row.refused(no, before) if no else row


def _unfinished(kinds: Sequence[Kind], host: HostView) -> Iterator[Change]:
    """Yield a row for all that a run began and did not end, whatever is declared by now."""
    for kind in kinds:
        try:
            for apart in kind.unfinished(host):
                base = Change(Op.SAME, kind.name, apart.subject)
                yield from _apart(apart, base, f"{kind.name} {apart.subject}", host)
        except NotVisible as hidden:
            yield Change(Op.UNKNOWN, kind.name, "...", text=f"what a run left: {hidden.why}")


def _drift(
    goals: Iterable[Desired[Any]],
    owner: str,
    host: HostView,
    written: Mapping[Place[Any], LastApplied] = NOTHING_WRITTEN,
) -> Iterator[Swap]:
    """A swap for each place that does not hold what it should."""
    for goal in dict.fromkeys(goals):
        have = host(goal.place)
        if have != goal.want:
            before = written.get(goal.place)
            why = goal.why
            if before and last_applied.is_drift(before, goal.want, have):
                why = f"changed by someone else since run {before.run}"
            yield Swap(goal.place, have, goal.want, why, owner)


def _leftovers(
    kind: Kind, specs: Sequence[Any], host: HostView, ownership: Ownership
) -> Iterator[Change]:
    try:
        left = [
            (name, tuple(_drift(goals, f"{kind.name} {name}", host)))
            for name, goals in kind.leftovers(specs, host)
        ]
    except NotVisible as hidden:
        yield Change(Op.UNKNOWN, kind.name, "...", text=f"no longer declared: {hidden.why}")
        return
    for name, swaps in left:
        if swaps and not any(ownership.is_anothers(swap.place) for swap in swaps):
            text = "no longer declared: taken back"
            row = Change(Op.REMOVE, kind.name, name, text=text, swaps=swaps, about=name)
            yield _if_possible(row, host, "no longer declared, but ")


def drop_weak(
    said: list[Spoken], is_done: Callable[[Declared], bool] = lambda _d: True
) -> list[Spoken]:
    """Without the weak goals for places that another resource has its own goal for.

    ``is_done`` tells which resources the plan is about: the others make no place.
    """
    taken = {
        word.place
        for d, words in said
        if is_done(d)
        for word in words
        if isinstance(word, Desired) and not word.weak
    }
    return [
        (d, tuple(w for w in words if not (isinstance(w, Desired) and w.weak and w.place in taken)))
        for d, words in said
    ]


def check_conflicts(said: Iterable[Spoken]) -> None:
    """Raise ConfigErrors when two items want one place to differ."""
    wanted: dict[Place[Any], tuple[Any, Declared]] = {}
    problems = []
    for declared, words in said:
        if any(isinstance(word, Refusal) for word in words):
            continue
        for goal in (word for word in words if isinstance(word, Desired)):
            want, first = wanted.setdefault(goal.place, (goal.want, declared))
            if want != goal.want:
                place = goal.place
                text = (
                    f"{declared.owner} wants {place.full} to be {place.words(goal.want)}, but "
                    f"{first.owner} at {first.item.origin} wants {place.words(want)}"
                )
                hint = "they are one and the same place on this host: declare one value"
                problems.append(ConfigError(declared.item.origin, text, hint))
    if problems:
        raise ConfigErrors(problems)


def weighed(
    said: Iterable[Spoken], host: HostView, is_done: Callable[[Declared], bool] = lambda _d: True
) -> list[Spoken]:
    """Without the notes and refusals that do not hold of the host as the plan will leave it.

    ``is_done`` tells which entries the plan is about: what the others want is not done.
    """
    all_said = list(said)
    goals = {
        word.place: word.want
        for d, words in all_said
        if is_done(d) and not any(map(is_end, words))
        for word in words
        if isinstance(word, Desired)
    }
    outlook = Outlook(host, goals)
    return [(d, tuple(_holding(d, words, outlook))) for d, words in all_said]


def _holding(of: Declared, words: Iterable[Said], outlook: Outlook) -> Iterator[Said]:
    """Leave out what does not hold, and all that stands behind a refusal that does."""
    for word in words:
        if not isinstance(word, Note | Refusal) or of.kind.holds(of.spec, word, outlook):
            yield word
            if isinstance(word, Refusal):
                return
