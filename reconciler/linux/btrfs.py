"""What a mounted Btrfs says of itself, and how it commits and defragments (linux/btrfs.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

from reconciler.facts.condition import Condition
from reconciler.formats import mountinfo
from reconciler.linux import files, process, syscalls
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


_MAGIC = 0x94

_READ_WRITE = syscalls.READ | syscalls.WRITE

_SPACE_HEAD, _SPACE = struct.Struct("=2Q"), struct.Struct("=3Q")

_MOST_SPACES = 64

_PROFILES = ("raid0", "raid1", "dup", "raid10", "raid5", "raid6", "raid1c3", "raid1c4")
"""From the bit of BTRFS_BLOCK_GROUP_RAID0 on; a group with none of them is single."""

FIRST_INODE = 256
"""BTRFS_FIRST_FREE_OBJECTID: the inode number of every subvolume's root directory."""


class Subvolume(Value):
    """GET_SUBVOL_INFO: open to all, where ``btrfs subvolume show`` needs root."""

    identifier: int
    uuid: bytes
    read_only: bool
    is_snapshot: bool
    """It was made as a snapshot of another one."""
    created: int
    """In nanoseconds."""


def _told(fd: int, index: int, size: int) -> bytes:
    """Return what an ioctl of linux/btrfs.h tells that is asked with nothing."""
    request = syscalls.number(syscalls.READ, _MAGIC, index, size)
    return bytes(syscalls.call(fd, request, bytearray(size)))


def _text(raw: bytes) -> str:
    return os.fsdecode(raw.partition(b"\0")[0])


def filesystem_uuid(fd: int) -> str:
    """The UUID as in /etc/fstab, from any descriptor on the filesystem."""
    digits = _told(fd, 31, 1024)[16:32].hex()  # FS_INFO
    groups = (0, 8), (8, 12), (12, 16), (16, 20), (20, 32)  # as printed: RFC 9562
    return "-".join(digits[at:end] for at, end in groups)


def label(fd: int) -> str:
    """The filesystem's label; "" when it has none."""
    return _text(_told(fd, 49, 256))  # GET_FSLABEL


def incompat_features(fd: int) -> int:
    """Return the bits BTRFS_FEATURE_INCOMPAT_* of the filesystem (GET_FEATURES, open to all)."""
    return int(struct.unpack("=3Q", _told(fd, 57, 24))[2])


def is_zoned(fd: int) -> bool:
    """Whether it is in zoned mode, where every write goes to a new place (btrfs(5))."""
    return bool(incompat_features(fd) & 1 << 12)  # BTRFS_FEATURE_INCOMPAT_ZONED


def data_profiles(fd: int) -> tuple[str, ...]:
    """How data is kept, named as in sysfs: ("raid1",), or several while a balance converts.

    Asked of the kernel (SPACE_INFO), not read from /sys/fs/btrfs, which a container may lack. A
    filesystem made with --mixed keeps data and metadata in the same groups.
    """
    buffer = bytearray(_SPACE_HEAD.size + _MOST_SPACES * _SPACE.size)
    _SPACE_HEAD.pack_into(buffer, 0, _MOST_SPACES, 0)
    syscalls.call(fd, syscalls.number(_READ_WRITE, _MAGIC, 20, _SPACE_HEAD.size), buffer)
    end = _SPACE_HEAD.size + _SPACE_HEAD.unpack_from(buffer)[1] * _SPACE.size
    groups = [flags for flags, _, _ in _SPACE.iter_unpack(buffer[_SPACE_HEAD.size : end])]
    # 1: BTRFS_BLOCK_GROUP_DATA
    return tuple(sorted({_profile(flags) for flags in groups if flags & 1}))


def _profile(flags: int) -> str:
    named = enumerate(_PROFILES, 3)
    return next((name for bit, name in named if flags & 1 << bit), "single")


def subvolume(fd: int) -> Subvolume:
    """The subvolume that a descriptor's inode is in."""
    raw = _told(fd, 60, 504)  # struct btrfs_ioctl_get_subvol_info_args
    identifier, flags, uuid, parent, seconds, rest = struct.unpack_from("=Q280xQ16s16s64xQI", raw)
    created = seconds * 1_000_000_000 + rest
    is_read_only = bool(flags & 1)  # BTRFS_ROOT_SUBVOL_RDONLY
    return Subvolume(identifier, uuid, is_read_only, any(parent), created)


def commit(fd: int) -> int:
    """Have the kernel write what changed of inodes; nothing where nothing did. OSError.

    Returns the transaction that holds it; what changes from now on is of a later one.
    """
    transaction = _begin_commit(fd)
    syscalls.call(fd, syscalls.number(syscalls.WRITE, _MAGIC, 22, 8), bytearray(transaction))
    return int.from_bytes(transaction, sys.byteorder)


def _begin_commit(fd: int) -> bytes:
    """Begin what ``commit`` does, and return its transaction (START_SYNC); EROFS after an error."""
    return _told(fd, 24, 8)


def defragment(fd: int, start: int, length: int, *, threshold: int, flush: bool) -> None:
    """Put together ``length`` bytes of a file from ``start`` on (DEFRAG_RANGE).

    An extent of ``threshold`` bytes or more stays where it is. ``flush``: writing begins at once.
    BlockingIOError where a signal came in between; else OSError.
    """
    # BTRFS_DEFRAG_RANGE_START_IO. Never the flag to compress: that is the mount's to decide.
    flags = 1 << 1 if flush else 0
    # start, len, flags, extent_thresh, compress_type
    given = bytearray(struct.pack("=3Q2I16x", start, length, flags, threshold, 0))
    syscalls.call(fd, syscalls.number(syscalls.WRITE, _MAGIC, 16, len(given)), given)


_HEAD = struct.Struct("=4I")  # bytes_left, bytes_missing, elem_cnt, elem_missed

_SIZE = 4096  # the most that the kernel fills


def other_names(fd: int, path: str) -> tuple[str, ...]:
    """List an inode's paths from the root of its subvolume, but for one that ends in ``path``.

    Sorted; what does not fit into 4 KiB is left out. Empty where the kernel does not tell: the
    ioctl (INO_PATHS) is root's (CAP_DAC_READ_SEARCH).
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    where = os.fstat(fd).st_ino, _SIZE, ctypes.addressof(buffer)
    given = bytearray(struct.pack("=2Q32xQ", *where))  # inum, size, reserved, fspath
    try:
        syscalls.call(fd, syscalls.number(_READ_WRITE, _MAGIC, 35, len(given)), given)
    except OSError:
        return ()
    found = buffer.raw
    count = _HEAD.unpack_from(found)[2]
    offsets = struct.unpack_from(f"={count}Q", found, _HEAD.size)  # from the first of themselves
    paths = [_text(found[_HEAD.size + offset :]) for offset in offsets]
    own = next((each for each in paths if f"/{each}".endswith(f"/{path}")), "")
    return tuple(sorted(each for each in paths if each != own))


_REPLACEMENT = 0  # BTRFS_DEV_REPLACE_DEVID: the id of a device that is to replace another one

_ERRORS = ("write error", "read error", "flush error", "corruption error", "generation error")
"""By the index of enum btrfs_dev_stat_values."""


def condition(fd: int) -> Condition:
    """Read the state of the filesystem of ``fd``; OSError.

    The kernel tells nowhere but in /proc/self/mountinfo that it is mounted degraded.
    """
    last, count = struct.unpack_from("=2Q", _told(fd, 31, 1024))  # FS_INFO
    mounts = mountinfo.parse(process.kernel_file("/proc/self/mountinfo"))
    number = process.mount_of(fd)
    words = (mount.super_options.split(",") for mount in mounts if mount.mount_id == number)
    options = next(words, [])
    found = dict(_devices(fd, last))
    gone = [number for number, path in found.items() if not path and number != _REPLACEMENT]
    # Those that went while it was mounted are still there for Btrfs (up to 6.18).
    vanished = [link for link in device_links(fd) if not os.path.exists(link)]
    return Condition(
        devices=count,
        missing=len(gone) + len(vanished),
        degraded="degraded" in options,
        replacing=_REPLACEMENT in found,
        failed="ro" in options and _has_failed(fd),
        errors=tuple(_errors(fd, found)),
    )


def device_links(fd: int) -> list[str]:
    """Return the link in sysfs to each device of the filesystem; none where sysfs has none."""
    return files.listed(f"/sys/fs/btrfs/{filesystem_uuid(fd)}/devices")


def _of_device(fd: int, index: int, size: int, *given: int) -> bytes | None:
    """Return what an ioctl tells of a device by its number, the first that is given; else None."""
    buffer = bytearray(struct.pack(f"={len(given)}Q", *given).ljust(size, b"\0"))
    try:
        return bytes(syscalls.call(fd, syscalls.number(_READ_WRITE, _MAGIC, index, size), buffer))
    except OSError as error:
        if error.errno != errno.ENODEV:  # none of that number, missing, or without figures yet
            raise
        return None


def _devices(fd: int, last: int) -> Iterator[tuple[int, str]]:
    """The id and path of each device; the kernel has no path for one that is missing."""
    for number in range(last + 1):
        if found := _of_device(fd, 30, 4096, number):  # DEV_INFO
            yield number, _text(found[3072:])  # offsetof(struct btrfs_ioctl_dev_info_args, path)


def _has_failed(fd: int) -> bool:
    """Whether the kernel refuses to begin a transaction on what is mounted read-only.

    On a filesystem that is healthy and read-only the call finds nothing to commit and succeeds;
    after an error (BTRFS_FS_ERROR) it is EROFS. Nothing is written in either case.
    """
    try:
        _begin_commit(fd)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return True
    return False


def _errors(fd: int, devices: dict[int, str]) -> Iterator[str]:
    for number, path in devices.items():
        if found := _of_device(fd, 52, 1032, number, len(_ERRORS)):  # GET_DEV_STATS
            values = struct.unpack_from("=5Q", found, 24)  # behind devid, nr_items, flags
            named = zip(values, _ERRORS, strict=True)
            if told := ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in named if n):
                yield f"{path or f'device {number}'}: {told}"
