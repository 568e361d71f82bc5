"""Say why one image is not rewritten, and what to do about it: each reason has its own remedy."""

from __future__ import annotations

import errno
from typing import ClassVar

from reconciler.core.images import CODES, ELSEWHERE
from reconciler.host.kernel import btrfs, inode
from reconciler.host.refused import Refused


class Left(Refused):
    """One image that is left as it was; the message says why, the hint what to do about it."""

    reason: ClassVar[str] = ""
    """A word of CODES."""
    remedy: ClassVar[str] = ""
    is_as_it_was: ClassVar[bool] = True

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or self.remedy)

    @property
    def code(self) -> str:
        """The code that `vmtune explain` knows the reason by; "" where there is none."""
        return CODES.get(self.reason, "")


class InUse(Left):
    """Somebody has the image open, or opened the image for writing meanwhile."""

    reason = "open"
    remedy = "shut down or close what uses the image, then apply again"


class InUseElsewhere(InUse):
    """Somebody uses the image without opening it; ``sort`` is a word of CODES and ELSEWHERE."""

    def __init__(self, sort: str, message: str) -> None:
        super().__init__(message, ELSEWHERE[sort])
        self.sort = sort

    @property
    def code(self) -> str:
        return CODES[self.sort]


class Linked(Left):
    """The image has other names, which would go on naming the old data."""

    reason = "links"
    remedy = "keep one name, or accept the image with `existing: keep`"


class Protected(Left):
    """The kernel does not let the image's name go."""

    reason = "protected"


class NoRoom(Left):
    """Another copy of the image does not fit, or not yet."""

    reason = "room"
    remedy = "make room, or move the image to another disk"


class NoQuota(Left):
    """A quota does not allow another copy of the image."""

    reason = "quota"


class Unreadable(Left):
    """The disk does not give the image's data, or data that fails its checksum."""

    reason = "damaged"
    remedy = "restore it from a backup, or accept it: `existing: keep`"


class Damaged(Left):
    """What was read back is not what was written; the message says where."""

    reason = "disk"
    remedy = "look at what the kernel says of the disk (dmesg), then apply again"


class Altered(Left):
    """The image was moved, or its owner, mode, links or content changed, meanwhile."""

    reason = "changed"
    remedy = "apply again once nothing changes the image any more"


class Unlike(Left):
    """Another file cannot be made like the image."""

    reason = "unlike"
    remedy = "accept the image with `existing: keep`"


class TooLarge(Left):
    """The image ends so near to the largest size there is that no whole block fits behind it."""

    reason = "size"
    remedy = "accept the image with `existing: keep`, or make it smaller (truncate(1))"


class Twice(Left):
    """Two programs opened the two files to write: both stay, under different names."""

    reason = "twice"
    is_as_it_was = False


class Remaining(Left):
    """The image is rewritten, but its old data is not simply gone."""

    reason = "remaining"
    is_as_it_was = False


class Halted(Left):
    """Undoing failed: two names hold the image, and no further image is begun."""

    reason = "halted"
    is_as_it_was = False
    remedy = "compare the two (cmp), keep one under the image's name, and remove the other"


class _Disk(Left):
    reason = "disk"
    remedy = Damaged.remedy


class _Fault(Left):
    reason = "fault"
    remedy = "report it with these words; the image can stay as it is with `existing: keep`"


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL})


def is_full(error: Exception) -> bool:
    """Tell whether room was missing, so that another try may go well once room is free."""
    return isinstance(error, NoRoom) or (isinstance(error, OSError) and error.errno in FULL)


def of(error: Exception, below: str) -> Left:
    """Name the reason of any exception that a rewrite ended with; ``below`` is the place's path."""
    if isinstance(error, Left):
        return error
    if isinstance(error, Refused):
        return Left(error.message, error.hint)
    if not isinstance(error, OSError):
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _Fault(f"{words}; it is as it was")
    if error.errno == errno.EROFS:
        return Protected("its subvolume is read-only", "make the subvolume writable, apply again")
    if error.errno == errno.ENOSPC:
        return NoRoom("not enough space for its copy")
    if error.errno == errno.EDQUOT:
        return _quota(below)
    if error.errno in _FORBIDDEN:
        return Unlike(f"the kernel does not allow it: {error.strerror}; it is as it was")
    return _Disk(f"{error.strerror}; it is as it was")


def _quota(below: str) -> NoQuota:
    """EDQUOT does not say which quota: the subvolume's own, or one that is above it."""
    try:
        with inode.directory(below) as fd:
            name = f"qgroup 0/{btrfs.subvolume(fd).identifier}, or one above it"
    except OSError:
        name = "its qgroup, or one above it"
    return NoQuota(
        f"the quota of its subvolume ({name}) has no space for its copy",
        f"`btrfs qgroup show -re {below}` shows the limits: raise one with `btrfs qgroup limit`",
    )
