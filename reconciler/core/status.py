"""What is wanted, what is there and what vmtune wrote last, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import tries
from reconciler.core.model import Finding, Goal, Op, Refusal
from reconciler.core.outlook import weighed
from reconciler.core.plan import NOTHING_WRITTEN, heard
from reconciler.core.snapshot import Hidden
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.core.effect import Effect
    from reconciler.core.model import Plan, Said
    from reconciler.core.places import Place
    from reconciler.core.plan import Declared
    from reconciler.core.snapshot import Snapshot
    from reconciler.core.tries import Try
    from reconciler.core.written import Written


@dataclass(frozen=True, slots=True)
class Standing:
    """The three values of one place; ``written`` is None where vmtune never wrote it.

    ``tried`` is the last try that a run made at it, as far as runs are kept one by one.
    """

    owner: str
    place: Place[Any]
    wanted: Any
    there: Any
    written: Written | None
    tried: Try | None = None

    @property
    def is_as_wanted(self) -> bool:
        return bool(self.there == self.wanted)

    @property
    def is_drift(self) -> bool:
        """Someone else changed it since vmtune put it right; otherwise it was not applied yet."""
        return tries.is_drift(self.written, self.wanted, self.there)


@dataclass(frozen=True, slots=True)
class Report:
    """All that status says: the rows of the plan, the places behind them, and what it brought."""

    plan: Plan
    standings: tuple[Standing, ...]
    effect: Effect


def standings(
    declared: Sequence[Declared],
    see: Snapshot,
    written: Mapping[Place[Any], Written],
    tried: Mapping[Place[Any], Try] = NOTHING_WRITTEN,
) -> tuple[Standing, ...]:
    """Every place of every declared resource that can be seen, each once."""
    found: dict[Place[Any], Standing] = {}
    said = weighed(heard(declared, lambda resource: tuple(_words(resource, see))), see)
    for resource, words in said:
        if any(isinstance(word, Refusal) for word in words):
            continue
        for goal in (word for word in words if isinstance(word, Goal)):
            standing = Standing(
                resource.owner,
                goal.place,
                goal.want,
                see(goal.place),
                written.get(goal.place),
                tried.get(tries.key(goal.place)),
            )
            if not goal.weak:
                found.setdefault(goal.place, standing)
    return tuple(found.values())


def _words(resource: Declared, see: Snapshot) -> Iterator[Said]:
    """Up to where something may not be seen: the plan's own row says so."""
    try:
        for word in resource.kind.want(resource.spec, see):
            if isinstance(word, Goal):
                see(word.place)
            yield word
    except Hidden as hidden:
        yield Finding(Op.UNKNOWN, "", hidden.why)
