"""What an entry leaves to others: each directory below it that is declared on its own.

A document tells it by the paths as they are written. Here it is told by where they lead: a
home behind a link, or a link to a directory below, makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.directory import Directory
from reconciler.engine.place import Place, at_and_above
from reconciler.facts.host import Locate
from reconciler.value import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.engine.plan import Declared
    from reconciler.facts.host_view import HostView


if TYPE_CHECKING:
    Claimed = tuple[Place[Any], Mapping[str, Any], str]


def where(path: str, host: HostView) -> str:
    """Return a declared path by where it is; as it is written where that cannot be seen."""
    found = host.maybe(Locate(path)) if path else None
    return found.path if found else path


def resolved(
    declared: Sequence[Declared], host: HostView, others: Iterable[Claimed]
) -> tuple[Declared, ...]:
    """Return the entries, each with the directories below it that are not its own to decide.

    These are the entries of the same file, and of ``others`` (what other files claim) those
    that want something else of a directory: else each file would undo the other.
    """
    real = {d.item.path: where(d.item.path, host) for d in declared if d.item.section == "paths"}
    tops = set(real.values())
    below: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for path in tops:
        for top in tops.intersection(at_and_above(path)) - {path}:
            below.setdefault(top, []).append((path, {}))
    for place, part, _ in others:
        if isinstance(place, Directory) and "nocow" in part:
            for top in tops.intersection(at_and_above(place.path)) - {place.path}:
                below.setdefault(top, []).append((place.path, part))
    return tuple(_with(d, real, below) for d in declared)


def _with(
    declared: Declared,
    real: Mapping[str, str],
    below: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]],
) -> Declared:
    spec, data = declared.spec, declared.item.data
    if not hasattr(spec, "apart"):
        return declared
    own: dict[str, Any] = {"nocow": bool(data.get("nocow"))}
    if data.get("compression"):
        own = {"nocow": False, "compression": data["compression"]}
    found = below.get(real[declared.item.path], ())
    paths = [real.get(path, path) for path in spec.apart]
    paths += sorted(path for path, part in found if part != own)
    apart = tuple(dict.fromkeys(paths))
    return declared if apart == spec.apart else replace(declared, spec=replace(spec, apart=apart))
