"""What subvol= and subvolid= lead to: subvolumes as seen from the top level of a filesystem.

Any descriptor on the filesystem will do: the trees are searched, and nothing is mounted for it,
since a mount could change what others see. TREE_SEARCH is for root. Entries of directories are
read as BTRFS_DIR_ITEM_KEY, which the kernel inserts at once (linux/btrfs_tree.h).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, TypeVar

from reconciler.facts.host_view import NotVisible
from reconciler.facts.mountable import DIRECTORY, LINK, MISSING, OTHER, SUBVOLUME, TOP, Entry
from reconciler.linux import btrfs, inode, tree_search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


T = TypeVar("T")

_DIR_ITEM, _ROOT_ITEM, _ROOT_BACKREF = 84, 132, 144

_ENTRY = struct.Struct("=QBQQHHB")
"""struct btrfs_dir_item: key (object, type, offset), transid, data_len, name_len, type."""

_DIRECTORY_TYPE, _LINK_TYPE = 2, 7  # BTRFS_FT_DIR, BTRFS_FT_SYMLINK

_TREE_DIRECTORY = 6  # BTRFS_ROOT_TREE_DIR_OBJECTID


def named(on: str, path: str) -> Entry:
    """Find what a path from the top level leads to, on the filesystem mounted at ``on``."""
    return _asked(on, lambda fd: _walk(fd, [os.fsencode(n) for n in path.split("/") if n]))


def path_of(on: str, identifier: int) -> str:
    """Return the path of a subvolume from the top level; "" where there is none of that id."""
    if identifier == TOP:
        return "/"
    found = _asked(on, lambda fd: tree_search.path_of(fd, identifier))
    return f"/{found}" if found else ""


def default(on: str) -> int:
    """Return the id of the subvolume that is mounted where no option names one."""

    def ask(fd: int) -> int:
        found = _entries(fd, tree_search.ROOT_TREE, _TREE_DIRECTORY)
        return next((target for target, _, _, name in found if name == b"default"), TOP)

    return _asked(on, ask)


def _asked(on: str, ask: Callable[[int], T]) -> T:
    with inode.opened(on) as fd:
        try:
            return ask(fd)
        except PermissionError:
            if os.geteuid():
                raise NotVisible("only root can list subvolumes") from None
            why = "the kernel lists subvolumes for no container (CAP_SYS_ADMIN of the host)"
            raise NotVisible(why, for_all=True) from None


def _walk(fd: int, names: list[bytes]) -> Entry:
    tree, folder = TOP, btrfs.FIRST_INODE
    kind = SUBVOLUME
    for name in names:
        if kind not in {SUBVOLUME, DIRECTORY}:
            return Entry(0, LINK if kind == LINK else MISSING)
        found = next((e for e in _entries(fd, tree, folder) if e[3] == name), None)
        if found is None:
            return Entry(0, MISSING)
        target, key, file_type, _ = found
        if key == _ROOT_ITEM:
            if not _is_in(fd, target, tree):
                return Entry(0, OTHER)
            tree, folder, kind = target, btrfs.FIRST_INODE, SUBVOLUME
        else:
            folder = target
            kind = {_DIRECTORY_TYPE: DIRECTORY, _LINK_TYPE: LINK}.get(file_type, OTHER)
    return Entry(tree if kind == SUBVOLUME else 0, kind)


def _entries(fd: int, tree: int, folder: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the target, the type of its key, the type of file and the name of each entry."""
    of_folder = tree_search.items(fd, tree, (folder, folder), (_DIR_ITEM, _DIR_ITEM))
    for _, _, kind, data in of_folder:
        at = 0
        while kind == _DIR_ITEM and at < len(data):  # names of one hash lie in one item
            target, key, _, _, more, length, file_type = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            yield target, key, file_type, data[at : at + length]
            at += length + more


def _is_in(fd: int, identifier: int, parent: int) -> bool:
    """Tell whether a subvolume is in ``parent``: a snapshot of that shows an empty stub instead."""
    within = (identifier, identifier)
    found = tree_search.items(fd, tree_search.ROOT_TREE, within, (_ROOT_BACKREF, _ROOT_BACKREF))
    return any(above == parent for _, above, _, _ in found)
