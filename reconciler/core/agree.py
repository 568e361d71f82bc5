"""What all entries say, taken together: one goal for each place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model import Goal, Refusal
from reconciler.core.origin import Problem, Problems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.places import Place
    from reconciler.core.plan import Declared, Spoken


def strong(said: list[Spoken]) -> list[Spoken]:
    """Without the weak goals for places that another resource has its own goal for."""
    taken = {
        word.place
        for _, words in said
        for word in words
        if isinstance(word, Goal) and not word.weak
    }
    return [
        (d, tuple(w for w in words if not (isinstance(w, Goal) and w.weak and w.place in taken)))
        for d, words in said
    ]


def check_conflicts(said: Iterable[Spoken]) -> None:
    """Raise Problems when two items want one place to differ."""
    wanted: dict[Place[Any], tuple[Any, Declared]] = {}
    problems = []
    for declared, words in said:
        if any(isinstance(word, Refusal) for word in words):
            continue
        for goal in (word for word in words if isinstance(word, Goal)):
            want, first = wanted.setdefault(goal.place, (goal.want, declared))
            if want != goal.want:
                problems.append(_conflict(goal, declared, want, first))
    if problems:
        raise Problems(problems)


def _conflict(goal: Goal[Any], declared: Declared, want: Any, first: Declared) -> Problem:
    place = goal.place
    return Problem(
        declared.item.origin,
        f"{declared.owner} wants {place.full} to be {place.words(goal.want)}, but "
        f"{first.owner} at {first.item.origin} wants {place.words(want)}",
        "they are one and the same place on this host: declare one value",
    )
