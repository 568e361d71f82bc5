"""The inverse of a run, as a plan like any other: the same swaps with their values exchanged."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from reconciler.engine import restore
from reconciler.engine.model import Change, Plan
from reconciler.engine.order import in_order, in_turn, operation
from reconciler.engine.place import Swap, path_of
from reconciler.facts.diagnostics import COST, Note, Op
from reconciler.facts.host import EntriesOf, UseOf
from reconciler.facts.host_view import NotVisible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from reconciler.engine.last_applied import Run
    from reconciler.engine.place import LastApplied, Place
    from reconciler.facts.host_view import HostView


def inverse(run: Run, host: HostView, written: Mapping[Place[Any], LastApplied]) -> Plan:
    """What takes the run back; a place that someone else changed since is refused.

    ``written`` is what vmtune wrote since, which was not someone else.
    """
    swaps = [swap for _, swap in run.done()]
    since = {place: was for place, was in written.items() if was.run > run.number}
    states = _states(swaps, since, host)
    by_owner: dict[str, list[Swap]] = {}
    for swap in reversed(swaps):
        by_owner.setdefault(swap.owner, []).append(swap)
    rows = (_changes(owner, its, states, host) for owner, its in by_owner.items())
    changes = tuple(chain.from_iterable(rows))
    actions = in_order(changes, host)
    return Plan(in_turn(changes, actions), actions)


def _changes(
    owner: str,
    swaps: Sequence[Swap],
    states: Mapping[Place[Any], str | NotVisible],
    host: HostView,
) -> Iterator[Change]:
    kind, _, name = owner.partition(" ")
    back: list[Swap] = []
    notes: list[Note] = []
    for swap in swaps:
        place, state = swap.place, states[swap.place]
        if state == "ours" and (note := place.lasting(swap.have)):
            notes.append(note)
        elif state == "ours":
            back.append(Swap(place, host(place), swap.have, "", owner))
            notes += [Note(text, label=COST) for text in place.not_undone(swap.have, swap.want)]
        elif state != "taken back":
            op = Op.UNKNOWN if isinstance(state, NotVisible) else Op.BLOCKED
            yield Change(op, kind, name, f"{place.label}: {state}", code="V401")
    back += restore.with_them(back, host)
    if no := restore.to_put_back(back, host):
        yield Change(Op.BLOCKED, kind, name, no.text, hint=no.hint, code=no.code)
    elif back or notes or all(states[swap.place] == "taken back" for swap in swaps):
        text = "" if back or notes else "is as it was before"
        about = next((path_of(swap.place) for swap in swaps if swap.place.word), "")
        unique = tuple(dict.fromkeys(notes))
        yield Change(operation(back, notes), kind, name, text, tuple(back), unique, about=about)


def _states(
    swaps: Sequence[Swap], since: Mapping[Place[Any], LastApplied], host: HostView
) -> dict[Place[Any], str | NotVisible]:
    """What is "ours", "taken back", hidden, or why it cannot be taken back.

    From the inside out: a directory can go when all that is in it goes.
    """
    states: dict[Place[Any], str | NotVisible] = {}
    going: set[str] = set()
    for swap in sorted(swaps, key=lambda swap: swap.place.order, reverse=True):
        try:
            states[swap.place] = _state(swap, going, since, host)
        except NotVisible as hidden:
            states[swap.place] = hidden
        if swap.place.is_made(swap.have) and states[swap.place] == "ours":
            going.add(path_of(swap.place))
    return states


def _state(
    swap: Swap, going: AbstractSet[str], since: Mapping[Place[Any], LastApplied], host: HostView
) -> str:
    now: Any = host(swap.place)
    later = since.get(swap.place)
    if now == swap.have:
        return "taken back"
    if now != swap.want and not swap.place.half_done(swap.have, now, swap.want):
        if later and now in later.values:
            return f"run {later.run} changed it since: take that one back first"
        return f"someone else changed it since: it holds {swap.place.words(now)}"
    if swap.place.is_made(swap.have):
        path = path_of(swap.place)
        if any(f"{path}/{name}" not in going for name in host(EntriesOf(path))):
            return "it is not empty, and stays"
        if use := host.maybe(UseOf(path)):
            return f"{use}; it stays"
    return "ours"
