"""The directory that a subvolume took the place of: what changed in it since, and its end."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import TYPE_CHECKING

from reconciler.host.kernel import holders, lease
from reconciler.host.refused import Refused
from reconciler.host.subvolumes import subtree

if TYPE_CHECKING:
    from reconciler.host.subvolumes.subtree import Entry, Survey

_NO_FOLLOW = 0x100  # AT_SYMLINK_NOFOLLOW
_BTIME = 0x800  # STATX_BTIME
_STATX_SIZE, _BTIME_AT = 256, 80
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC


def unchanged_since(found: Survey, target: int, made: int, shown: str) -> None:
    """Refused where anything was added or changed at or after ``made`` (nanoseconds).

    For a run that was killed between exchange and comparison: what was written
    then is here, and not in ``target``. A directory changes when something is
    taken out of it, which loses nothing: only one that ``target`` lacks is new.
    """
    for path, entry in found.every():
        there = entry.format == stat.S_IFDIR and _is_directory(target, path)
        if entry.changed >= made and not there:
            raise Refused(
                f"{shown}/{path} was changed after its directory was copied: only the old one "
                "has it so",
                "move what you want to keep out of it by hand, then run this again",
            )
    if who := subtree.users(found):
        raise Refused(f"{', '.join(who)} still uses {shown}", "end it, then run this again")


def _is_directory(top: int, path: str) -> bool:
    try:
        with subtree.beneath(path, top):
            return True
    except OSError:
        return False


def remove(top: int, found: Survey, held: dict[int, int], made: int, shown: str) -> None:
    """Everything that was found, but nothing that was made later; Refused names what stays.

    ``held`` are leases by inode number, released with the last name of each file.
    A file without one gets one first. ``made`` is when the subvolume was, in
    nanoseconds. The top itself is left to the caller.
    """
    for folder in reversed(found.folders):
        with subtree.beneath(folder, top) as fd:
            if os.fstat(fd).st_ino != found.numbers[folder]:
                raise Refused(f"{shown}/{folder} was replaced while it was being removed")
            for name, entry in found.folders[folder].items():
                path = f"{shown}/{subtree.joined(folder, name)}"
                if entry.format == stat.S_IFDIR:
                    _rmdir(fd, name, path)
                    continue
                if entry.format == stat.S_IFREG:
                    _alone(fd, name, entry.number, held, path)
                if not _is_it(os.lstat(name, dir_fd=fd), entry) or _born(fd, name) >= made:
                    raise _stays(path)
                _unlink(fd, name, held)
    if names := os.listdir(top):
        raise _stays(f"{shown}/{min(names)}")


def _stays(shown: str) -> Refused:
    return Refused(
        f"{shown} was put there or changed after its directory was copied, and stays",
        "move it to where it belongs, then run this again",
    )


def _rmdir(within: int, name: str, shown: str) -> None:
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise _stays(shown) from None


def _is_it(status: os.stat_result, entry: Entry) -> bool:
    """The same inode, unchanged; each name removed changes the others of a file with several."""
    same = status.st_ino == entry.number
    return same and (entry.links > 1 or status.st_ctime_ns == entry.changed)


def _alone(within: int, name: str, number: int, held: dict[int, int], shown: str) -> None:
    """Hold the lease, and ask it once more: whoever opened the file gets to keep it."""
    if number not in held:
        held[number] = os.open(name, _OLD, dir_fd=within)
    if not lease.take(held[number]):
        status = os.fstat(held[number])
        who = ", ".join(holders.holders(status)) or "a program that cannot be named"
        raise Refused(f"{shown} was opened by {who}", "end it, then run this again")


def _unlink(within: int, name: str, held: dict[int, int]) -> None:
    status = os.lstat(name, dir_fd=within)
    os.unlink(name, dir_fd=within)
    if status.st_nlink == 1 and status.st_ino in held:
        os.close(held.pop(status.st_ino))


def _born(within: int, name: str) -> int:
    """When its inode was made, in nanoseconds: no program can change that (statx(2))."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statx(within, os.fsencode(name), _NO_FOLLOW, _BTIME, buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return int(seconds * 1_000_000_000 + nanoseconds)
