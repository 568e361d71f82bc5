"""Inode attributes (ioctl_iflags(2), chattr(1)), clones, opening without following links.

The ioctls are those of linux/fs.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.linux import syscalls
from reconciler.linux.syscalls import checked, closing, libc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


COMPRESS = 0x00000004  # FS_COMPR_FL, chattr +c

IMMUTABLE = 0x00000010  # FS_IMMUTABLE_FL

APPEND = 0x00000020  # FS_APPEND_FL, chattr +a

NOCOMPRESS = 0x00000400  # FS_NOCOMP_FL, chattr +m

VERITY = 0x00100000  # FS_VERITY_FL

NOCOW = 0x00800000  # FS_NOCOW_FL, chattr +C

PROPERTY = "btrfs.compression"

_LONG = struct.calcsize("l")

_GETFLAGS = syscalls.number(syscalls.READ, ord("f"), 1, _LONG)

_SETFLAGS = syscalls.number(syscalls.WRITE, ord("f"), 2, _LONG)

_CLONE = syscalls.number(syscalls.WRITE, 0x94, 9, 4)

_OPENAT2, _AT_FDCWD = 437, -100

NO_MAGIC_LINKS, IN_ROOT = 0x02, 0x10  # RESOLVE_NO_MAGICLINKS, _IN_ROOT (linux/openat2.h)

_NO_LINKS = NO_MAGIC_LINKS | 0x04  # RESOLVE_NO_SYMLINKS

_READ_ANY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: a FIFO put in the place of a file must not hang root."""


def is_read_only(path: str) -> bool:
    """Tell whether a path is on a mount that is read-only, and not for this process alone.

    What runs in a sandbox (systemd.exec(5), ProtectSystem=) sees each mount read-only. Whoever
    applies does so outside: there the mount is as the first process has it. Where that one's
    mounts may not be seen, those of this process count. statvfs(3): ST_RDONLY.
    """
    if not os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    outside = f"/proc/1/root{os.path.realpath(path)}"
    with suppress(OSError):
        is_same = os.path.samestat(os.stat(path), os.stat(outside))
        return not is_same or bool(os.statvfs(outside).f_flag & os.ST_RDONLY)
    return True


def flags(fd: int) -> int:
    """FS_IOC_GETFLAGS: current, unlike a tree search, which sees inodes as last committed."""
    # The kernel writes an int into what the header calls a long.
    found: int = struct.unpack_from("=i", syscalls.call(fd, _GETFLAGS, bytearray(_LONG)))[0]
    return found


def set_flags(fd: int, value: int) -> bool:
    """FS_IOC_SETFLAGS; True when reading back shows that the kernel took it.

    On a file with data the call succeeds and changes nothing. VERITY is shown and never set so:
    with it Btrfs refuses all (EOPNOTSUPP).
    """
    given = struct.pack("=i", value & ~VERITY)
    syscalls.call(fd, _SETFLAGS, bytearray(given.ljust(_LONG, b"\0")))
    return flags(fd) == value


def clone(source: int, target: int) -> None:
    """Have a file share all data of another one of its filesystem (FICLONE, ioctl_ficlone(2)).

    OSError; EINVAL where one of them has checksums and the other none.
    """
    fcntl.ioctl(target, _CLONE, source)


def compression(fd: int, value: int) -> str:
    """The per-inode compression setting: property first, then the c and m attributes."""
    if not value & (COMPRESS | NOCOMPRESS):
        return ""  # the kernel sets one of them with the property: no need to ask for that
    try:
        found = os.getxattr(fd, PROPERTY).decode("ascii", "replace")
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP}:
            raise
        found = ""
    return found or ("c" if value & COMPRESS else "m")


def set_compression(fd: int, wanted: str) -> None:
    """Have a setting as ``compression`` names it; the kernel knows which words it takes (EINVAL).

    Not beside nocow (EINVAL).
    """
    if compression(fd, flags(fd)) == wanted:
        return
    if wanted in {"", "c", "m"}:
        clear_compression(fd)
        if wanted:
            set_flags(fd, flags(fd) | (COMPRESS if wanted == "c" else NOCOMPRESS))
    else:
        os.setxattr(fd, PROPERTY, wanted.encode("ascii"))


def clear_compression(fd: int) -> None:
    """Take away property, c and m: the kernel refuses each of them next to nocow (EINVAL)."""
    value = flags(fd)
    if compression(fd, value) not in {"", "c", "m"}:
        # Only where there is one: an immutable inode refuses even to remove nothing (EPERM).
        os.removexattr(fd, PROPERTY)
        value = flags(fd)
    if value & (COMPRESS | NOCOMPRESS):
        set_flags(fd, value & ~(COMPRESS | NOCOMPRESS))


def set_nocow(fd: int, *, on: bool) -> bool:
    """Have nocow, and then no compression, or have none; True as of ``set_flags``."""
    if on:
        clear_compression(fd)
    value = flags(fd)
    wanted = value | NOCOW if on else value & ~NOCOW
    return wanted == value or set_flags(fd, wanted)


def hand_on(
    source: int | str, target: int | str, name: str, *, follow_symlinks: bool = True
) -> None:
    """Give an extended attribute of one inode to another, unless that has the same one already.

    SELinux may forbid a process to give a label, also the one that is there.
    """
    value = os.getxattr(source, name, follow_symlinks=follow_symlinks)
    try:
        if os.getxattr(target, name, follow_symlinks=follow_symlinks) == value:
            return
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    os.setxattr(target, name, value, follow_symlinks=follow_symlinks)


def open_to_read(name: str, within: int | None = None, extra: int = 0) -> int:
    """Open a name for reading; a symbolic link is ELOOP (ENOTDIR with O_DIRECTORY)."""
    return os.open(name, _READ_ANY | extra, dir_fd=within)


def opened(name: str, within: int | None = None, extra: int = 0) -> AbstractContextManager[int]:
    """Hold a descriptor as of ``open_to_read``."""
    return closing(open_to_read(name, within, extra))


def beneath(path: str, within: int, extra: int = 0) -> AbstractContextManager[int]:
    """A descriptor for reading; a symbolic link anywhere in ``path`` is ELOOP (openat2(2)).

    Names may be swapped by whoever owns a parent while root walks; descriptors cannot.
    """
    return closing(openat2(path, within, _READ_ANY | extra))


_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def status_beneath(path: str, within: int) -> os.stat_result:
    """The same for who only asks what is there: nothing is opened, and no lease broken."""
    with closing(openat2(path, within, _LOOK)) as fd:
        return os.fstat(fd)


def link_beneath(path: str, within: int) -> str:
    """Where a symbolic link leads, itself reached through no other; OSError where it is none."""
    with closing(openat2(path, within, _LOOK)) as fd:
        return os.readlink("", dir_fd=fd)


def openat2(path: str, within: int, flags: int, resolve: int = _NO_LINKS) -> int:
    """Open a path, resolved as the RESOLVE_* flags of the call say; OSError."""
    how = struct.pack("=3Q", flags, 0, resolve)
    fd = int(libc().syscall(_OPENAT2, within, os.fsencode(path), how, len(how)))
    return checked(fd, path)


def directory(path: str) -> AbstractContextManager[int]:
    """A directory by its absolute, resolved path, following no link at any step."""
    return beneath(path, _AT_FDCWD, os.O_DIRECTORY)


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Work below a user's directory with that user's rights: a race then gains them nothing."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    groups = os.getgroups()
    syscalls.set_thread_ids(uid, gid, [gid])
    try:
        yield
    finally:
        syscalls.restore_thread_ids(groups)
