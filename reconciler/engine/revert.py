"""The inverse of a run, as a plan like any other: the same swaps with their values exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import obstacles, restore
from reconciler.engine.model import Change, Plan
from reconciler.engine.order import in_order, in_turn, operation
from reconciler.engine.place import Swap
from reconciler.engine.plan import NOTHING_WRITTEN
from reconciler.facts.diagnostics import COST, Note, Op
from reconciler.facts.host import EntriesOf, UseOf
from reconciler.facts.host_view import NotVisible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from reconciler.engine.last_applied import Run
    from reconciler.engine.place import LastApplied, Place
    from reconciler.facts.host_view import HostView


def inverse(
    run: Run, host: HostView, written: Mapping[Place[Any], LastApplied] = NOTHING_WRITTEN
) -> Plan:
    """What takes the run back; a place that someone else changed since is refused.

    ``written`` is what vmtune wrote since, which was not someone else.
    """
    swaps = [swap for _, swap in run.done()]
    since = {place: was for place, was in written.items() if was.run > run.number}
    states = _states(swaps, since, host)
    owners = dict.fromkeys(swap.owner for swap in reversed(swaps))
    changes = [
        change
        for owner in owners
        for change in _changes(
            owner, [s for s in reversed(swaps) if s.owner == owner], states, host
        )
    ]
    actions = in_order(changes, host)
    return Plan(in_turn(changes, actions), actions)


def _changes(
    owner: str, swaps: Sequence[Swap], states: Mapping[Place[Any], str], host: HostView
) -> Iterator[Change]:
    kind, _, name = owner.partition(" ")
    back, notes = [], []
    for swap in swaps:
        match states[swap.place].partition("hidden: "):
            case ["ours", _, _] if note := swap.place.lasting(swap.have):
                notes.append(note)
            case ["ours", _, _]:
                back.append(Swap(swap.place, host(swap.place), swap.have, "", owner))
                notes += [
                    Note(text, label=COST) for text in swap.place.not_undone(swap.have, swap.want)
                ]
            case ["taken back", _, _]:
                pass
            case ["", _, why]:
                text = f"{swap.place.label}: {why}"
                yield Change(Op.UNKNOWN, kind, name, text, code="V401")
            case [found, _, _]:
                yield Change(Op.BLOCKED, kind, name, f"{swap.place.label}: {found}", code="V401")
    back += restore.with_them(back, host)
    if no := obstacles.to_put_back(back, host):
        yield Change(Op.BLOCKED, kind, name, no.text, hint=no.hint, code=no.code)
    elif back or notes or all(states[swap.place] == "taken back" for swap in swaps):
        text = "" if back or notes else "is as it was before"
        about = next((str(getattr(s.place, "path", "")) for s in swaps if s.place.word), "")
        unique = tuple(dict.fromkeys(notes))
        yield Change(operation(back, notes), kind, name, text, tuple(back), unique, about=about)


def _states(
    swaps: Sequence[Swap], since: Mapping[Place[Any], LastApplied], host: HostView
) -> dict[Place[Any], str]:
    """What is "ours", "taken back", "hidden: why", or why it cannot be taken back.

    From the inside out: a directory can go when all that is in it goes.
    """
    states: dict[Place[Any], str] = {}
    going: set[str] = set()
    for swap in sorted(swaps, key=lambda swap: swap.place.order, reverse=True):
        try:
            states[swap.place] = _state(swap, going, since, host)
        except NotVisible as hidden:
            states[swap.place] = f"hidden: {hidden.why}"
        if _made(swap) and states[swap.place] == "ours":
            going.add(_path(swap))
    return states


def _made(swap: Swap) -> bool:
    return swap.place.is_ground and swap.have == swap.place.nothing


def _path(swap: Swap) -> str:
    return str(getattr(swap.place, "path", "")) if swap.place.is_ground else ""


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
    if _made(swap) and any(f"{_path(swap)}/{n}" not in going for n in host(EntriesOf(_path(swap)))):
        return "it is not empty, and stays"
    if _made(swap) and (use := host.maybe(UseOf(_path(swap)))):
        return f"{use}; it stays"
    return "ours"
