"""What a rewrite that was killed leaves beside an image, and which of it may go.

A copy gets a name only when it is whole, and gives the image's to it in one exchange: the
stale copy is either that copy, not yet in its place, or the old data, whose place is taken.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from reconciler.errors import HostError
from reconciler.facts.images import copy_name, copy_name_parts, is_stale_copy
from reconciler.facts.tree import FOREIGN
from reconciler.linux import inode, lease


def why_kept(within: int, name: str) -> str:
    """Why a stale copy stays, "" where it may go: the other copy is whole, and here under its name.

    Nothing was written to it since: who opened the image before the exchange, and
    wrote after the kill, wrote to what is now the stale copy.
    """
    numbers, status = copy_name_parts(name), os.lstat(name, dir_fd=within)
    if not numbers or not stat.S_ISREG(status.st_mode) or status.st_ino not in numbers[:2]:
        return FOREIGN
    old, new, _ = numbers
    if status.st_nlink != 1:
        return "it has another name too"
    if copy_name(old, new, status.st_mtime_ns) != name:
        return "it was written to since it was copied"
    other = new if status.st_ino == old else old
    if not _has_name(within, other):
        return "the image that it is a copy of is not beside it"
    return ""


def _has_name(within: int, number: int) -> bool:
    """Whether a regular file with that inode number is in a directory, under a name of its own."""
    # Opened anew: whoever walks the directory reads on where its descriptor stands.
    with inode.opened(".", within, os.O_DIRECTORY) as fd, os.scandir(fd) as entries:
        return any(
            entry.inode() == number
            and entry.is_file(follow_symlinks=False)
            and not is_stale_copy(entry.name)
            for entry in entries
        )


def put(path: str, have: tuple[str, ...], want: tuple[str, ...]) -> None:
    """Remove them by their names relative to ``path``; HostError names one that must stay."""
    with inode.directory(path) as top, lease.unharmed():
        for relative in sorted(set(have) - set(want)):
            folder, name = os.path.split(relative)
            # Gone is as good as removed.
            with (
                suppress(FileNotFoundError),
                inode.beneath(folder or ".", top, os.O_DIRECTORY) as within,
            ):
                _remove(within, name, f"{path.rstrip('/')}/{relative}")


def _remove(within: int, name: str, path: str) -> None:
    with inode.opened(name, within) as fd:
        if why := _why_kept_now(within, name, fd):
            raise HostError(
                f"{path}: {why}", "look at it, and remove it by hand if nobody needs it"
            )
        owner = os.fstat(within)
        with inode.acting_as(owner.st_uid, owner.st_gid):
            os.unlink(name, dir_fd=within)
        os.fsync(within)


def _why_kept_now(within: int, name: str, fd: int) -> str:
    """The same once nobody has it open: until then somebody may write to it, and close it."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return FOREIGN
    if not lease.take(fd):
        return "somebody has it open"
    if not os.path.samestat(os.lstat(name, dir_fd=within), status):
        return "it was exchanged for something else just now"
    why = why_kept(within, name)
    return why if why or lease.kept(fd) else "somebody opened it just now"
