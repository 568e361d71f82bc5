"""What a kind of resource is: a way to read its spec, and to say what it wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.core.item import Item
    from reconciler.core.model import Goal, Said
    from reconciler.core.snapshot import Snapshot


def nothing_left(
    _specs: Sequence[Any], _see: Snapshot
) -> Iterator[tuple[str, Sequence[Goal[Any]]]]:
    """For kinds that leave nothing behind that names its maker."""
    return iter(())


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: one file in resources/ and one line in the registry.

    ``parse`` turns a valid item into a spec (the second argument: all items),
    ``want`` says which value each of its places should hold, ``leftovers``
    names what vmtune made for items that are no longer declared, with the
    goals that take it back.
    """

    name: str
    section: str
    parse: Callable[[Item, Sequence[Item]], Any]
    want: Callable[[Any, Snapshot], Iterator[Said]]
    leftovers: Callable[[Sequence[Any], Snapshot], Iterator[tuple[str, Sequence[Goal[Any]]]]] = (
        nothing_left
    )
