"""What is wanted, what is there and what vmtune wrote last, place by place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.model import Goal
from reconciler.core.snapshot import Hidden

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.core.places import Place
    from reconciler.core.plan import Declared
    from reconciler.core.snapshot import Snapshot
    from reconciler.core.written import Written


@dataclass(frozen=True, slots=True)
class Standing:
    """The three values of one place; ``written`` is None where vmtune never wrote it."""

    owner: str
    place: Place[Any]
    wanted: Any
    there: Any
    written: Written | None

    @property
    def is_as_wanted(self) -> bool:
        return bool(self.there == self.wanted)

    @property
    def is_drift(self) -> bool:
        """Someone else changed it since vmtune put it right; otherwise it was not applied yet."""
        return not self.is_as_wanted and bool(
            self.written and self.written.values[-1] == self.wanted
        )


def standings(
    declared: Sequence[Declared], see: Snapshot, written: Mapping[Place[Any], Written]
) -> tuple[Standing, ...]:
    """Every place of every declared resource that can be seen, each once."""
    found: dict[Place[Any], Standing] = {}
    for resource in declared:
        for goal in _goals(resource, see):
            standing = Standing(
                resource.owner, goal.place, goal.want, see(goal.place), written.get(goal.place)
            )
            if not goal.weak:
                found.setdefault(goal.place, standing)
    return tuple(found.values())


def _goals(resource: Declared, see: Snapshot) -> Iterator[Goal[Any]]:
    """Up to where something may not be seen: the plan's own row says so."""
    try:
        for word in resource.kind.want(resource.spec, see):
            if isinstance(word, Goal):
                see(word.place)
                yield word
    except Hidden:
        return
