"""The empty stub that a snapshot shows in place of a subvolume inside (inode 2).

A rollback puts a snapshot in the place of a subvolume. What was a subvolume inside stays in the
old one; in the new one is a stub, in which nothing can be made (BTRFS_EMPTY_SUBVOL_DIR_OBJECTID).
"""

from __future__ import annotations

from shlex import quote

from reconciler.facts.diagnostics import Refusal, denied
from reconciler.formats.paths import parent
from reconciler.value import Value

KIND = "an empty stub"
"""What Location.kind says of it."""


class Stub(Value):
    """The subvolume that a stub stands for: its id, and its path in the filesystem.

    ``path`` begins at the top level, without a slash; "" where the subvolume was deleted.
    """

    identifier: int
    path: str = ""


UNKNOWN = 0
"""The id where no entry of the directory names a subvolume."""


def refusal(path: str, found: Stub | None, *, as_root: bool) -> Refusal:
    """Say what a stub is and where its subvolume is; ``found`` is None where that is not shown."""
    is_stub = f"{path} is {KIND}:"
    if found is None:
        left = f"{is_stub} a snapshot or a rollback left it where a subvolume was"
        what = "see where the subvolume is now"
        ask = f"run the same command with sudo: root can {what}"
        if as_root:
            ask = f"{denied(what, as_root=True)}: run the same command where root is allowed to"
        return Refusal(left, ask, "V114")
    if found.identifier == UNKNOWN:
        there = f"`btrfs subvolume list {quote(parent(path))}` lists those that there are"
        return Refusal(f"{is_stub} which subvolume it stands for is not known", there, "V114")
    if not found.path:
        was = f"{is_stub} the subvolume that was here (id {found.identifier}) is deleted"
        return Refusal(was, f"remove the stub (rmdir {quote(path)}), then apply again", "V114")
    escaped = found.path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    return Refusal(
        f"{is_stub} the subvolume that was here is now at {found.path} (subvolume id "
        f"{found.identifier})",
        f"mount it here with a line in /etc/fstab (subvol=/{escaped}), or remove the stub (rmdir) "
        "and move the subvolume here (mount subvolid=5 elsewhere, then mv)",
        "V114",
    )
