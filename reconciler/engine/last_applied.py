"""What vmtune wrote and tried at each place, folded from its journal.

Only a writing that was done and read back (``certain``) can be changed by someone else since.
One that failed, or that was cut off by a kill, may never have been there at all.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from reconciler.engine.place import LastApplied, Swap, path_of
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.model import Action
    from reconciler.engine.place import Place, Written
    from reconciler.facts.images import ImageLayout


CUT_OFF = "cut off"
"""How a swap ended that has no outcome in the journal: a kill came in between."""


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
    """Which directory an action began to change, by its number: see LastApplied.thing."""

    def ends(self) -> Iterator[tuple[int, Swap, str]]:
        """Yield each swap that was begun, with its number, and its outcome or CUT_OFF."""
        for number, action in enumerate(self.actions, 1):
            ended = self.outcomes.get(number, CUT_OFF if number in self.begun else "")
            if isinstance(action, Swap) and ended:
                yield number, action, ended

    def done(self) -> Iterator[tuple[int, Swap]]:
        """Yield the swaps that were done, or may have been, with their numbers.

        A swap that failed may be there all the same: a new name that could
        not be synced is still the new name.
        """
        for number, swap, ended in self.ends():
            if ended in {"done", "failed", CUT_OFF}:
                yield number, swap

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


def fold(base: Written, runs: Iterable[Run]) -> Written:
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
        if path_of(place) == path_of(remade):
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


def latest(of: Written) -> dict[Place[Any], LastApplied]:
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


_TRIED = frozenset({"done", "failed", "changed since the plan", CUT_OFF})


class Try(Value):
    """The last time that a run put a place, or tried to: what for, and how that ended.

    ``outcome`` is that of the journal, or CUT_OFF. ``why`` is "" where it is not known or may
    not be read.
    """

    run: int
    want: Any
    outcome: str
    why: str = ""


def is_set_by(was: LastApplied | None, wanted: Any) -> bool:
    """Tell whether vmtune put the value that is wanted there, and read it back."""
    return bool(was and was.certain and was.values[-1] == wanted)


def is_drift(was: LastApplied | None, wanted: Any, there: Any) -> bool:
    """Tell whether someone else changed a place since vmtune put the wanted value there."""
    return bool(there != wanted) and is_set_by(was, wanted)


def last_try(
    runs: Iterable[Run], whys: Callable[[int], Mapping[int, str]]
) -> dict[Place[Any], Try]:
    """Find the last try at each place, by the place without_left_out.

    ``whys`` gives a run's reasons by action.
    """
    found: dict[Place[Any], tuple[Run, int, Swap, str]] = {}
    for run in runs:
        for number, swap, ended in run.ends():
            if ended in _TRIED:
                found[swap.place.without_left_out()] = run, number, swap, ended
    return {
        place: Try(
            run.number,
            swap.want,
            ended,
            "" if ended == "done" else whys(run.number).get(number, ""),
        )
        for place, (run, number, swap, ended) in found.items()
    }


def told_of_try(of: Try, place: Place[Any], wanted: Any) -> str:
    """Say what became of a try that did not end well."""
    what = "" if of.want == wanted else f" to make it {place.words(of.want)}"
    if of.outcome == CUT_OFF:
        return f"run {of.run} was ended in the middle of trying{what or ' that'}"
    why = f": {of.why}" if of.why else ""
    return f"run {of.run} tried{what} and failed{why}"
