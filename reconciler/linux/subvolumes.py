"""Subvolumes: whether a path is one, making and destroying them (linux/btrfs.h)."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib
from contextlib import suppress

from reconciler.errors import HostError
from reconciler.facts.host import DIRECTORY, MISSING, SUBVOLUME, UNFINISHED
from reconciler.linux import btrfs, inode, syscalls

_PREFIX = ".vmtune-subvolume-"

TURNING, DONE = "trusted.vmtune.turning", "trusted.vmtune.done"
"""On a subvolume that is to replace the directory with this inode number; on one replaced."""

_BACK = " back"

GOING = "trusted.vmtune.going"
"""On a file of one replaced that lost some of its names: in which turn, and its data's state."""


def look(path: str) -> str:
    """MISSING, DIRECTORY, UNFINISHED or SUBVOLUME. Btrfs only."""
    parent, name = os.path.split(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return MISSING
    if status.st_ino != btrfs.FIRST_INODE:
        return DIRECTORY
    with suppress(PermissionError), inode.directory(parent) as within:
        if old(within, name):
            return UNFINISHED
    return SUBVOLUME


def sibling(name: str, number: int) -> str:
    """The name beside a path under which what becomes of it is prepared, and what it was ends.

    ``number`` is the inode of the directory: Btrfs gives none a second time.
    """
    return f"{_PREFIX}{number}-{zlib.crc32(os.fsencode(name)):08x}"


def old(within: int, name: str) -> str:
    """The name of the directory that a path was, where it still lies beside it; else ""."""
    for found in os.listdir(within):
        if found.startswith(_PREFIX):
            with suppress(FileNotFoundError):
                status = os.lstat(found, dir_fd=within)
                if stat.S_ISDIR(status.st_mode) and found == sibling(name, status.st_ino):
                    return found
    return ""


def left(within: int, name: str, number: int) -> str:
    """The name of a subvolume that was to replace a directory and may hold more by now; else "".

    Backed out, whoever had a file of it open by then may have written to it: no run may remove
    it. For root, who alone sees the marks.
    """
    found = sibling(name, number)
    try:
        with inode.opened(found, within, os.O_DIRECTORY) as fd:
            mine = os.fstat(fd).st_ino == btrfs.FIRST_INODE and not is_turning(fd, number)
            return found if mine and os.listdir(fd) else ""
    except (FileNotFoundError, NotADirectoryError):
        return ""


def create(within: int, name: str, mode: int) -> None:
    """A new subvolume, its permission bits from the start: the kernel takes the umask off 0777.

    It inherits neither nocow nor the set-group-ID bit.
    """
    encoded = os.fsencode(name)
    before = os.umask(~mode & 0o777)
    try:
        _call(within, 24, 0, encoded)  # BTRFS_IOC_SUBVOL_CREATE_V2
    finally:
        os.umask(before)


def destroy(within: int, identifier: int) -> None:
    """A subvolume on the same filesystem, with all that is in it; for root. No name is followed."""
    # BTRFS_IOC_SNAP_DESTROY_V2 (Linux 5.7), BTRFS_SUBVOL_SPEC_BY_ID
    _call(within, 63, 1 << 4, struct.pack("=Q", identifier))


def _call(fd: int, index: int, flags: int, union: bytes) -> None:
    """Give an ioctl its struct btrfs_ioctl_vol_args_v2, which ends with the union."""
    given = (struct.pack("=q2Q32x", 0, 0, flags) + union).ljust(4096, b"\0")
    syscalls.call(fd, syscalls.number(syscalls.WRITE, 0x94, index, 4096), bytearray(given))


def is_new(fd: int, path: str) -> None:
    """The name may have been swapped since: nothing but what was just made is touched."""
    status = os.fstat(fd)
    if status.st_ino != btrfs.FIRST_INODE or status.st_uid != os.geteuid() or os.listdir(fd):
        raise HostError(f"{path} changed while it was being made")


def mark(fd: int, name: str) -> str:
    """TURNING or DONE, as root alone can set and see them; "" where there is none."""
    try:
        return os.getxattr(fd, name).decode("ascii", "replace")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return ""


def is_turning(fd: int, number: int, *, back: bool = False) -> bool:
    """Whether it is to replace the directory with that number; ``back``: or was, until now."""
    found = mark(fd, TURNING)
    return found == str(number) or (back and found == f"{number}{_BACK}")


def turn_back(fd: int, number: int) -> None:
    """From now on nothing but a person's word, or whoever holds it still, removes it."""
    os.setxattr(fd, TURNING, f"{number}{_BACK}".encode())
    os.fsync(fd)
