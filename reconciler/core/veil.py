"""Actions and values without the names of files, for those who may not enter their directories.

What is declared stays: unit files and crontabs say it too. What was found below
it is counted, and not named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.images import Images
from reconciler.core.model import Swap
from reconciler.core.standing import Standing
from reconciler.value import replace

if TYPE_CHECKING:
    from reconciler.core.model import Action
    from reconciler.core.places import Place
    from reconciler.core.written import Written

_NAME = "?"


def value(of: Any) -> Any:
    """A value of any place; tuples of texts are always names."""
    if isinstance(of, Standing):
        return Standing(of.count, value(of.named))
    return tuple(_NAME for _ in of) if isinstance(of, tuple) else of


def place(of: Place[Any]) -> Place[Any]:
    """The place; images that are spared were found, too."""
    return replace(of, spared=value(of.spared)) if isinstance(of, Images) else of


def action(of: Action) -> Action:
    """The action as everybody may read it."""
    if not isinstance(of, Swap):
        return of
    return replace(of, place=place(of.place), have=value(of.have), want=value(of.want))


def written(of: Written) -> Written:
    """The same for what is folded from the records."""
    return replace(of, original=value(of.original), values=tuple(map(value, of.values)))
