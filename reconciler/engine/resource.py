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
    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.planned_state import Outlook
    from reconciler.errors import ConfigError
    from reconciler.facts.diagnostics import Note, Refusal
    from reconciler.facts.host import ServiceRun
    from reconciler.facts.host_view import HostView
    from reconciler.formats.node import Node


if TYPE_CHECKING:
    Kept = Callable[[Place[Any]], frozenset[str]]
    """Names the parts of a place that other configurations declare: they stay as they are."""


def nothing_left(
    _specs: Sequence[Any], _host: HostView
) -> Iterator[tuple[str, Sequence[Desired[Any]]]]:
    """For kinds that leave nothing behind that names its maker."""
    return iter(())


def nothing_dropped(
    spec: Any, _written: Mapping[Place[Any], tuple[LastApplied, ...]], _kept: Kept
) -> Any:
    """For kinds of which an entry as a whole is declared or not."""
    return spec


def no_places(_spec: Any, _host: HostView) -> Iterator[Place[Any]]:
    """For kinds that write nothing that could be taken back."""
    return iter(())


def as_written(spec: Any, _host: HostView) -> Any:
    """For kinds whose entries are known by the path that is written."""
    return spec


def nothing_unfinished(_host: HostView) -> Iterator[Apart]:
    """For kinds of which a killed run leaves nothing that stands still."""
    return iter(())


def no_units(_specs: Sequence[Any], _host: HostView) -> Iterator[str]:
    """For kinds that ask nothing of systemd."""
    return iter(())


def no_part(_spec: Any, _name: str) -> Any:
    """For kinds of which an entry is done as a whole."""
    return None


def always(_spec: Any, _note: Note | Refusal, _outlook: Outlook) -> bool:
    """For kinds whose advice rests on their own entry alone."""
    return True


def nothing_wrong(_entry: Node) -> Iterator[ConfigError]:
    """For kinds whose keys the schema alone can judge."""
    return iter(())


def no_schedules(_items: Sequence[Item], _host: HostView) -> Iterator[ScheduleRuns]:
    """For kinds that set up nothing that runs by itself."""
    return iter(())


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
        nothing_left
    )
    needs: tuple[str, ...] = ()
    recall: Callable[[Any, Mapping[Place[Any], tuple[LastApplied, ...]], Kept], Any] = (
        nothing_dropped
    )
    places: Callable[[Any, HostView], Iterator[Place[Any]]] = no_places
    located: Callable[[Any, HostView], Any] = as_written
    part: Callable[[Any, str], Any] = no_part
    unfinished: Callable[[HostView], Iterator[Apart]] = nothing_unfinished
    units: Callable[[Sequence[Any], HostView], Iterator[str]] = no_units
    holds: Callable[[Any, Note | Refusal, Outlook], bool] = always
    defaults: Mapping[str, Any] = field(default_factory=dict)
    wrong: Callable[[Node], Iterator[ConfigError]] = nothing_wrong
    conflicts: Callable[[Node], Iterator[ConfigError]] = nothing_wrong
    schedules: Callable[[Sequence[Item], HostView], Iterator[ScheduleRuns]] = no_schedules


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
