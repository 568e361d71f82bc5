"""The tree of a subvolume read as the kernel keeps it: BTRFS_IOC_TREE_SEARCH_V2, root only.

Formats are those of linux/btrfs.h and linux/btrfs_tree.h. What is read is what was committed:
``commit`` first, since inodes that were changed lie beside the tree until then.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

from reconciler.host.kernel import ioctl

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_MAGIC = 0x94
_SEARCH_V2 = ioctl.number(ioctl.READ | ioctl.WRITE, _MAGIC, 17, 112)
_START_SYNC = ioctl.number(ioctl.READ, _MAGIC, 24, 8)
_WAIT_SYNC = ioctl.number(ioctl.WRITE, _MAGIC, 22, 8)
_KEY = struct.Struct("=7Q4I5Q")  # struct btrfs_ioctl_search_key, and buf_size
_HEADER = struct.Struct("=8xQQII")  # objectid, offset, type, length of an item
# A header (objectid, type), its struct btrfs_inode_item (size, nbytes, nlink, mode, flags), and
# the header behind it (offset, type, length): one call for what would be three.
_INODE = struct.Struct("=8xQ8xI4x16xQQ8xI8xI8xQ88x16xQII")
_INODE_SIZE = 160
_CHANGE_TIME, _CHANGE_TIME_AT = struct.Struct("=QI"), 124  # offsetof(btrfs_inode_item, ctime)
_CHANGED = struct.Struct("=8xQQ16xI8xI8xQ")
"""Of struct btrfs_inode_item: the transaction of its last change, size, nlink, mode, flags."""
_NEXT_INODE = struct.pack("=QII", 0, 1, _INODE_SIZE)
"""The second half of every INODE_ITEM's header: no name holds a NUL, and no entry of a directory
these 16 bytes in any other way, as long as no inode number and no generation reaches 2^32."""
_REF, _EXTENDED_REF = struct.Struct("=QH"), struct.Struct("=QQH")
_ROOT_REF_DATA = struct.Struct("=QQH")  # struct btrfs_root_ref: dirid, sequence, name_len
_INODE_ITEM, _INODE_REF, _INODE_EXTREF, _DIR_ITEM, _DIR_INDEX = 1, 12, 13, 84, 96
_ROOT_ITEM, _ROOT_REF = 132, 156
ROOT_TREE, QUOTA_TREE = 1, 8  # BTRFSROOT_TREE_OBJECTID, BTRFS_QUOTA_TREE_OBJECTID
_LAST_KIND = 255
_BYTES_USED = 192  # offsetof(struct btrfs_root_item, bytes_used)
NODATASUM, NODATACOW = 1, 2  # BTRFS_INODE_NODATASUM, BTRFS_INODE_NODATACOW
IMMUTABLE, APPEND = 1 << 6, 1 << 7  # BTRFS_INODE_IMMUTABLE, BTRFS_INODE_APPEND
SEALED = 1 << 32  # BTRFS_INODE_RO_VERITY, in the upper half
_FIRST, _LAST, _ANY = 256, 2**64 - 257, 2**64 - 1  # BTRFS_FIRST_FREE_OBJECTID, LAST
_REPLY, _FEW, _ONE = 1 << 18, 1 << 16, 1 << 9

Inode = tuple[int, int, int, int, int, int, int]
"""Number, directory of its first name, st_mode, size, bytes on disk, names, BTRFS_INODE_*."""


class NameFoundError(Exception):
    """A name that was watched for is in the tree."""


def commit(fd: int) -> int:
    """Have the kernel write what changed of inodes; nothing where nothing did. OSError.

    Returns the transaction that holds it; what changes from now on is of a later one.
    """
    transaction = begin_commit(fd)
    ioctl.call(fd, _WAIT_SYNC, transaction)
    return int.from_bytes(transaction, sys.byteorder)


def begin_commit(fd: int) -> bytearray:
    """Begin what ``commit`` does, and return its transaction; EROFS after an error."""
    return ioctl.call(fd, _START_SYNC, bytearray(8))


def inodes(fd: int, without: tuple[bytes, ...]) -> Iterator[Inode]:
    """Every inode of the subvolume of ``fd``, by number; NameFoundError for bytes in ``without``.

    The directory is 0 where the kernel keeps the names apart (INODE_EXTREF). What was deleted
    and is still open is left out.
    """
    buffer = bytearray(_KEY.size + _REPLY + _INODE.size)
    nothing, start = bytes(len(buffer)), _FIRST
    while start <= _LAST:
        buffer[:] = nothing  # what the reply before left would read as more items
        _KEY.pack_into(buffer, 0, *_from(start), _REPLY)
        if not _KEY.unpack_from(ioctl.call(fd, _SEARCH_V2, buffer))[9]:
            return
        if any(buffer.find(name, _KEY.size) >= 0 for name in without):
            raise NameFoundError
        start = max((yield from _in_reply(buffer, start)), start + 1)


def _in_reply(buffer: bytearray, start: int) -> Generator[Inode, None, int]:
    """The inodes that lie whole in a reply; returns the number to go on with."""
    unpack, header, find, at = _INODE.unpack_from, _HEADER.unpack_from, buffer.find, _KEY.size
    while at >= 0:
        number, kind, size, used, links, mode, flags, parent, following, length = unpack(buffer, at)
        if kind == _INODE_ITEM:
            if not following:
                return int(number)  # the reply ends here: once more, from this one
            start = number + 1
            at += _HEADER.size + _INODE_SIZE
            if following == _INODE_REF:
                yield number, parent, mode, size, used, links, flags
                at += _HEADER.size + length
            elif links:
                yield number, 0, mode, size, used, links, flags
        elif kind in {_DIR_ITEM, _DIR_INDEX}:
            at = find(_NEXT_INODE, at) - 16  # the names in a directory are not needed
        elif kind:
            at += _HEADER.size + header(buffer, at)[3]
        else:
            break
    return start


def changed(fd: int, after: int, most: int) -> list[Inode] | None:
    """The inodes of the subvolume of ``fd`` that were changed after a transaction, by number.

    One that was deleted is none; its directory was changed. The cost is that of the leaves of the
    tree that were written since, whatever else is in it; None where those have more than ``most``
    items. Directory and bytes on disk are given as 0.
    """
    found, read = [], items(fd, 0, (_FIRST, _LAST), (0, _LAST_KIND), after + 1)
    for count, (number, _, kind, data) in enumerate(read):
        if count >= most:
            return None
        if kind == _INODE_ITEM:
            transaction, size, links, mode, flags = _CHANGED.unpack_from(data)
            if transaction > after:
                found.append((number, 0, mode, size, 0, links, flags))
    return found


def stamp(fd: int, number: int) -> tuple[int, float, bytes]:
    """Of an inode: the transaction that last wrote it, its time of change, and a stamp.

    The stamp is its size, mode, attributes, i_version and time of change: a directory has another
    one after any change of a name in it, and the same after an update of its time of access.
    FileNotFoundError where there is no such inode.
    """
    for *_, data in items(fd, 0, (number, number), (_INODE_ITEM, _INODE_ITEM)):
        seconds, nanoseconds = _CHANGE_TIME.unpack_from(data, _CHANGE_TIME_AT)
        change = data[_CHANGE_TIME_AT : _CHANGE_TIME_AT + _CHANGE_TIME.size]
        kept = data[16:24] + data[52:56] + data[64:80] + change
        return _CHANGED.unpack_from(data)[0], seconds + nanoseconds / 1e9, kept
    raise FileNotFoundError(errno.ENOENT, "no such inode")


def attributes(fd: int, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each inode's number with its BTRFS_INODE_* flags; SEALED among them for fs-verity.

    As of the last commit, as everything here; one that is not in the tree is left out.
    """
    buffer = bytearray(_KEY.size + _ONE)
    for number in numbers:
        key = (0, number, number, 0, _ANY, 0, _ANY, _INODE_ITEM, _INODE_ITEM, 1, 0)
        _KEY.pack_into(buffer, 0, *key, 0, 0, 0, 0, _ONE)
        if _KEY.unpack_from(ioctl.call(fd, _SEARCH_V2, buffer))[9]:
            yield number, _CHANGED.unpack_from(buffer, _KEY.size + _HEADER.size)[4]


def names(fd: int, number: int) -> Iterator[tuple[int, str]]:
    """All names of an inode, each with the number of its directory."""
    for _, offset, kind, data in items(fd, 0, (number, number), (_INODE_REF, _INODE_EXTREF)):
        at = 0
        while at < len(data):
            if kind == _INODE_REF:
                (_, length), parent = _REF.unpack_from(data, at), offset
                at += _REF.size
            else:
                parent, _, length = _EXTENDED_REF.unpack_from(data, at)
                at += _EXTENDED_REF.size
            yield parent, os.fsdecode(data[at : at + length])
            at += length


def subvolumes(fd: int, identifier: int) -> Iterator[tuple[int, str]]:
    """Subvolumes directly within one: the number of the directory, and the name there."""
    within = (identifier, identifier)
    for *_, data in items(fd, ROOT_TREE, within, (_ROOT_REF, _ROOT_REF)):
        directory, _, length = _ROOT_REF_DATA.unpack_from(data)
        at = _ROOT_REF_DATA.size
        yield directory, os.fsdecode(data[at : at + length])


def size(fd: int, identifier: int) -> int:
    """Bytes of a subvolume's tree: inodes, names, where data lies. 0 where it is not found."""
    within = (identifier, identifier)
    for *_, data in items(fd, ROOT_TREE, within, (_ROOT_ITEM, _ROOT_ITEM)):
        return int(struct.unpack_from("=Q", data, _BYTES_USED)[0])
    return 0


def items(
    fd: int, tree: int, numbers: tuple[int, int], kinds: tuple[int, int], since: int = 0
) -> Iterator[tuple[int, int, int, bytes]]:
    """Number, offset, type and data of the items of these objects; tree 0 is that of ``fd``.

    Types only bound the first and the last key. ``since`` a transaction: only what lies in leaves
    that were written in it or later.
    """
    (number, last), (kind, most), offset = numbers, kinds, 0
    buffer = bytearray(_KEY.size + _FEW)
    while True:
        key = (tree, number, last, offset, _ANY, since, _ANY, kind, most, 2**32 - 1, 0)
        _KEY.pack_into(buffer, 0, *key, 0, 0, 0, 0, _FEW)
        count, at = _KEY.unpack_from(ioctl.call(fd, _SEARCH_V2, buffer))[9], _KEY.size
        for _ in range(count):
            number, offset, kind, length = _HEADER.unpack_from(buffer, at)
            at += _HEADER.size
            yield number, offset, kind, bytes(buffer[at : at + length])
            at += length
        if not count or (number, kind, offset) >= (last, most, _ANY):
            return
        number, kind, offset = _behind(number, kind, offset)


def _behind(number: int, kind: int, offset: int) -> tuple[int, int, int]:
    """The next key: they sort by object, then type, then offset."""
    if offset < _ANY:
        return number, kind, offset + 1
    return (number, kind + 1, 0) if kind < _LAST_KIND else (number + 1, 0, 0)


def _from(first: int) -> tuple[int, ...]:
    """A search in the subvolume asked through, from one object to the last."""
    return (0, first, _LAST, 0, _ANY, 0, _ANY, 0, 255, 2**32 - 1, 0, 0, 0, 0, 0)
