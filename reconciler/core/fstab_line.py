"""Whether a line of /etc/fstab and a mount are about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.facts import SourceUuid
from reconciler.formats import fstab, options

if TYPE_CHECKING:
    from reconciler.core.snapshot import Snapshot
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


def binds(line: Line) -> bool:
    """It shows a directory a second time: type "none", bind or rbind (mount(8))."""
    return line.fstype == "none" or not {"bind", "rbind"}.isdisjoint(options.split(line.options))


def differs(line: Line, mount: Mount, uuid: str, see: Snapshot) -> tuple[str, str] | None:
    """What is mounted, and what the line says; None where they agree."""
    named = see(SourceUuid(line.source))
    if named and named.lower() != uuid.lower():
        known = line.source == f"UUID={named}"
        return f"Btrfs {uuid}", line.source if known else f"{line.source}, which is {named}"
    if {"btrfs", "auto"}.isdisjoint(line.fstype.split(",")):
        return "Btrfs", line.fstype
    subvolume = _subvolume(line.options)
    if subvolume not in {None, mount.root}:
        return mount.root, f"subvol={subvolume}"
    return None


def _subvolume(line_options: str) -> str | None:
    """What subvol= names, from the top of the filesystem; None where that is not plain."""
    token = options.value(line_options, {"subvol"}) or ""
    path = fstab.unescape(token.partition("=")[2].encode("utf-8", "surrogateescape"))
    if path[:1] == path[-1:] == '"':
        path = path[1:-1]
    names = [name for name in path.split("/") if name not in {"", "."}]
    # What is left of quotes and backslashes, versions of mount(8) read differently.
    if not path or ".." in names or '"' in path or "\\" in path:
        return None
    return f"/{'/'.join(names)}"
