"""Which subvolume a mount shows, and whether the system was booted from a snapshot.

grub-btrfs, snapper's menu and Timeshift boot a snapshot in place of the system's own subvolume.
What is changed in the snapshot is not there after the next ordinary boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Note
from reconciler.facts.host import FstabLines, Mounts, SubvolumeAt
from reconciler.facts.mountable import SubvolumeNamed
from reconciler.formats import fstab, mountinfo

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView
    from reconciler.formats.mountinfo import Mount


def leads_to(name: str, mount: Mount, host: HostView) -> bool | None:
    """Whether a path from the top level leads to the mounted subvolume by a symbolic link.

    None where that is not shown.
    """
    found = host.maybe(SubvolumeNamed(mount.target, name))
    return None if found is None else bool(found.path and found.path == mountinfo.subvolume(mount))


def snapshot(mount: Mount, host: HostView) -> str:
    """Return the path of the mounted subvolume if it is a snapshot; "" if not, or unseen."""
    found = host.maybe(SubvolumeAt(mount.target))
    return mountinfo.subvolume(mount) if found and found.is_snapshot else ""


def in_place_of_the_system(host: HostView) -> tuple[str, str]:
    """Return the snapshot that / was booted from, and what an ordinary boot mounts; "" for neither.

    An ordinary boot mounts what the line of / names, or the default subvolume where the line names
    none. Only root can see which that is.
    """
    mount = mountinfo.at(host.maybe(Mounts()) or (), "/")
    if mount is None or mount.fstype != "btrfs":
        return "", ""
    lines = [line for line in host.maybe(FstabLines()) or () if line.target == "/"]
    if len(lines) != 1 or lines[0].problem:
        return "", ""
    here, wanted = mountinfo.subvolume(mount), fstab.subvolume_named(lines[0].options)
    if wanted == here or (wanted is None and "subvol" in lines[0].options):
        return "", ""
    found = host.maybe(SubvolumeAt("/"))
    if not (found and found.is_snapshot) or (wanted and leads_to(wanted, mount, host)):
        return "", ""
    if wanted:
        return here, f"{wanted} (/etc/fstab:{lines[0].number})"
    if found.default in {None, found.identifier}:
        return "", ""
    return here, f"/{found.default_path} (the default subvolume)"


def note(path: str, host: HostView) -> Note | None:
    """Return what is to be said of a change to a path that is in a booted snapshot."""
    here, ordinary = in_place_of_the_system(host)
    mount = mountinfo.containing(host.maybe(Mounts()) or (), path) if here else None
    if mount is None or mount.target != "/":
        return None
    return Note(
        f"/ is booted from the snapshot {here}; an ordinary boot mounts {ordinary}, and nothing "
        "that is changed now is there",
        "V230",
    )
