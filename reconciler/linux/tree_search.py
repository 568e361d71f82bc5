"""The trees of a Btrfs, item by item: BTRFS_IOC_TREE_SEARCH_V2 (linux/btrfs_tree.h). Root only.

What is read is as of the last commit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from reconciler.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_SEARCH_V2 = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 17, 112)

_KEY = struct.Struct("=7Q3I36xQ")  # struct btrfs_ioctl_search_key up to nr_items, and buf_size

_HEADER = struct.Struct("=8xQQII")  # objectid, offset, type, length of an item

_FLAGS = struct.Struct("=64xQ")  # those of struct btrfs_inode_item

ROOT_TREE, QUOTA_TREE = 1, 8  # BTRFS_ROOT_TREE_OBJECTID, BTRFS_QUOTA_TREE_OBJECTID

INODE_ITEM, DIR_ITEM, EXTENT_DATA = 1, 84, 108  # BTRFS_*_KEY

ROOT_ITEM, ROOT_BACKREF = 132, 144

_LAST_KIND = 255

_ANY = 2**64 - 1

EVERY = (0, _ANY)
"""The range of all objects."""

NODATASUM, NODATACOW = 1, 2  # BTRFS_INODE_NODATASUM, BTRFS_INODE_NODATACOW

IMMUTABLE, APPEND = 1 << 6, 1 << 7  # BTRFS_INODE_IMMUTABLE, BTRFS_INODE_APPEND

SEALED = 1 << 32  # BTRFS_INODE_RO_VERITY, in the upper half

_REPLY, _ONE = 1 << 16, 1 << 9


def attributes(fd: int, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each inode's number with its BTRFS_INODE_* flags; SEALED among them for fs-verity.

    One that is not in the tree is left out.
    """
    buffer = bytearray(_KEY.size + _ONE)
    for number in numbers:
        key = (0, number, number, 0, _ANY, 0, _ANY, INODE_ITEM, INODE_ITEM, 1, _ONE)
        _KEY.pack_into(buffer, 0, *key)
        if _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9]:
            yield number, _FLAGS.unpack_from(buffer, _KEY.size + _HEADER.size)[0]


def items_of(fd: int, tree: int, number: int, kind: int) -> Iterator[tuple[int, bytes]]:
    """Offset and data of the items of one type that an object has; tree 0 is that of ``fd``."""
    for _, offset, _, data in items(fd, tree, (number, number), (kind, kind)):
        yield offset, data


def items(
    fd: int, tree: int, numbers: tuple[int, int], kinds: tuple[int, int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """Number, offset, type and data of the items of these objects.

    Types only bound the first and the last key.
    """
    (number, last), (kind, most), offset = numbers, kinds, 0
    buffer = bytearray(_KEY.size + _REPLY)
    while True:
        key = (tree, number, last, offset, _ANY, 0, _ANY, kind, most, 2**32 - 1, _REPLY)
        _KEY.pack_into(buffer, 0, *key)
        count, at = _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9], _KEY.size
        for _ in range(count):
            number, offset, kind, length = _HEADER.unpack_from(buffer, at)
            at += _HEADER.size
            yield number, offset, kind, bytes(buffer[at : at + length])
            at += length
        if not count or (number, kind, offset) >= (last, most, _ANY):
            return
        # The next key: they sort by object, then type, then offset.
        if offset < _ANY:
            offset += 1
        elif kind < _LAST_KIND:
            kind, offset = kind + 1, 0
        else:
            number, kind, offset = number + 1, 0, 0
