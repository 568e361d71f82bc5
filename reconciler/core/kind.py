"""What a kind of resource is: a way to read its spec, and to say what it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reconciler.core.item import Item, Items
    from reconciler.core.model import Goal, Note, Refusal, Said
    from reconciler.core.outlook import Outlook
    from reconciler.core.ownership import Ownership
    from reconciler.core.places import Place
    from reconciler.core.snapshot import Snapshot
    from reconciler.core.written import Written


def nothing_left(
    _specs: Sequence[Any], _see: Snapshot
) -> Iterator[tuple[str, Sequence[Goal[Any]]]]:
    """For kinds that leave nothing behind that names its maker."""
    return iter(())


def nothing_dropped(
    spec: Any, _written: Mapping[Place[Any], tuple[Written, ...]], _owner: Ownership
) -> Any:
    """For kinds of which an entry as a whole is declared or not."""
    return spec


def no_places(_spec: Any, _see: Snapshot) -> Iterator[Place[Any]]:
    """For kinds that write nothing that could be taken back."""
    return iter(())


def no_units(_specs: Sequence[Any], _see: Snapshot) -> Iterator[str]:
    """For kinds that ask nothing of systemd."""
    return iter(())


def always(_spec: Any, _note: Note | Refusal, _outlook: Outlook) -> bool:
    """For kinds whose advice rests on their own entry alone."""
    return True


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: one file in resources/ and one line in the registry.

    ``parse`` turns a valid item into a spec (the second argument: all items), or
    into None where the item asks nothing of this kind,
    ``want`` says which value each of its places should hold, ``leftovers``
    names what vmtune made for items that are no longer declared, with the
    goals that take it back. ``recall`` adds to a spec what vmtune wrote for its
    item before, and the item may no longer ask for; ``places`` names the places of a
    spec whatever they should hold, also where the kind refuses its part now. ``needs``
    names kinds that come before it: where one of them cannot do its part of an entry, this one
    says nothing of it. ``units`` names the systemd units that it may ask about:
    systemctl is run once for all of them. ``holds`` is asked of each note and refusal once all
    kinds have spoken: is it true of the host as this plan will leave it?
    """

    name: str
    section: str
    parse: Callable[[Item, Items], Any]
    want: Callable[[Any, Snapshot], Iterator[Said]]
    leftovers: Callable[[Sequence[Any], Snapshot], Iterator[tuple[str, Sequence[Goal[Any]]]]] = (
        nothing_left
    )
    needs: tuple[str, ...] = ()
    recall: Callable[[Any, Mapping[Place[Any], tuple[Written, ...]], Ownership], Any] = (
        nothing_dropped
    )
    places: Callable[[Any, Snapshot], Iterator[Place[Any]]] = no_places
    units: Callable[[Sequence[Any], Snapshot], Iterator[str]] = no_units
    holds: Callable[[Any, Note | Refusal, Outlook], bool] = always
