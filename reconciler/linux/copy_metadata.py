"""Making a new file like the one it takes the place of: owner, mode, attributes, times."""

from __future__ import annotations

import errno
import os
import stat
from operator import attrgetter

from reconciler.errors import HostError
from reconciler.linux import inode, subvolumes

KEPT = inode.COMPRESS | inode.NOCOMPRESS | inode.NOCOW
"""Flags that say how data is kept, which the new file has of its own; all others go over."""

_ITS_OWN = {inode.PROPERTY, "security.selinux", subvolumes.TURNING}
"""Extended attributes that the new one has whatever the old one has."""

_SHOWN = attrgetter("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns")

_LEFT_OUT = {inode.PROPERTY, subvolumes.GOING}
"""Extended attributes of the old one that the new one does not get."""


def give(fd: int, source: int, was: os.stat_result) -> None:
    """All but data, compression and nocow from ``source``, as it was; HostError where it cannot.

    ``was`` is from before anything was read: the time of access too is kept.
    """
    os.fchown(fd, was.st_uid, was.st_gid)
    _attributes(fd, source)
    os.fchmod(fd, stat.S_IMODE(was.st_mode))  # behind chown, which takes bits away
    now = inode.flags(fd)
    wanted = inode.flags(source) & ~KEPT | now & KEPT
    if wanted != now and not inode.set_flags(fd, wanted):
        raise HostError("its attributes (lsattr) cannot be given to another file")
    os.utime(fd, ns=(was.st_atime_ns, was.st_mtime_ns))
    if not alike(os.fstat(fd), was):
        raise HostError("its owner, mode or time cannot be given to another file")


def alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Same size, owner, mode and time of change to the data."""
    return bool(_SHOWN(one) == _SHOWN(other))


def same_attributes(fd: int, source: int) -> bool:
    """Tell whether ``fd`` still has the attributes that ``give`` gave it from ``source``."""
    if (inode.flags(fd) ^ inode.flags(source)) & ~KEPT:
        return False
    return _extended(fd) == _extended(source)


def _extended(fd: int) -> dict[str, bytes]:
    return {name: os.getxattr(fd, name) for name in {*os.listxattr(fd)} - _ITS_OWN - _LEFT_OUT}


def _attributes(fd: int, source: int) -> None:
    """Extended ones: ACLs and the SELinux label among them, but not the compression property.

    What the new file inherited and the old one lacks goes: a default ACL of the directory may not
    open what was closed.
    """
    names = set(os.listxattr(source)) - _LEFT_OUT
    for name in set(os.listxattr(fd)) - names - _ITS_OWN:
        os.removexattr(fd, name)
    for name in sorted(names):
        try:
            inode.hand_on(source, fd, name)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
                raise
            why = f"its attribute {name} cannot be given to another file: {error.strerror}"
            raise HostError(why) from error
