"""The images below a directory: read and put, and the tree that they lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.facts.host import Mounts, TreeOf, Uses
from reconciler.resources.images import scan, stale_copies
from reconciler.resources.images.places import Image, Images, OneImage, Strays

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


READS: Reads = {
    Image: _image,
    Images: _images,
    OneImage: _images,
    Strays: lambda q, host: host(TreeOf(q.path, q.apart)).strays,
    TreeOf: _tree,
}

WRITES: Writes = {
    Image: _rewrite,
    Images: _rewrite,
    OneImage: _rewrite,
    Strays: lambda place, have, want, _: stale_copies.put(place.path, have, want),
}
