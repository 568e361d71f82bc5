"""What a mounted Btrfs says of itself (linux/btrfs.h, linux/fiemap.h)."""

from __future__ import annotations

import os
import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.host import ioctl

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = 0x94
_FS_INFO = ioctl.number(ioctl.READ, _MAGIC, 31, 1024)
_GET_LABEL = ioctl.number(ioctl.READ, _MAGIC, 49, 256)
_SUBVOL_INFO = ioctl.number(ioctl.READ, _MAGIC, 60, 504)
_TREE_SEARCH = ioctl.number(ioctl.READ | ioctl.WRITE, _MAGIC, 17, 4096)
_FIEMAP = ioctl.number(ioctl.READ | ioctl.WRITE, ord("f"), 11, 32)

_ROOT_TREE, _ROOT_ITEM = 1, 132
_ROOT_ITEM_PARENT_UUID = 263  # offsetof(struct btrfs_root_item, parent_uuid)
_SEARCH_KEY = struct.Struct("=7Q4I4Q")
_SEARCH_HEADER = struct.Struct("=3Q2I")
_FIEMAP_HEAD = struct.Struct("=2Q4I")
_FIEMAP_EXTENT = struct.Struct("=3Q2Q4I")
_EXTENTS_A_CALL = 512
LAST, SHARED = 0x0001, 0x2000  # FIEMAP_EXTENT_*
FIRST_INODE = 256
"""BTRFS_FIRST_FREE_OBJECTID: the inode number of every subvolume's root directory."""
_READ_ONLY = 1 << 0  # BTRFS_ROOT_SUBVOL_RDONLY
_EVERYTHING = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Subvolume:
    """GET_SUBVOL_INFO: open to all, where ``btrfs subvolume show`` needs root."""

    identifier: int
    uuid: bytes
    read_only: bool


def filesystem_uuid(fd: int) -> str:
    """The UUID as in /etc/fstab, from any descriptor on the filesystem."""
    return str(uuid.UUID(bytes=bytes(ioctl.call(fd, _FS_INFO, bytearray(1024))[16:32])))


def label(fd: int) -> str:
    """The filesystem's label; "" when it has none."""
    raw = bytes(ioctl.call(fd, _GET_LABEL, bytearray(256)))
    return os.fsdecode(raw.split(b"\0", 1)[0])


def subvolume(fd: int) -> Subvolume:
    """The subvolume that a descriptor's inode is in."""
    raw = bytes(ioctl.call(fd, _SUBVOL_INFO, bytearray(504)))
    identifier, flags = struct.unpack_from("=Q", raw, 0)[0], struct.unpack_from("=Q", raw, 288)[0]
    return Subvolume(identifier, raw[296:312], bool(flags & _READ_ONLY))


def snapshots(fd: int, of: bytes) -> int:
    """How many subvolumes were snapshotted from the one with UUID ``of``; root only (EPERM)."""
    return sum(
        item[_ROOT_ITEM_PARENT_UUID : _ROOT_ITEM_PARENT_UUID + 16] == of for item in _root_items(fd)
    )


def _root_items(fd: int) -> Iterator[bytes]:
    start = (0, 0)
    while True:
        key = _SEARCH_KEY.pack(
            _ROOT_TREE, start[0], _EVERYTHING, start[1], _EVERYTHING, 0, _EVERYTHING,
            _ROOT_ITEM, _ROOT_ITEM, 4096, 0, 0, 0, 0, 0,
        )  # fmt: skip
        buffer = ioctl.call(fd, _TREE_SEARCH, bytearray(key.ljust(4096, b"\0")))
        found = _SEARCH_KEY.unpack_from(buffer)[9]
        if not found:
            return
        at = _SEARCH_KEY.size
        for _ in range(found):
            _, objectid, offset, kind, size = _SEARCH_HEADER.unpack_from(buffer, at)
            at += _SEARCH_HEADER.size
            if kind == _ROOT_ITEM:  # the type only bounds the first and the last key
                yield bytes(buffer[at : at + size])
            at += size
        start = _next_root_item(objectid, kind, offset)


def _next_root_item(objectid: int, kind: int, offset: int) -> tuple[int, int]:
    """Where to go on behind a key: keys sort by object, then kind, then offset."""
    if kind < _ROOT_ITEM:
        return (objectid, 0)
    return (
        (objectid, offset + 1) if (kind, offset) < (_ROOT_ITEM, _EVERYTHING) else (objectid + 1, 0)
    )


def extent_count(fd: int) -> int:
    """The number of extents FIEMAP would list, counted by the kernel alone."""
    head = _FIEMAP_HEAD.pack(0, _EVERYTHING, 0, 0, 0, 0)
    return int(_FIEMAP_HEAD.unpack_from(ioctl.call(fd, _FIEMAP, bytearray(head)))[3])


def shared_bytes(fd: int) -> int:
    """Bytes in extents that another file or snapshot also uses."""
    shared = start = 0
    while start < _EVERYTHING:
        head = _FIEMAP_HEAD.pack(start, _EVERYTHING - start, 0, 0, _EXTENTS_A_CALL, 0)
        size = _FIEMAP_HEAD.size + _EXTENTS_A_CALL * _FIEMAP_EXTENT.size
        buffer = ioctl.call(fd, _FIEMAP, bytearray(head.ljust(size, b"\0")))
        mapped = _FIEMAP_HEAD.unpack_from(buffer)[3]
        if not mapped:
            break
        for index in range(mapped):
            at = _FIEMAP_HEAD.size + index * _FIEMAP_EXTENT.size
            logical, _, length, _, _, flags, *_ = _FIEMAP_EXTENT.unpack_from(buffer, at)
            shared += length if flags & SHARED else 0
        if flags & LAST:
            break
        start = logical + length
    return shared
