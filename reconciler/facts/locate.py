"""The ground a declared path stands on: where it leads, and whether it may be acted on there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from reconciler.facts import stub
from reconciler.facts.diagnostics import DO, WHY, AsRoot, NotApplicable, Note, Refusal
from reconciler.facts.host import (
    EntriesOf,
    FilesystemOf,
    FstabLines,
    Locate,
    Mounts,
    StubOf,
    TreeOf,
)
from reconciler.formats import mountinfo
from reconciler.formats.paths import is_at_or_below
from reconciler.formats.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView


def ground(
    path: str, host: HostView, moot: str, overlay: str = ""
) -> tuple[Location, Filesystem] | Refusal | NotApplicable:
    """Where a path is and the Btrfs it is on; or why nothing is to be done there.

    ``moot`` ends the sentence that says so of another filesystem, ``overlay`` the one of an overlay
    whose upper layer is on Btrfs, or may be.
    """
    where = host(Locate(path))
    if link := where.foreign_link:
        text = f"the link {link} leads elsewhere than its owner may decide: {where.path}"
        return Refusal(text, "declare the directory by its real path", "V109")
    if text := unmounted(where.path, host):
        return Refusal(text, "mount it first", "V108")
    if where.stub:
        return stub_refusal(where.stub, host)
    filesystem = host(FilesystemOf(where.path))
    if filesystem.type == "btrfs":
        return where, filesystem
    if overlay and filesystem.type == "overlayfs" and (upper := _upper(where.path, host)):
        return NotApplicable(f"on an overlay whose upper layer, {upper}{overlay}")
    return NotApplicable(f"on {filesystem.type}{moot}")


def no_directory(where: Location) -> Refusal | None:
    """Refuse a path at which something else than a directory is."""
    if where.kind in {"directory", "missing"}:
        return None
    return Refusal(f"{where.path} is {where.kind}", "declare a directory")


def _upper(path: str, host: HostView) -> str:
    """The upper layer of the overlay that a path is on, where that is on Btrfs or may be.

    In a container its name is one of the host, and leads nowhere.
    """
    mount = mountinfo.containing(host(Mounts()), path)
    names = mountinfo.overlay_upper(mount.super_options) if mount else ()
    is_hidden = bool(names)
    for name in names:
        where = host.maybe(Locate(name)) if name.startswith("/") else None
        filesystem = host.maybe(FilesystemOf(name)) if where and where.kind == "directory" else None
        if filesystem and filesystem.type == "btrfs":
            return f"{name}, is on Btrfs"
        is_hidden = is_hidden and filesystem is None
    return f"{names[0]}, cannot be seen from here and may be on Btrfs" if is_hidden else ""


def stub_refusal(path: str, host: HostView) -> Refusal:
    """Say of an empty stub where its subvolume is, or why that is not shown."""
    return stub.refusal(path, host.maybe(StubOf(path)), as_root=host(AsRoot()))


_NAMED = 3


def stubs_below(path: str, names: Sequence[str], host: HostView) -> Iterator[Note]:
    """Say of empty stubs below a declared path where their subvolumes are, of the first three."""
    for number, name in enumerate(names[:_NAMED], 1):
        place = f"{path}/{name}"
        told = stub_refusal(place, host)
        more = len(names) - number if number == _NAMED else 0
        last = f"; {more:,} more such stubs below" if more else ""
        yield Note(f"{told.text}; {told.hint}{last}", told.code)


def made_new(name: str, path: str, where: Location, host: HostView) -> Iterator[Note]:
    """Say of a path that is not there that it is made, empty; and which one was perhaps meant.

    A path next to it that is spelt nearly like it, and holds files, is named by the user's own
    words: ``name`` is what the configuration has for ``path``.
    """
    if where.kind != "missing":
        return
    yield Note("there is no such directory: it will be made, empty", label=WHY)
    if found := [each for each in "*?[{" if where.missing and each in where.missing[-1]]:
        words = f"`{found[0]}` stands for itself: no pattern is expanded here"
        yield Note(f"{words}; declare each directory", label=DO)
    if where.path != path or not where.missing:
        return
    top = where.missing[0]
    around, _, wrong = top.rpartition("/")
    names = host.maybe(EntriesOf(around or "/"))
    for other in get_close_matches(wrong, names or (), n=3, cutoff=0.75):
        meant = f"{around}/{other}{path.removeprefix(top)}"
        there = host.maybe(Locate(meant))
        tree = host.maybe(TreeOf(meant)) if there and there.kind == "directory" else None
        if tree and tree.data_files:
            home = path.removesuffix(name[1:]) if name.startswith("~/") else ""
            shown = f"~{meant.removeprefix(home)}" if home else meant
            holds = counted(tree.data_files, "file")
            yield Note(f"did you mean {shown}? It holds {holds}", "V118", DO)
            return


def unmounted(path: str, host: HostView) -> str:
    """Which mount point of /etc/fstab above a resolved path has no mount now; "" where none.

    An automount that waits counts as mounted: whoever opens a path below it
    gets the filesystem (autofs(5)).
    """
    lines = (line for line in host(FstabLines()) if line.target != "/")
    above = [line for line in lines if is_at_or_below(path, line.target)]
    if not above:
        return ""
    inner = max(above, key=lambda line: len(line.target))
    mount = mountinfo.containing(host(Mounts()), path)
    # Both are at or above the path, so the longer one is the inner one.
    if mount and len(mount.target) >= len(inner.target):
        return ""
    return (
        f"{inner.target} is not mounted (/etc/fstab:{inner.number}); "
        "what is made there now would be hidden under it"
    )
