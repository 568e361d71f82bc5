"""Mount options as they were before vmtune set them: what the journal knows of one entry."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import Desired
from reconciler.engine.restore import WHY
from reconciler.formats import options
from reconciler.resources.mount.places import ENDED, FstabOptions, LiveOption
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.resource import Kept
    from reconciler.facts.diagnostics import Note
    from reconciler.facts.host_view import HostView


class Former(Value):
    """The options field of a line, and live options by their place, as the journal knows them.

    ``kept`` are the options of the line that other files declare: they stay as they are.
    ``others`` are the records of other lines, and the options of each that stay, by their targets.
    """

    lines: tuple[LastApplied, ...] = ()
    live: tuple[tuple[LiveOption, LastApplied], ...] = ()
    kept: frozenset[options.Option] = frozenset()
    others: Mapping[str, tuple[tuple[LastApplied, ...], frozenset[options.Option]]] = field(
        default_factory=dict
    )


def former(
    written: Mapping[Place[Any], tuple[LastApplied, ...]],
    target: str,
    declared: Collection[options.Option],
    kept: Kept,
) -> Former:
    """Return what was written for ``target``, but for the options that are still declared."""
    live = (
        (place, records[-1])
        for place, records in written.items()
        if isinstance(place, LiveOption)
        if place.name not in options.RESTORED and options.option(place.name) not in declared
    )
    mine = FstabOptions(target, 0)
    others = {
        place.target: (records, _kept(place, kept))
        for place, records in written.items()
        if isinstance(place, FstabOptions) and place != mine
    }
    return Former(written.get(mine, ()), tuple(live), _kept(mine, kept), others)


def _kept(line: FstabOptions, kept: Kept) -> frozenset[options.Option]:
    """Return the options of a line that other files decide."""
    return frozenset(map(options.option, kept(line)))


def live(
    of: Former, line_options: str, mounted: Collection[str], host: HostView
) -> Iterator[Desired[str] | Note]:
    """Yield the live options as they were, on the mount points of the entry's filesystem.

    ``line_options`` are those that its line will have.
    """
    for place, was in of.live:
        if place.target not in mounted or host(place) not in was.values:
            continue
        if note := place.lasting(was.original) or place.kept_off(was.original, host):
            yield note
        elif host(place) != was.original:
            # Weak: another entry may declare it for the same filesystem.
            yield Desired(place, was.original, WHY, weak=True)
            ended = place.ended(line_options, host)
            if ended and place.name == "compress" and not was.original:
                yield Desired(ended, ended.name, ENDED, weak=True)
