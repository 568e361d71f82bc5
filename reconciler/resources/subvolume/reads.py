"""A path as a subvolume of its own, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.directory import ContentsOf, Subvolume
from reconciler.facts.host import Mounts, Uses
from reconciler.linux import subvolumes
from reconciler.resources.subvolume import inventory

if TYPE_CHECKING:
    from reconciler.engine.place import Reads


READS: Reads = {
    ContentsOf: lambda q, host: inventory.contents(q.path, host(Mounts()), host(Uses())),
    Subvolume: lambda q, _: subvolumes.look(q.path),
}
