"""What vmtune wrote, and what was there before: the third column beside wanted and there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model import Swap
from reconciler.value import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.core.model import Action
    from reconciler.core.places import Place


@dataclass(frozen=True, slots=True)
class Written:
    """A place's value before vmtune first wrote it, and what of ours it may hold now.

    That is the value written last. Only where the last writing was cut off or
    failed (not ``certain``) may it also be an earlier one, or still the original.
    """

    original: Any
    values: tuple[Any, ...]
    owner: str
    run: int
    certain: bool = True
    config: str = ""
    """The configuration that it was declared in: another one does not take it back."""


@dataclass(frozen=True, slots=True)
class Seen:
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


@dataclass(frozen=True, slots=True)
class Run:
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


def first_seen(runs: Iterable[Run]) -> dict[str, Seen]:
    """Each image as it was when a run first looked, by key."""
    found: dict[str, Seen] = {}
    for run in runs:
        for seen in (*run.before, *run.after):
            found.setdefault(seen.key, seen)
    return found


def fold(base: Mapping[Place[Any], Written], runs: Iterable[Run]) -> dict[Place[Any], Written]:
    """The latest values over all runs; a place that holds its original again is forgotten."""
    found = dict(base)
    for run in runs:
        for number, swap in run.done():
            certain = run.outcomes.get(number) == "done"
            before = found.pop(swap.place, None)
            original = before.original if before else swap.have
            if swap.want != original:
                earlier = before.values if before and not certain else ()
                values = (*earlier, swap.want)
                found[swap.place] = Written(
                    original, values, swap.owner, run.number, certain, run.config
                )
            elif before and not certain:
                # What was written may still be there, or not.
                found[swap.place] = replace(before, certain=False)
    return found
