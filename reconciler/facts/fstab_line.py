"""Whether a line of /etc/fstab may be changed, and describes the mount that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Refusal
from reconciler.facts.host import ShadowingUnit, SourceUuid
from reconciler.formats import fstab, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


def not_btrfs(mount: Mount | None, lines: Sequence[Line]) -> str:
    """The live type is the truth; fstab's third field may say "auto"."""
    if mount:
        return "" if mount.fstype == "btrfs" else f"{mount.fstype}, not Btrfs"
    types = {line.fstype for line in lines} - {"btrfs", "auto", "none"}
    return f"{', '.join(sorted(types))}, not Btrfs" if types else ""


def not_editable(target: str, place: str, lines: Sequence[Line], see: HostView) -> Refusal | None:
    """The one line for a mount point, whose links lead to ``place``, must count, and be read."""
    if shadow := see(ShadowingUnit(place)):
        drop_in = shadow.endswith(".conf")
        return Refusal(
            f"{shadow} sets Options=: systemd never uses those in /etc/fstab"
            if drop_in
            else f"{shadow} hides the line in /etc/fstab: systemd never reads it",
            f"set Options= in {shadow}, or remove that file",
            "V204",
        )
    if not lines:
        return Refusal(
            f"/etc/fstab has no line for {target}",
            "vmtune changes lines but does not invent them: name a mount point that has one",
            "V201",
        )
    if len(lines) > 1:
        numbers = " and ".join(str(line.number) for line in lines)
        return Refusal(
            f"/etc/fstab names {target} in lines {numbers}: systemd keeps the first, mount "
            "takes both",
            "leave one of them",
            "V202",
        )
    if lines[0].problem:
        return Refusal(f"/etc/fstab:{lines[0].number}: {lines[0].problem}", code="V203")
    return _shown_again(lines[0])


def _shown_again(line: Line) -> Refusal | None:
    if not binds(line):
        return None
    return Refusal(
        f"/etc/fstab:{line.number} shows {line.source} a second time",
        "declare the mount point of the filesystem's own line",
        "V209",
    )


def not_of_the_line(line: Line, mount: Mount | None, uuid: str, see: HostView) -> Refusal | None:
    """The mount, of the filesystem ``uuid``, must be what the line would mount.

    A difference that cannot be seen from here is none: a source whose UUID is
    not known, a line without subvol=.
    """
    if mount is None or (differs := _differs(line, mount, uuid, see)) is None:
        return None
    is_, says = differs
    return Refusal(
        f"{is_} is mounted at {mount.target}, but /etc/fstab:{line.number} says {says}",
        "mount what the line says, or mend the line",
        "V208",
    )


def binds(line: Line) -> bool:
    """It shows a directory a second time: type "none", bind or rbind (mount(8))."""
    return line.fstype == "none" or not {"bind", "rbind"}.isdisjoint(options.split(line.options))


def _differs(line: Line, mount: Mount, uuid: str, see: HostView) -> tuple[str, str] | None:
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
