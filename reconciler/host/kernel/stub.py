"""Where the subvolume is that an empty stub stands for: the tree search, for root.

The entry of a directory that names a subvolume holds its id, also in a snapshot. Only the tree of
roots knows where that subvolume really is (BTRFS_ROOT_BACKREF_KEY).
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from reconciler.core.stub import Stub, refusal
from reconciler.host.kernel import btrfs, inode, ioctl, statfs, treesearch
from reconciler.host.refused import Refused

_INO_LOOKUP = ioctl.number(ioctl.READ | ioctl.WRITE, 0x94, 18, 4096)
_DIR_INDEX, _ROOT_ITEM, _ROOT_BACKREF = 96, 132, 144
_ENTRY = struct.Struct("=QBQQHHB")
"""struct btrfs_dir_item: key (object, type, offset), transid, data_len, name_len, type."""
_REFERENCE = struct.Struct("=QQH")  # struct btrfs_root_ref: dirid, sequence, name_len
_NUMBER = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID
_TOP = 5  # BTRFS_FS_TREE_OBJECTID


def is_stub(path: str, status: os.stat_result) -> bool:
    """Whether what is at a path is such a stub: other filesystems have an inode 2, too."""
    return status.st_ino == _NUMBER and statfs.filesystem_type(path) == "btrfs"


def whither(path: str) -> Stub:
    """Find the subvolume that a stub stands for; PermissionError for others than root."""
    parent, name = os.path.split(path)
    with inode.directory(parent) as fd:
        identifier = _named(fd, os.fsencode(name))
        return Stub(identifier, _path(fd, identifier) if identifier else "")


def refused(path: str) -> Refused:
    """What to raise where something is to be done at a stub: which one it is, and what to do."""
    try:
        found = whither(path)
    except PermissionError:
        found = None
    told = refusal(path, found)
    return Refused(told.text, told.hint)


def _named(fd: int, name: bytes) -> int:
    """The id of the subvolume that an entry of a directory names; 0 where none does.

    Read from the tree as it was committed, so the kernel is told to commit first. It refuses
    that after an error (EROFS); then what was committed before that counts.
    """
    with suppress(OSError):
        treesearch.commit(fd)
    number = os.fstat(fd).st_ino
    for *_, data in treesearch.items(fd, 0, (number, number), (_DIR_INDEX, _DIR_INDEX)):
        target, kind, _, _, _, length, _ = _ENTRY.unpack_from(data)
        if kind == _ROOT_ITEM and data[_ENTRY.size : _ENTRY.size + length] == name:
            return int(target)
    return 0


def _path(fd: int, identifier: int) -> str:
    """The path of a subvolume from the top level; "" where it is in no directory (deleted)."""
    names: list[str] = []
    while identifier != _TOP:
        within = (identifier, identifier)
        backrefs = treesearch.items(
            fd, treesearch.ROOT_TREE, within, (_ROOT_BACKREF, _ROOT_BACKREF)
        )
        found = next(backrefs, None)
        if found is None:
            return ""
        _, identifier, _, data = found
        directory, _, length = _REFERENCE.unpack_from(data)
        name = data[_REFERENCE.size : _REFERENCE.size + length]
        names.insert(0, _folder(fd, identifier, directory) + os.fsdecode(name))
    return "/".join(names)


def _folder(fd: int, subvolume: int, directory: int) -> str:
    """The path of a directory in its subvolume, with a slash at its end; "" for its root."""
    if directory == btrfs.FIRST_INODE:
        return ""
    buffer = bytearray(struct.pack("=2Q", subvolume, directory).ljust(4096, b"\0"))
    return os.fsdecode(bytes(ioctl.call(fd, _INO_LOOKUP, buffer)[16:]).split(b"\0", 1)[0])
