"""What a plan rests on besides the values of its places: that they are still the same places.

Two directories may hold the same value, and two disks the same options. What
changes whenever a machine runs (times, sizes, free space) is left out: the plan
of the moment says where it is in the way, and whoever writes data looks again.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from reconciler.engine.place import Swap, path_of
from reconciler.facts.host import DirectoryId, FilesystemOf, FstabLines, Mounts, SourceUuid
from reconciler.facts.host_view import NotVisible
from reconciler.formats import jsondata, mountinfo
from reconciler.formats.jsondata import FormatError
from reconciler.formats.paths import at_and_above
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.model import Action
    from reconciler.facts.host_view import HostView


class Precondition(Value):
    """``about`` is one of ASK; ``name`` a path, a mount point or the source of an fstab line."""

    about: str
    name: str
    value: str


def _mounted(target: str, host: HostView) -> str:
    mount = mountinfo.at(host(Mounts()), target)
    if mount is None:
        return "nothing"
    return host(FilesystemOf(mount.target)).uuid if mount.fstype == "btrfs" else mount.fstype


def _line(target: str, host: HostView) -> str:
    """All of it but the options, which are a place of their own."""
    found = [f"{line.source} {line.fstype}" for line in host(FstabLines()) if line.target == target]
    return "; ".join(found) or "none"


def _state(path: str, host: HostView) -> str:
    """Whether it is whole: nothing is made nocow, or moved, where a device is missing."""
    filesystem = host(FilesystemOf(path))
    return filesystem.condition.words if filesystem.type == "btrfs" else ""


ASK: Mapping[str, Callable[[str, HostView], str]] = {
    "directory": lambda path, host: host(DirectoryId(path)),
    "line of fstab for": _line,
    "filesystem at": _mounted,
    "filesystem of": lambda source, host: host(SourceUuid(source)) or "unknown",
    "state of the filesystem of": _state,
}
"""How each is found out, by the words that stand before its name."""


def facts(actions: Sequence[Action], host: HostView) -> tuple[Precondition, ...]:
    """Each that the actions rest on, once; what may not be seen is none."""
    return tuple(dict.fromkeys(chain.from_iterable(by_action(actions, host).values())))


def by_action(actions: Sequence[Action], host: HostView) -> dict[Action, tuple[Precondition, ...]]:
    """Find for each action the facts that it rests on; what may not be seen is none."""
    swaps = [action for action in actions if isinstance(action, Swap)]
    other = frozenset(_other(swaps))
    rested = {swap: tuple(_found(swap, other, host)) for swap in swaps}
    return dict.fromkeys(actions, ()) | rested


def _found(swap: Swap, other: Collection[str], host: HostView) -> Iterator[Precondition]:
    asked = [*swap.place.rests_on(host)]
    if swap.place.in_a_tree:
        path = path_of(swap.place)
        asked += [("directory", _lasting(path, other)), ("state of the filesystem of", path)]
    for about, name in asked:
        value = _value(about, name, host)
        if value not in {"", "unknown"}:
            yield Precondition(about, name, value)


def changed(planned: Iterable[Precondition], host: HostView) -> Iterator[str]:
    """A line for each that is another one now."""
    for fact in planned:
        found = _value(fact.about, fact.name, host) or "nothing that may be seen"
        if found != fact.value:
            yield f"{fact.about} {fact.name}: planned on {fact.value}, found {found}"


def _value(about: str, name: str, host: HostView) -> str:
    try:
        return ASK[about](name, host)
    except NotVisible:
        return ""


def _other(swaps: Iterable[Swap]) -> Iterator[str]:
    """Paths that the plan itself makes another directory of, or none."""
    for swap in swaps:
        place = swap.place
        comes_or_goes = place.nothing in (swap.have, swap.want)
        if place.remakes or (place.is_ground and comes_or_goes):
            yield path_of(place)


def _lasting(path: str, other: Collection[str]) -> str:
    """The nearest directory above that is the same one before and after."""
    above = list(at_and_above(path))
    last = max((number for number, each in enumerate(above) if each in other), default=-1)
    return above[min(last + 1, len(above) - 1)]


def plain(fact: Precondition) -> dict[str, str]:
    """JSON data for a fact."""
    return {"about": fact.about, "name": fact.name, "is": fact.value}


def fact(data: Any) -> Precondition:
    """The fact again; FormatError where nobody knows how to find it out."""
    fields = jsondata.mapping(data)
    about = jsondata.text(fields["about"])
    if about not in ASK:
        raise FormatError(f"unknown fact {about!r:.60}: made by a newer vmtune?")
    return Precondition(about, jsondata.name(fields["name"]), jsondata.text(fields["is"]))
