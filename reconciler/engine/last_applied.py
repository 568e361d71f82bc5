"""What vmtune wrote at each place, folded from its journal."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from reconciler.engine.place import LastApplied, Swap
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.place import Place
    from reconciler.facts.layouts import ImageLayout


class Seen(Value):
    """An image as it lay at the beginning or the end of a run; ``key`` stands for its path.

    Sizes are in bytes. Another ``inode`` under the same path: it was rewritten.
    """

    key: str
    inode: int
    size: int
    nocow: bool
    fragments: int
    compressed: int
    shared: int


class Run(Value):
    """One record of the journal.

    ``outcomes`` maps the number of an action (from 1) to its outcome;
    ``begun`` holds those that were started. An action begun without an
    outcome was cut off: only the host can tell whether it was done. Times are
    ISO 8601 with the zone.
    """

    number: int
    started: str
    user: str
    command: str
    config: str
    actions: tuple[Action, ...]
    begun: frozenset[int] = frozenset()
    outcomes: Mapping[int, str] = field(default_factory=dict)
    finished: str = ""
    result: str = ""
    before: tuple[Seen, ...] = ()
    after: tuple[Seen, ...] = ()
    """The largest images below what it touched; none in records from before vmtune looked."""
    things: Mapping[int, str] = field(default_factory=dict)
    """Which directory an action began to change, by its number: see Written.thing."""

    def done(self) -> Iterable[tuple[int, Swap]]:
        """The swaps that were done, or may have been, with their numbers.

        A swap that failed may be there all the same: a new name that could
        not be synced is still the new name.
        """
        for number, action in enumerate(self.actions, 1):
            finished = self.outcomes.get(number, "cut off" if number in self.begun else "")
            if isinstance(action, Swap) and finished in {"done", "failed", "cut off"}:
                yield number, action

    def changed(self) -> bool:
        """Whether anything was done, or may have been but for a failure."""
        return any(self.outcomes.get(number) != "failed" for number, _ in self.done())


class Before(Value):
    """How images lay when vmtune first looked: ``seen`` is by key, with or without ``secret``.

    ``is_hidden``: the secret may not be read, so it cannot be told which image is which;
    ``as_root``: who was not let read it is root.
    """

    seen: Mapping[str, Seen] = field(default_factory=dict)
    secret: bytes = b""
    is_hidden: bool = False
    as_root: bool = False

    def of(self, image: ImageLayout) -> Seen | None:
        """Return how an image lay; None where that is not known, or not to be seen."""
        older = self.seen.get(image.key(b""))
        return older or (self.seen.get(image.key(self.secret)) if self.secret else None)


def first_seen(runs: Iterable[Run]) -> dict[str, Seen]:
    """Each image as it was when a run first looked, by key."""
    found: dict[str, Seen] = {}
    for run in runs:
        for seen in (*run.before, *run.after):
            found.setdefault(seen.key, seen)
    return found


def fold(
    base: Mapping[Place[Any], tuple[LastApplied, ...]], runs: Iterable[Run]
) -> dict[Place[Any], tuple[LastApplied, ...]]:
    """Return what all runs wrote, place by place: of each configuration, the last writer last.

    A place that holds its original again is forgotten. What one configuration finds of another
    one's making passes on: the original stays what was there before the first of them.
    """
    found = dict(base)
    for run in runs:
        for number, swap in run.done():
            before = found.pop(swap.place, ())
            own = next((was for was in before if was.config == run.config), None)
            is_done = run.outcomes.get(number) == "done"
            known = own or _inherited(swap, before)
            now = _written(swap, known, run, certain=is_done)
            now = replace(now, thing=run.things.get(number, "")) if now else None
            # A record whose value may be gone by now is replaced by one that says so.
            is_known = now and known and now.config == known.config
            kept = [was for was in before if was != (known if is_known else own)]
            if is_done and not swap.place.in_parts:
                kept = [was for was in kept if was.original != swap.want]
            if kept := [*kept, now] if now else kept:
                found[swap.place] = tuple(kept)
            if swap.place.remakes:
                _forget_things(found, swap.place)
    return found


def _forget_things(found: dict[Place[Any], tuple[LastApplied, ...]], remade: Place[Any]) -> None:
    """Forget which directory a path was: vmtune itself put another one there."""
    for place, records in found.items():
        if getattr(place, "path", "") == getattr(remade, "path", None):
            found[place] = tuple(replace(was, thing="") for was in records)


def _inherited(swap: Swap, before: Sequence[LastApplied]) -> LastApplied | None:
    """Return the record of another configuration whose value this swap replaces."""
    if swap.place.in_parts or not before or swap.have not in before[-1].values:
        return None
    return before[-1]


def _written(
    swap: Swap, before: LastApplied | None, run: Run, *, certain: bool
) -> LastApplied | None:
    original = swap.place.original(before, swap.have) if before else swap.have
    if swap.want != original:
        earlier = before.values if before and not certain else ()
        values = (*earlier, swap.want)
        return LastApplied(original, values, swap.owner, run.number, certain, run.config)
    # What was written may still be there, or not.
    return replace(before, certain=False) if before and not certain else None


def latest(
    of: Mapping[Place[Any], tuple[LastApplied, ...]],
) -> dict[Place[Any], LastApplied]:
    """Return what was written last, by whichever configuration."""
    return {place: found[-1] for place, found in of.items()}


def merged(records: Iterable[LastApplied]) -> LastApplied | None:
    """Return the records of one thing as one record: what was there before all of them.

    A thing may have several: it was written under another name, or for another
    configuration. None where the last of them put back what was there before the first.
    """
    whole: LastApplied | None = None
    for record in sorted(records, key=lambda record: record.run):
        if whole is None:
            whole = record
            continue
        original = whole.original if record.original in whole.values else record.original
        values = record.values if record.certain else (*whole.values, *record.values)
        whole = replace(record, original=original, values=values)
    return None if whole is None or whole.values == (whole.original,) else whole
