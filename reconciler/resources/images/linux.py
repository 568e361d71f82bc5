"""The images below a directory: read and put, and the tree that they lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.facts.host import Mounts, TreeOf, Uses
from reconciler.facts.machines import Machines, NotStarted
from reconciler.linux import saved_machines
from reconciler.resources.images import scan, stale_copies
from reconciler.resources.images.places import (
    Image,
    Images,
    MachineImages,
    OneImage,
    SavedMachine,
    Strays,
)

if TYPE_CHECKING:
    from reconciler.engine.place import Reads, Writes
    from reconciler.engine.reporter import Reporter
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import NameList, Tree


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


def _images(query: Images, host: HostView) -> NameList:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - it loads what makes threads

    return worklist.images_left(query, host)


def _image(query: Image, _host: HostView) -> str:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - the same

    return worklist.state(query)


def _rewrite(place: Images | Image, have: Any, want: Any, reporter: Reporter) -> None:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - the same

    worklist.put(place, have, want, reporter)


def _machines(_query: Machines, _host: HostView) -> Any:
    from reconciler.linux import libvirt  # noqa: PLC0415 - most hosts have no machine that is on

    return libvirt.machines()


def _machine_images(query: MachineImages, _host: HostView) -> str:
    from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

    return suspend.state(query)


def _not_started(_query: NotStarted, _host: HostView) -> Any:
    if not saved_machines.is_any():
        return ()
    from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

    return suspend.not_started()


def _saved(query: SavedMachine, _host: HostView) -> str:
    from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

    return suspend.saved(query)


def _suspend(place: MachineImages, _have: Any, _want: Any, reporter: Reporter) -> None:
    from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

    suspend.put(place, reporter)


def _start(place: SavedMachine, _have: Any, _want: Any, reporter: Reporter) -> None:
    from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

    suspend.start(place, reporter)


def sweep() -> None:
    """Take off the record what a run that was killed left on it, and is over."""
    if saved_machines.is_any():
        from reconciler.resources.images import suspend  # noqa: PLC0415 - the same

        suspend.sweep()


def folders() -> set[str]:
    """Return the folders in which a kill may leave half a file."""
    return {saved_machines.FOLDER}


READS: Reads = {
    MachineImages: _machine_images,
    Machines: _machines,
    NotStarted: _not_started,
    SavedMachine: _saved,
    Image: _image,
    Images: _images,
    OneImage: _images,
    Strays: lambda q, host: host(TreeOf(q.path, q.apart)).stale_copies,
    TreeOf: _tree,
}

WRITES: Writes = {
    MachineImages: _suspend,
    SavedMachine: _start,
    Image: _rewrite,
    Images: _rewrite,
    OneImage: _rewrite,
    Strays: lambda place, have, want, _: stale_copies.put(place.path, have, want),
}
