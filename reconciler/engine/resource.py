"""What a kind of resource is, and an entry with the kind that reads it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import Change
from reconciler.facts.diagnostics import Op
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reconciler.engine.item import Item, Items, Section
    from reconciler.engine.model import Apart, Desired, Said
    from reconciler.engine.place import Place, Written
    from reconciler.engine.planned_state import Outlook
    from reconciler.errors import ConfigError
    from reconciler.facts.diagnostics import Note, Refusal
    from reconciler.facts.host import ServiceRun
    from reconciler.facts.host_view import HostView
    from reconciler.formats.node import Node

    Kept = Callable[[Place[Any]], frozenset[str]]

    """Names the parts of a place that other configurations declare: they stay as they are."""


def nothing(*_about: Any) -> Iterator[Any]:
    """Yield nothing: for kinds that have none of what a Kind is asked for."""
    return iter(())


def unchanged(spec: Any, *_about: Any) -> Any:
    """Return the spec as it is: for kinds that know an entry by the path that is written."""
    return spec


class ScheduleRuns(Value):
    """What runs by itself for one entry: by which scheduler, and what that knows of its runs.

    ``scheduler`` is "" before it is set up; ``hidden`` says why that may not be seen. ``unit`` is
    the systemd service whose log tells of its runs; "" for another scheduler. ``skips`` says why
    the job's own check skips a run.
    """

    name: str
    scheduler: str
    run: ServiceRun
    hidden: str = ""
    unit: str = ""
    skips: str = ""
    kind: str = ""
    """The name of the kind of the entry; whoever asks a kind writes it here."""

    @property
    def entry(self) -> str:
        """Name the entry as the rows of a plan do."""
        return f"{self.kind} {self.name}"


class Kind(Value):
    """A kind of resource: one folder in resources/ and one line in the registry.

    ``section`` is where its entries are written; ``defaults`` are of its own keys there.
    ``wrong`` says what is wrong with an entry in whichever layer it is written, ``conflicts``
    what cannot hold together in an entry whose layers are merged: both only what a schema cannot
    say. ``schedules`` tells of what it had set up to run by itself.

    ``parse`` turns a valid item into a spec (the second argument: all items), or
    into None where the item asks nothing of this kind,
    ``want`` says which value each of its places should hold, ``leftovers``
    names what vmtune made for items that are no longer declared, with the
    goals that take it back. ``recall`` adds to a spec what vmtune wrote for its
    item before, and the item may no longer ask for; ``places`` names the places of a
    spec whatever they should hold, also where the kind refuses its part now. ``needs``
    names kinds that come before it: where one of them cannot do its part of an entry, this one
    says nothing of it. ``units`` names the systemd units that it may ask about:
    systemctl is run once for all of them. ``located`` gives the spec by the name that the host
    has for its path. ``part`` gives the spec for one file alone, named relative to the entry's
    path; None where an entry has no such parts. ``unfinished`` tells what a run that was killed
    left standing still, and that is done first, whatever is declared or chosen. ``holds`` is asked
    of each note and refusal once all kinds have spoken: is it true of the host as this plan will
    leave it?
    """

    name: str
    section: Section
    parse: Callable[[Item, Items], Any]
    want: Callable[[Any, HostView], Iterator[Said]]
    leftovers: Callable[[Sequence[Any], HostView], Iterator[tuple[str, Sequence[Desired[Any]]]]] = (
        nothing
    )
    needs: tuple[str, ...] = ()
    recall: Callable[[Any, Written, Kept], Any] = unchanged
    places: Callable[[Any, HostView], Iterator[Place[Any]]] = nothing
    located: Callable[[Any, HostView], Any] = unchanged
    part: Callable[[Any, str], Any] = lambda _spec, _name: None
    unfinished: Callable[[HostView], Iterator[Apart]] = nothing
    units: Callable[[Sequence[Any], HostView], Iterator[str]] = nothing
    holds: Callable[[Any, Note | Refusal, Outlook], bool] = lambda _spec, _note, _outlook: True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    wrong: Callable[[Node], Iterator[ConfigError]] = nothing
    conflicts: Callable[[Node], Iterator[ConfigError]] = nothing
    schedules: Callable[[Sequence[Item], HostView], Iterator[ScheduleRuns]] = nothing


class Declared(Value):
    """An item with the kind that reads it and its spec."""

    kind: Kind
    item: Item
    spec: Any
    part: str = ""
    """The one file that it is about, relative to the item's path; "" for all of the entry."""

    @property
    def owner(self) -> str:
        return f"{self.kind.name} {self.item.name}"

    @property
    def row(self) -> Change:
        """An empty row of the plan: what it is called, and what it is about."""
        name, about = self.item.name, self.item.path
        if self.part:
            name, about = (f"{each.rstrip('/')}/{self.part}" for each in (name, about))
        return Change(Op.SAME, self.kind.name, name, origin=self.item.origin, about=about)


Spoken = tuple[Declared, "tuple[Said, ...]"]
"""An entry, and what its kind says of it."""
