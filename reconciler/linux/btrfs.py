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
from reconciler.linux import syscalls
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


_MAGIC = 0x94

_FS_INFO = syscalls.number(syscalls.READ, _MAGIC, 31, 1024)

_GET_LABEL = syscalls.number(syscalls.READ, _MAGIC, 49, 256)

_SUBVOL_INFO = syscalls.number(syscalls.READ, _MAGIC, 60, 504)

_SUBVOL_INFO_PARENT = 312  # offsetof(..., parent_uuid), behind uuid

_SUBVOL_INFO_OTIME = 392  # offsetof(struct btrfs_ioctl_get_subvol_info_args, otime)

_SPACE_INFO = syscalls.number(syscalls.READ | syscalls.WRITE, _MAGIC, 20, 16)

_GET_FEATURES = syscalls.number(syscalls.READ, _MAGIC, 57, 24)

_ZONED = 1 << 12  # BTRFS_FEATURE_INCOMPAT_ZONED

_START_SYNC = syscalls.number(syscalls.READ, _MAGIC, 24, 8)

_WAIT_SYNC = syscalls.number(syscalls.WRITE, _MAGIC, 22, 8)

_SPACE_HEAD, _SPACE = struct.Struct("=2Q"), struct.Struct("=3Q")

_MOST_SPACES = 64

_DATA = 1 << 0  # BTRFS_BLOCK_GROUP_DATA

_PROFILES = ("raid0", "raid1", "dup", "raid10", "raid5", "raid6", "raid1c3", "raid1c4")

_FIRST_PROFILE = 3
"""The bit of the first of them: BTRFS_BLOCK_GROUP_RAID0; a group with none of them is single."""

FIRST_INODE = 256
"""BTRFS_FIRST_FREE_OBJECTID: the inode number of every subvolume's root directory."""

_READ_ONLY = 1 << 0  # BTRFS_ROOT_SUBVOL_RDONLY

_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
"""Of the digits of a UUID as printed (RFC 9562)."""


class Subvolume(Value):
    """GET_SUBVOL_INFO: open to all, where ``btrfs subvolume show`` needs root."""

    identifier: int
    uuid: bytes
    read_only: bool


def filesystem_uuid(fd: int) -> str:
    """The UUID as in /etc/fstab, from any descriptor on the filesystem."""
    digits = syscalls.call(fd, _FS_INFO, bytearray(1024))[16:32].hex()
    return "-".join(digits[at:end] for at, end in _GROUPS)


def label(fd: int) -> str:
    """The filesystem's label; "" when it has none."""
    raw = bytes(syscalls.call(fd, _GET_LABEL, bytearray(256)))
    return os.fsdecode(raw.split(b"\0", 1)[0])


def incompat_features(fd: int) -> int:
    """Return the bits BTRFS_FEATURE_INCOMPAT_* of the filesystem (GET_FEATURES, open to all)."""
    raw = bytes(syscalls.call(fd, _GET_FEATURES, bytearray(24)))
    return int(struct.unpack("=3Q", raw)[2])


def is_zoned(fd: int) -> bool:
    """Whether it is in zoned mode, where every write goes to a new place (btrfs(5))."""
    return bool(incompat_features(fd) & _ZONED)


def data_profiles(fd: int) -> tuple[str, ...]:
    """How data is kept, named as in sysfs: ("raid1",), or several while a balance converts.

    Asked of the kernel (SPACE_INFO), not read from /sys/fs/btrfs, which a container may lack. A
    filesystem made with --mixed keeps data and metadata in the same groups.
    """
    buffer = bytearray(_SPACE_HEAD.size + _MOST_SPACES * _SPACE.size)
    _SPACE_HEAD.pack_into(buffer, 0, _MOST_SPACES, 0)
    syscalls.call(fd, _SPACE_INFO, buffer)
    end = _SPACE_HEAD.size + _SPACE_HEAD.unpack_from(buffer)[1] * _SPACE.size
    groups = [flags for flags, _, _ in _SPACE.iter_unpack(buffer[_SPACE_HEAD.size : end])]
    return tuple(sorted({_profile(flags) for flags in groups if flags & _DATA}))


def _profile(flags: int) -> str:
    named = enumerate(_PROFILES, _FIRST_PROFILE)
    return next((name for bit, name in named if flags & 1 << bit), "single")


def subvolume(fd: int) -> Subvolume:
    """The subvolume that a descriptor's inode is in."""
    raw = bytes(syscalls.call(fd, _SUBVOL_INFO, bytearray(504)))
    identifier, flags = struct.unpack_from("=Q", raw, 0)[0], struct.unpack_from("=Q", raw, 288)[0]
    return Subvolume(identifier, raw[296:312], bool(flags & _READ_ONLY))


def is_snapshot(fd: int) -> bool:
    """Tell whether the subvolume of a descriptor's inode was made as a snapshot of another one."""
    raw = bytes(syscalls.call(fd, _SUBVOL_INFO, bytearray(504)))
    return any(raw[_SUBVOL_INFO_PARENT : _SUBVOL_INFO_PARENT + 16])


def created(fd: int) -> int:
    """When the subvolume that a descriptor's inode is in was made, in nanoseconds."""
    raw = bytes(syscalls.call(fd, _SUBVOL_INFO, bytearray(504)))
    seconds, nanoseconds = struct.unpack_from("=QI", raw, _SUBVOL_INFO_OTIME)
    return int(seconds * 1_000_000_000 + nanoseconds)


def commit(fd: int) -> int:
    """Have the kernel write what changed of inodes; nothing where nothing did. OSError.

    Returns the transaction that holds it; what changes from now on is of a later one.
    """
    transaction = begin_commit(fd)
    syscalls.call(fd, _WAIT_SYNC, transaction)
    return int.from_bytes(transaction, sys.byteorder)


def begin_commit(fd: int) -> bytearray:
    """Begin what ``commit`` does, and return its transaction; EROFS after an error."""
    return syscalls.call(fd, _START_SYNC, bytearray(8))


_DEFRAG_RANGE = syscalls.number(syscalls.WRITE, _MAGIC, 16, 48)

_RANGE = struct.Struct("=3Q2I16x")  # start, len, flags, extent_thresh, compress_type

_START_IO = 1 << 1
"""BTRFS_DEFRAG_RANGE_START_IO. Never the flag to compress: that is the mount's to decide."""


def defragment(fd: int, start: int, length: int, *, threshold: int, flush: bool) -> None:
    """Put together ``length`` bytes of a file from ``start`` on (DEFRAG_RANGE).

    An extent of ``threshold`` bytes or more stays where it is. ``flush``: writing begins at once.
    BlockingIOError where a signal came in between; else OSError.
    """
    given = _RANGE.pack(start, length, _START_IO if flush else 0, threshold, 0)
    syscalls.call(fd, _DEFRAG_RANGE, bytearray(given))


_INO_PATHS = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 35, 56)

_ARGUMENTS = struct.Struct("=2Q32xQ")  # inum, size, reserved, fspath

_HEAD = struct.Struct("=4I")  # bytes_left, bytes_missing, elem_cnt, elem_missed

_SIZE = 4096  # the most that the kernel fills


def other_names(fd: int, path: str) -> tuple[str, ...]:
    """List an inode's paths from the root of its subvolume, but for one that ends in ``path``.

    Sorted; what does not fit into 4 KiB is left out. Empty where the kernel does not tell: the
    ioctl is root's (CAP_DAC_READ_SEARCH).
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    arguments = _ARGUMENTS.pack(os.fstat(fd).st_ino, _SIZE, ctypes.addressof(buffer))
    try:
        syscalls.call(fd, _INO_PATHS, bytearray(arguments))
    except OSError:
        return ()
    found = buffer.raw
    count = _HEAD.unpack_from(found)[2]
    offsets = struct.unpack_from(f"={count}Q", found, _HEAD.size)  # from the first of themselves
    paths = [found[_HEAD.size + offset :].split(b"\0", 1)[0] for offset in offsets]
    end = b"/" + os.fsencode(path)
    own = next((each for each in paths if (b"/" + each).endswith(end)), b"")
    return tuple(sorted(os.fsdecode(each) for each in paths if each != own))


_DEV_INFO = syscalls.number(syscalls.READ | syscalls.WRITE, _MAGIC, 30, 4096)

_DEV_STATS = syscalls.number(syscalls.READ | syscalls.WRITE, _MAGIC, 52, 1032)

_PATH = 3072  # offsetof(struct btrfs_ioctl_dev_info_args, path)

_REPLACEMENT = 0  # BTRFS_DEV_REPLACE_DEVID: the id of a device that is to replace another one

_STATS = struct.Struct("=3Q5Q")  # devid, nr_items, flags, values

_ERRORS = ("write error", "read error", "flush error", "corruption error", "generation error")
"""By the index of enum btrfs_dev_stat_values."""


def condition(fd: int, super_options: str) -> Condition:
    """Read the state of the filesystem of ``fd``; OSError.

    ``super_options`` are those of its line in /proc/self/mountinfo: the kernel tells nowhere else
    that it is mounted degraded.
    """
    last, count = struct.unpack_from("=2Q", syscalls.call(fd, _FS_INFO, bytearray(1024)))
    options = super_options.split(",")
    found = dict(_devices(fd, last))
    replacing = _REPLACEMENT in found
    return Condition(
        devices=count,
        missing=sum(not path for number, path in found.items() if number != _REPLACEMENT)
        + _vanished(fd),
        degraded="degraded" in options,
        replacing=replacing,
        failed="ro" in options and _has_failed(fd),
        errors=tuple(_errors(fd, found)),
    )


def condition_now(fd: int) -> Condition:
    """Read the state of the filesystem of ``fd``, with its mount options as of now; OSError."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        number = next((int(line.split()[1]) for line in file if line.startswith(b"mnt_id:")), 0)
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = mountinfo.parse(file.read())
    options = (mount.super_options for mount in mounts if mount.mount_id == number)
    return condition(fd, next(options, ""))


def _devices(fd: int, last: int) -> Iterator[tuple[int, str]]:
    """The id and path of each device; the kernel has no path for one that is missing."""
    for number in range(last + 1):
        buffer = bytearray(struct.pack("=Q", number).ljust(4096, b"\0"))
        try:
            syscalls.call(fd, _DEV_INFO, buffer)
        except OSError as error:
            if error.errno != errno.ENODEV:  # there is none of that number
                raise
            continue
        yield number, os.fsdecode(bytes(buffer[_PATH:]).split(b"\0", 1)[0])


def _vanished(fd: int) -> int:
    """Count the devices that went while the filesystem was mounted.

    For Btrfs they are still there (up to 6.18): only their links in sysfs lead nowhere.
    """
    folder = f"/sys/fs/btrfs/{filesystem_uuid(fd)}/devices"
    try:
        names = os.listdir(folder)
    except OSError:  # no sysfs here
        return 0
    return sum(not os.path.exists(f"{folder}/{name}") for name in names)


def _has_failed(fd: int) -> bool:
    """Whether the kernel refuses to begin a transaction on what is mounted read-only.

    On a filesystem that is healthy and read-only the call finds nothing to commit and succeeds;
    after an error (BTRFS_FS_ERROR) it is EROFS. Nothing is written in either case.
    """
    try:
        begin_commit(fd)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return True
    return False


def _errors(fd: int, devices: dict[int, str]) -> Iterator[str]:
    for number, path in devices.items():
        buffer = bytearray(_STATS.pack(number, len(_ERRORS), 0, *[0] * 5).ljust(1032, b"\0"))
        try:
            _, _, _, *values = _STATS.unpack_from(syscalls.call(fd, _DEV_STATS, buffer))
        except OSError as error:
            if error.errno != errno.ENODEV:  # missing, or it has no figures yet
                raise
            continue
        named = zip(values, _ERRORS, strict=True)
        if told := ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in named if n):
            yield f"{path or f'device {number}'}: {told}"
