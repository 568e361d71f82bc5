"""A path as a subvolume of its own: read and put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.subvolume import ContentsOf, Subvolume
from reconciler.facts.host import Mounts, Uses
from reconciler.linux import subvolumes

if TYPE_CHECKING:
    from reconciler.engine.place import Reads, Writes
    from reconciler.engine.reporter import Reporter
    from reconciler.engine.subvolume import Contents
    from reconciler.facts.host_view import HostView


def _contents(query: ContentsOf, host: HostView) -> Contents:
    from reconciler.resources.subvolume import inventory  # noqa: PLC0415 - few are looked through

    return inventory.contents(query.path, host(Mounts()), host(Uses()))


def _convert(place: Subvolume, have: str, want: str, reporter: Reporter) -> None:
    from reconciler.resources.subvolume import convert as subvolume_convert  # noqa: PLC0415 - few are converted

    subvolume_convert.put(place, have, want, reporter)


READS: Reads = {ContentsOf: _contents, Subvolume: lambda q, _: subvolumes.look(q.path)}

WRITES: Writes = {Subvolume: _convert}
