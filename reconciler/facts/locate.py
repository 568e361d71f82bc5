"""The ground a declared path stands on: where it leads, and whether it may be acted on there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import stub
from reconciler.facts.diagnostics import NotApplicable, Note, Refusal
from reconciler.facts.host import FilesystemOf, FstabLines, Locate, Mounts, StubOf
from reconciler.formats import mountinfo, overlay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line


def ground(
    path: str, host: HostView, moot: str, overlay: str = ""
) -> tuple[Location, Filesystem] | Refusal | NotApplicable:
    """Where a path is and the Btrfs it is on; or why nothing is to be done there.

    ``moot`` ends the sentence that says so of another filesystem, ``overlay`` the one of an overlay
    whose upper layer is on Btrfs.
    """
    where = host(Locate(path))
    if text := _astray(where):
        return Refusal(text, "declare the directory by its real path", "V109")
    if text := unmounted(where.path, host):
        return Refusal(text, "mount it first", "V108")
    if where.stub:
        return stub.refusal(where.stub, host.maybe(StubOf(where.stub)))
    filesystem = host(FilesystemOf(where.path))
    if filesystem.type == "btrfs":
        return where, filesystem
    if overlay and filesystem.type == "overlayfs" and (upper := _upper(where.path, host)):
        return NotApplicable(f"on an overlay whose upper layer, {upper}, is on Btrfs{overlay}")
    return NotApplicable(f"on {filesystem.type}{moot}")


def _upper(path: str, host: HostView) -> str:
    """The upper layer of the overlay that a path is on, where that is seen to be on Btrfs."""
    mounts = host(Mounts())
    mount = mountinfo.containing(mounts, path)
    for name in overlay.upper(mount.super_options) if mount else ():
        where = host.maybe(Locate(name)) if name.startswith("/") else None
        filesystem = host.maybe(FilesystemOf(name)) if where and where.kind == "directory" else None
        if filesystem and filesystem.type == "btrfs":
            return name
    return ""


_NAMED = 3


def stubs_below(path: str, names: Sequence[str], host: HostView) -> Iterator[Note]:
    """Say of empty stubs below a declared path where their subvolumes are, of the first three."""
    for number, name in enumerate(names[:_NAMED], 1):
        place = f"{path}/{name}"
        told = stub.refusal(place, host.maybe(StubOf(place)))
        more = len(names) - number if number == _NAMED else 0
        last = f"; {more:,} more such stubs below" if more else ""
        yield Note(f"{told.text}; {told.hint}{last}", told.code)


def _astray(where: Location) -> str:
    """Why the links on the way are not followed; "" where they may be."""
    if not where.foreign_link:
        return ""
    return f"the link {where.foreign_link} leads elsewhere than its owner may decide: {where.path}"


def unmounted(path: str, host: HostView) -> str:
    """Which mount point of /etc/fstab above a resolved path has no mount now; "" where none.

    An automount that waits counts as mounted: whoever opens a path below it
    gets the filesystem (autofs(5)).
    """
    above = [line for line in host(FstabLines()) if _is_above(line, path)]
    if not above:
        return ""
    inner = max(above, key=lambda line: len(line.target))
    mounts = host(Mounts())
    mount = mountinfo.containing(mounts, path)
    # Both are at or above the path, so the longer one is the inner one.
    if mount and len(mount.target) >= len(inner.target):
        return ""
    return (
        f"{inner.target} is not mounted (/etc/fstab:{inner.number}); "
        "what is made there now would be hidden under it"
    )


def _is_above(line: Line, path: str) -> bool:
    target = line.target  # "none" or "swap" where there is no mount point
    return target.startswith("/") and target != "/" and f"{path}/".startswith(f"{target}/")
