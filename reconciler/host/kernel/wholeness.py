"""Ask a mounted Btrfs whether it is whole (linux/btrfs.h); no root is needed for any of it."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from reconciler.core.wholeness import Condition
from reconciler.formats import mountinfo
from reconciler.host.kernel import ioctl, treesearch

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = 0x94
_FS_INFO = ioctl.number(ioctl.READ, _MAGIC, 31, 1024)
_DEV_INFO = ioctl.number(ioctl.READ | ioctl.WRITE, _MAGIC, 30, 4096)
_DEV_STATS = ioctl.number(ioctl.READ | ioctl.WRITE, _MAGIC, 52, 1032)
_PATH = 3072  # offsetof(struct btrfs_ioctl_dev_info_args, path)
_REPLACEMENT = 0  # BTRFS_DEV_REPLACE_DEVID: the id of a device that is to replace another one
_STATS = struct.Struct("=3Q5Q")  # devid, nr_items, flags, values
_ERRORS = ("write error", "read error", "flush error", "corruption error", "generation error")
"""By the index of enum btrfs_dev_stat_values."""


def look(fd: int, super_options: str) -> Condition:
    """Read the state of the filesystem of ``fd``; OSError.

    ``super_options`` are those of its line in /proc/self/mountinfo: the kernel tells nowhere else
    that it is mounted degraded.
    """
    last, count = struct.unpack_from("=2Q", ioctl.call(fd, _FS_INFO, bytearray(1024)))
    options = super_options.split(",")
    found = dict(_devices(fd, last))
    replacing = _REPLACEMENT in found
    return Condition(
        devices=count,
        missing=sum(not path for number, path in found.items() if number != _REPLACEMENT),
        degraded="degraded" in options,
        replacing=replacing,
        failed="ro" in options and _has_failed(fd),
        errors=tuple(_errors(fd, found)),
    )


def now(fd: int) -> Condition:
    """Read the state of the filesystem of ``fd``, with its mount options as of now; OSError."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        number = next((int(line.split()[1]) for line in file if line.startswith(b"mnt_id:")), 0)
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = mountinfo.parse(file.read())
    options = (mount.super_options for mount in mounts if mount.mount_id == number)
    return look(fd, next(options, ""))


def _devices(fd: int, last: int) -> Iterator[tuple[int, str]]:
    """The id and path of each device; the kernel has no path for one that is missing."""
    for number in range(last + 1):
        buffer = bytearray(struct.pack("=Q", number).ljust(4096, b"\0"))
        try:
            ioctl.call(fd, _DEV_INFO, buffer)
        except OSError as error:
            if error.errno != errno.ENODEV:  # there is none of that number
                raise
            continue
        yield number, os.fsdecode(bytes(buffer[_PATH:]).split(b"\0", 1)[0])


def _has_failed(fd: int) -> bool:
    """Whether the kernel refuses to begin a transaction on what is mounted read-only.

    On a filesystem that is healthy and read-only the call finds nothing to commit and succeeds;
    after an error (BTRFS_FS_ERROR) it is EROFS. Nothing is written in either case.
    """
    try:
        treesearch.begin_commit(fd)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return True
    return False


def _errors(fd: int, devices: dict[int, str]) -> Iterator[str]:
    for number, path in devices.items():
        buffer = bytearray(_STATS.pack(number, len(_ERRORS), 0, *[0] * 5).ljust(1032, b"\0"))
        try:
            _, _, _, *values = _STATS.unpack_from(ioctl.call(fd, _DEV_STATS, buffer))
        except OSError as error:
            if error.errno != errno.ENODEV:  # missing, or it has no figures yet
                raise
            continue
        named = zip(values, _ERRORS, strict=True)
        if told := ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in named if n):
            yield f"{path or f'device {number}'}: {told}"
