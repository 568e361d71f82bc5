"""A path as a subvolume of its own, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.subvolume import ContentsOf, Subvolume
from reconciler.facts.host import Mounts, Uses
from reconciler.linux import subvolumes
from reconciler.resources.subvolume import inventory

if TYPE_CHECKING:
    from reconciler.engine.place import Reads
    from reconciler.engine.subvolume import Contents
    from reconciler.facts.host_view import HostView


def _contents(query: ContentsOf, host: HostView) -> Contents:
    mounts = host(Mounts())
    return inventory.contents(query.path, mounts, host(Uses()))


READS: Reads = {
    ContentsOf: _contents,
    Subvolume: lambda q, _: subvolumes.look(q.path),
}
