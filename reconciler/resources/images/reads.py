"""The images below a directory, read: as a plan sees them, and one by one.

What is asked of machines is answered in machine_states.py, and what asks libvirt is loaded where a
machine is there to ask of.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.facts.host import Mounts, TreeOf, Uses
from reconciler.facts.images import Machines, NotStarted
from reconciler.facts.tree import MOST, NameList
from reconciler.linux import inode, lease, saved_machines
from reconciler.resources.images import scan
from reconciler.resources.images.places import (
    NOCOW,
    Image,
    Images,
    MachineImages,
    OneImage,
    SavedMachine,
    Strays,
)

if TYPE_CHECKING:
    from reconciler.engine.place import Reads
    from reconciler.facts.host_view import Fact, HostView
    from reconciler.facts.tree import Tree


def _mounted(host: HostView) -> frozenset[str]:
    return frozenset(mount.target for mount in host(Mounts()))


def _tree(query: TreeOf, host: HostView) -> Tree:
    """As close as is asked for: where everything is nocow there is nothing to look closer at."""
    uses = lambda: host(Uses())  # noqa: E731
    if query.only:
        return scan.scan(query.path, _mounted(host), query.apart, uses, only=query.only)
    if not query.close:
        known = host.known(TreeOf(query.path, query.apart, close=True))
        return known or scan.scan_outline(query.path, _mounted(host), query.apart)
    found = host(TreeOf(query.path, query.apart))
    if not found.cow.count and not found.plain.count:
        return found
    # What was held for as long as a look waits is not waited for once more.
    patient = not found.busy
    return scan.scan(query.path, _mounted(host), query.apart, uses, patient=patient)


def images_left(place: Images, host: HostView) -> NameList:
    """From the walk that a plan makes anyway."""
    tree = host(place.tree)
    lot = tree.cow if place.aim == NOCOW else tree.compressed
    spared = set(place.spared)
    names = tuple(name for name in lot.first if name not in spared)
    # Where all are named the walk has the answer: a file that goes afterwards is no change.
    count = len(names) if len(lot.first) == lot.count else lot.count - _still(place, spared)
    return NameList(count, names[:MOST])


def _still(place: Images, names: set[str]) -> int:
    """How many of the spared count among those that are not as wanted."""
    found = 0
    with inode.directory(place.path) as top:
        for name in names:
            with suppress(OSError), lease.opened(name, top) as fd:
                found += scan.differs(fd, os.fstat(fd), place.aim)
    return found


def _of_machines(query: Fact[Any], host: HostView) -> Any:
    from reconciler.resources.images import machine_states  # noqa: PLC0415 - few have machines on

    return machine_states.READS[type(query)](query, host)


READS: Reads = {
    MachineImages: _of_machines,
    Machines: _of_machines,
    NotStarted: lambda q, host: _of_machines(q, host) if saved_machines.is_any() else (),
    SavedMachine: _of_machines,
    Image: lambda q, _: scan.image_state(q),
    Images: images_left,
    OneImage: images_left,
    Strays: lambda q, host: host(TreeOf(q.path, q.apart)).stale_copies,
    TreeOf: _tree,
}
