"""The subvolumes of a filesystem and where they lie, read from its trees (root only).

A snapshot shows an empty stub in place of a subvolume inside (facts.stub): what it stands for.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.mountable import DIRECTORY, MISSING, OTHER, SUBVOLUME, TOP, Entry
from reconciler.facts.stub import Stub, refusal
from reconciler.linux import btrfs, inode, syscalls, users
from reconciler.linux.tree_search import (
    DIR_ITEM,
    EVERY,
    EXTENT_DATA,
    ROOT_BACKREF,
    ROOT_ITEM,
    ROOT_TREE,
    items,
    items_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


_REFS = 216  # offsetof(struct btrfs_root_item, refs), 32 bits

_PARENT_UUID = 263  # offsetof(struct btrfs_root_item, parent_uuid)

_ENTRY = struct.Struct("=QBQQHHB")
"""struct btrfs_dir_item: key (object, type, offset), transid, data_len, name_len, type."""

_REFERENCE = struct.Struct("=QQH")  # struct btrfs_root_ref: dirid, sequence, name_len

STUB_INODE = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID


def snapshots(fd: int, of: bytes) -> list[int]:
    """Find the ids of what was snapshotted from the subvolume with UUID ``of``, the oldest first.

    PermissionError for others than root. A deleted snapshot has no references left; its item
    stays until the cleaner has been there.
    """
    return [
        identifier
        for identifier, _, kind, item in items(fd, ROOT_TREE, EVERY, (ROOT_ITEM, ROOT_ITEM))
        if kind == ROOT_ITEM
        and item[_PARENT_UUID : _PARENT_UUID + 16] == of
        and any(item[_REFS : _REFS + 4])
    ]


def is_stub(path: str, status: os.stat_result) -> bool:
    """Whether what is at a path is such a stub: other filesystems have an inode 2, too."""
    return status.st_ino == STUB_INODE and syscalls.filesystem_type(path) == "btrfs"


def whither(path: str) -> Stub:
    """Find the subvolume that a stub stands for; PermissionError for others than root.

    Read from the tree as it was committed, so the kernel is told to commit first. It refuses
    that after an error (EROFS); then what was committed before that counts.
    """
    parent, name = os.path.split(path)
    with inode.directory(parent) as fd:
        with suppress(OSError):
            btrfs.commit(fd)
        aim, found = os.fsencode(name), _entries(fd, 0, os.fstat(fd).st_ino)
        named = (target for target, key, _, each in found if key == ROOT_ITEM and each == aim)
        identifier = next(named, 0)
        return Stub(identifier, path_of(fd, identifier) if identifier else "")


def stub_refused(path: str) -> HostError:
    """What to raise where something is to be done at a stub: which one it is, and what to do."""
    try:
        found = whither(path)
    except PermissionError:
        found = None
    told = refusal(path, found, as_root=users.is_root())
    return HostError(told.text, told.hint)


def path_of(fd: int, identifier: int) -> str:
    """The path of a subvolume from the top level; "" where it is in no directory (deleted)."""
    names: list[str] = []
    while identifier != TOP:
        found = next(items_of(fd, ROOT_TREE, identifier, ROOT_BACKREF), None)
        if found is None:
            return ""
        identifier, data = found
        directory, _, length = _REFERENCE.unpack_from(data)
        name = data[_REFERENCE.size : _REFERENCE.size + length]
        names.insert(0, _folder(fd, identifier, directory) + os.fsdecode(name))
    return "/".join(names)


def _folder(fd: int, subvolume: int, directory: int) -> str:
    """The path of a directory in its subvolume, with a slash at its end; "" for its root."""
    if directory == btrfs.FIRST_INODE:
        return ""
    buffer = bytearray(struct.pack("=2Q", subvolume, directory).ljust(4096, b"\0"))
    request = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 18, len(buffer))  # INO_LOOKUP
    return os.fsdecode(bytes(syscalls.call(fd, request, buffer)[16:]).split(b"\0", 1)[0])


_DIRECTORY_TYPE, _LINK_TYPE = 2, 7  # BTRFS_FT_DIR, BTRFS_FT_SYMLINK


def subvolume_named(on: str, path: str) -> Entry:
    """Find what a path from the top level leads to, on the filesystem mounted at ``on``."""
    names = [os.fsencode(name) for name in path.split("/") if name]
    with _opened(on) as fd:
        found = _walk(fd, names)
        if found.kind == SUBVOLUME:
            return found
        with suppress(OSError):  # what was made just now lies beside the trees
            btrfs.commit(fd)
        return _walk(fd, names)


def subvolume_path(on: str, identifier: int) -> str:
    """Return the path of a subvolume from the top level; "" where there is none of that id."""
    if identifier == TOP:
        return "/"
    with _opened(on) as fd:
        found = path_of(fd, identifier)
    return f"/{found}" if found else ""


def default_identifier(on: str) -> int:
    """Return the id of the subvolume that is mounted where no option names one."""
    with _opened(on) as fd:
        return default_subvolume(fd)[0]


def default_subvolume(fd: int) -> tuple[int, str]:
    """Return the id and the path of what a mount without subvol= shows; PermissionError.

    ``btrfs subvolume set-default`` wrote it into the tree of roots; else it is TOP.
    """
    found = _entries(fd, ROOT_TREE, 6)  # BTRFS_ROOT_TREE_DIR_OBJECTID
    identifier = next((target for target, _, _, name in found if name == b"default"), TOP)
    return identifier, path_of(fd, identifier)


@contextmanager
def _opened(on: str) -> Iterator[int]:
    """Hold a descriptor of a directory; NotVisible where its trees may not be read."""
    with inode.opened(on) as fd:
        try:
            yield fd
        except PermissionError:
            raise users.not_visible("list subvolumes") from None


_MOST_LINKS = 40  # MAXSYMLINKS: path_resolution(7)


def _walk(fd: int, names: list[bytes]) -> Entry:
    """Go from the top level as the kernel does at a mount: links lead no further up than that."""
    above = [(TOP, btrfs.FIRST_INODE)]
    pending, links = names[::-1], 0
    while pending:
        name = pending.pop()
        tree, folder = above[-1]
        if name == b".":
            continue
        if name == b"..":
            above = above[:-1] or above
            continue
        found = next((e for e in _entries(fd, tree, folder) if e[3] == name), None)
        if found is None:
            return Entry(0, MISSING)
        target, key, file_type, _ = found
        if key == ROOT_ITEM:
            parents = (parent for parent, _ in items_of(fd, ROOT_TREE, target, ROOT_BACKREF))
            if tree not in parents:  # a snapshot of the parent, which shows an empty stub instead
                return Entry(0, OTHER)
            above.append((target, btrfs.FIRST_INODE))
        elif file_type == _DIRECTORY_TYPE:
            above.append((tree, target))
        elif file_type == _LINK_TYPE and links < _MOST_LINKS:
            links += 1
            text = _link(fd, tree, target)
            above = above[:1] if text.startswith(b"/") else above
            pending += [n for n in text.split(b"/") if n][::-1]
        else:
            return Entry(0, MISSING if pending or file_type == _LINK_TYPE else OTHER)
    tree, folder = above[-1]
    if folder != btrfs.FIRST_INODE:
        return Entry(0, DIRECTORY)
    return Entry(tree, SUBVOLUME, f"/{path_of(fd, tree)}" if links else "")


def _link(fd: int, tree: int, number: int) -> bytes:
    """Read where a symbolic link leads to: its text is in the tree, behind 21 bytes of header."""
    return next((data[21:] for _, data in items_of(fd, tree, number, EXTENT_DATA)), b"")


def _entries(fd: int, tree: int, folder: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the target, the type of its key, the type of file and the name of each entry."""
    for _, data in items_of(fd, tree, folder, DIR_ITEM):
        at = 0
        while at < len(data):  # names of one hash lie in one item
            target, key, _, _, more, length, file_type = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            yield target, key, file_type, data[at : at + length]
            at += length + more
