"""What a plan rests on besides the values of its places: that they are still the same places.

Two directories may hold the same value, and two disks the same options. What
changes whenever a machine runs (times, sizes, free space) is left out: the plan
of the moment says where it is in the way, and whoever writes data looks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.place import Swap
from reconciler.facts.host import DirectoryId, FilesystemOf, FstabLines, Mounts, SourceUuid
from reconciler.facts.host_view import NotVisible
from reconciler.formats import jsondata, mountinfo
from reconciler.formats.jsondata import FormatError
from reconciler.formats.paths import parent
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


def facts(actions: Iterable[Action], host: HostView) -> tuple[Precondition, ...]:
    """Each that the actions rest on, once; what may not be seen is none."""
    swaps = [action for action in actions if isinstance(action, Swap)]
    return _found(swaps, swaps, host)


def _found(of: Iterable[Action], swaps: Sequence[Swap], host: HostView) -> tuple[Precondition, ...]:
    asked = dict.fromkeys(
        about for swap in of if isinstance(swap, Swap) for about in _about(swap, swaps, host)
    )
    found = ((about, name, _value(about, name, host)) for about, name in asked)
    return tuple(Precondition(*each) for each in found if each[2] not in {"", "unknown"})


def by_action(actions: Sequence[Action], host: HostView) -> dict[Action, tuple[Precondition, ...]]:
    """Find for each action the facts that it rests on, as ``facts`` does for all of them."""
    swaps = [action for action in actions if isinstance(action, Swap)]
    return {action: _found([action], swaps, host) for action in actions}


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


def _about(swap: Swap, swaps: Iterable[Swap], host: HostView) -> Iterator[tuple[str, str]]:
    yield from swap.place.rests_on(host)
    if swap.place.in_a_tree:
        path = _path(swap)
        yield "directory", _lasting(path, frozenset(_other(swaps)))
        yield "state of the filesystem of", path


def _other(swaps: Iterable[Swap]) -> Iterator[str]:
    """Paths that the plan itself makes another directory of, or none."""
    for swap in swaps:
        place = swap.place
        comes_or_goes = place.nothing in (swap.have, swap.want)
        if place.remakes or (place.is_ground and comes_or_goes):
            yield _path(swap)


def _path(swap: Swap) -> str:
    return str(getattr(swap.place, "path", ""))


def _lasting(path: str, other: Collection[str]) -> str:
    """The nearest directory above that is the same one before and after."""
    above = [path]
    while above[-1] != "/":
        above.append(parent(above[-1]))
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
