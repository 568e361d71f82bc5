"""What only root can ask of a Btrfs: BTRFS_IOC_TREE_SEARCH_V2 (linux/btrfs_tree.h).

Limits of qgroups (btrfs-quota(8)), where the subvolume is that an empty stub stands for, and the
subvolumes by their paths from the top level.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.facts.limits import EXCLUSIVE, REFERENCED, Limit, Quota
from reconciler.facts.mountable import DIRECTORY, LINK, MISSING, OTHER, SUBVOLUME, TOP, Entry
from reconciler.facts.stub import Stub, refusal
from reconciler.linux import btrfs, inode, syscalls
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_MAGIC = 0x94

_SEARCH_V2 = syscalls.number(syscalls.READ | syscalls.WRITE, _MAGIC, 17, 112)

_START_SYNC = syscalls.number(syscalls.READ, _MAGIC, 24, 8)

_WAIT_SYNC = syscalls.number(syscalls.WRITE, _MAGIC, 22, 8)

_KEY = struct.Struct("=7Q4I5Q")  # struct btrfs_ioctl_search_key, and buf_size

_HEADER = struct.Struct("=8xQQII")  # objectid, offset, type, length of an item

_CHANGED = struct.Struct("=8xQQ16xI8xI8xQ")
"""Of struct btrfs_inode_item: the transaction of its last change, size, nlink, mode, flags."""

_INODE_ITEM, _INODE_REF, _INODE_EXTREF, _DIR_ITEM, _DIR_INDEX = 1, 12, 13, 84, 96

ROOT_TREE, QUOTA_TREE = 1, 8  # BTRFSROOT_TREE_OBJECTID, BTRFS_QUOTA_TREE_OBJECTID

_LAST_KIND = 255

NODATASUM, NODATACOW = 1, 2  # BTRFS_INODE_NODATASUM, BTRFS_INODE_NODATACOW

IMMUTABLE, APPEND = 1 << 6, 1 << 7  # BTRFS_INODE_IMMUTABLE, BTRFS_INODE_APPEND

SEALED = 1 << 32  # BTRFS_INODE_RO_VERITY, in the upper half

_FIRST, _LAST, _ANY = 256, 2**64 - 257, 2**64 - 1  # BTRFS_FIRST_FREE_OBJECTID, LAST

_REPLY, _FEW, _ONE = 1 << 18, 1 << 16, 1 << 9


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


def attributes(fd: int, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each inode's number with its BTRFS_INODE_* flags; SEALED among them for fs-verity.

    As of the last commit, as everything here; one that is not in the tree is left out.
    """
    buffer = bytearray(_KEY.size + _ONE)
    for number in numbers:
        key = (0, number, number, 0, _ANY, 0, _ANY, _INODE_ITEM, _INODE_ITEM, 1, 0)
        _KEY.pack_into(buffer, 0, *key, 0, 0, 0, 0, _ONE)
        if _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9]:
            yield number, _CHANGED.unpack_from(buffer, _KEY.size + _HEADER.size)[4]


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
        count, at = _KEY.unpack_from(syscalls.call(fd, _SEARCH_V2, buffer))[9], _KEY.size
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


_REFERENCED, _EXCLUSIVE = 1, 2  # BTRFS_QGROUP_LIMIT_MAX_RFER, MAX_EXCL

_LEVEL = 48  # BTRFS_QGROUP_LEVEL_SHIFT

_STATUS, _INFO, _LIMIT, _RELATION = 240, 242, 244, 246

_QUOTA_LAST = 2**64 - 1

_ON, _INCONSISTENT, _SIMPLE = 1, 4, 8  # BTRFS_QGROUP_STATUS_FLAG_*

_RESERVED = ("rsv_data", "rsv_meta_pertrans", "rsv_meta_prealloc")


@dataclass(frozen=True, slots=True)
class _Group:
    """``flags`` say which limits there are; bytes."""

    flags: int = 0
    most_referenced: int = 0
    most_exclusive: int = 0
    referenced: int = 0
    exclusive: int = 0

    def limits(self, number: int) -> Iterator[Limit]:
        name = f"{number >> _LEVEL}/{number & ((1 << _LEVEL) - 1)}"
        if self.flags & _REFERENCED:
            yield Limit(name, REFERENCED, self.most_referenced, self.referenced)
        if self.flags & _EXCLUSIVE:
            yield Limit(name, EXCLUSIVE, self.most_exclusive, self.exclusive)


def quota_of(fd: int, uuid: str, subvolume: int) -> Quota:
    """The limits that count for the subvolume with that id; no limits where quotas are off."""
    if not os.path.isdir(f"/sys/fs/btrfs/{uuid}"):
        return _from_tree(fd, subvolume)
    folder = f"/sys/fs/btrfs/{uuid}/qgroups"
    try:
        if not os.path.isdir(folder) or _text(folder, "enabled", "1") == "0":
            return Quota()
        groups = dict(_in_sysfs(folder, subvolume))
        simple = _text(folder, "mode", "qgroup") == "squota"
        counting = _text(folder, "inconsistent", "0") != "0"
    except FileNotFoundError:  # quotas, or that qgroup, ended while we looked
        return Quota()
    return _judged(fd, subvolume, groups, simple=simple, counting=counting)


def _in_sysfs(folder: str, subvolume: int) -> Iterator[tuple[int, _Group]]:
    """The subvolume's own qgroup, and all of a higher level."""
    for name in os.listdir(folder):
        level, underscore, number = name.partition("_")
        if underscore and level.isdigit() and (level != "0" or number == str(subvolume)):
            path = f"{folder}/{name}"
            reserved = sum(_number(path, each) for each in _RESERVED)
            yield (
                int(level) << _LEVEL | int(number),
                _Group(
                    _number(path, "limit_flags"),
                    _number(path, "max_referenced"),
                    _number(path, "max_exclusive"),
                    _number(path, "referenced") + reserved,
                    _number(path, "exclusive") + reserved,
                ),
            )


def _text(folder: str, name: str, otherwise: str) -> str:
    """What a file says; a kernel before 6.7 has no "mode", one before 6.1 none of them."""
    try:
        with open(f"{folder}/{name}", encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return otherwise


def _number(folder: str, name: str) -> int:
    with open(f"{folder}/{name}", encoding="ascii") as file:
        return int(file.read())


def _judged(
    fd: int, subvolume: int, groups: dict[int, _Group], *, simple: bool, counting: bool
) -> Quota:
    """Those limits that count: of the subvolume's own qgroup and of all that it belongs to."""
    above = [number for number in groups if number >> _LEVEL and any(groups[number].limits(number))]
    mine, unseen = {subvolume}, False
    if above:
        try:
            mine |= _parents(fd, subvolume)
        except PermissionError:
            unseen = True
    limits = [
        limit for number in sorted(mine & groups.keys()) for limit in groups[number].limits(number)
    ]
    limits.sort(key=lambda limit: limit.left)
    return Quota(tuple(limits), simple, unseen, counting and bool(limits))


def _parents(fd: int, number: int) -> set[int]:
    """The qgroups that one belongs to, and those that they belong to; PermissionError."""
    found: set[int] = set()
    pending = [number]
    while pending:
        each = pending.pop()
        for _, other, _, _ in items(fd, QUOTA_TREE, (each, each), (_RELATION, _RELATION)):
            if other >> _LEVEL > each >> _LEVEL and other not in found:
                found.add(other)
                pending.append(other)
    return found


def _from_tree(fd: int, subvolume: int) -> Quota:
    """The same without sysfs, as of the last commit; for others than root nothing is seen."""
    kinds: dict[tuple[int, int], bytes] = {}
    try:
        for number, offset, kind, data in items(fd, QUOTA_TREE, (0, 0), (_STATUS, _LIMIT)):
            del number
            kinds[kind, offset] = data
    except PermissionError:
        return Quota(unseen=True)
    except OSError as error:
        if error.errno != errno.ENOENT:  # there is no such tree: quotas are off
            raise
        return Quota()
    flags = struct.unpack_from("=16xQ", kinds.get((_STATUS, 0), bytes(24)))[0]
    if not flags & _ON:
        return Quota()
    groups = {
        number: _group(data, kinds.get((_LIMIT, number), bytes(40)))
        for (kind, number), data in kinds.items()
        if kind == _INFO and (number >> _LEVEL or number == subvolume)
    }
    simple, counting = bool(flags & _SIMPLE), bool(flags & _INCONSISTENT)
    return _judged(fd, subvolume, groups, simple=simple, counting=counting)


def _group(info: bytes, limit: bytes) -> _Group:
    """Of a struct btrfs_qgroup_info_item and a struct btrfs_qgroup_limit_item."""
    _, referenced, _, exclusive = struct.unpack_from("=4Q", info)
    flags, most_referenced, most_exclusive = struct.unpack_from("=3Q", limit)
    return _Group(flags, most_referenced, most_exclusive, referenced, exclusive)


_INO_LOOKUP = syscalls.number(syscalls.READ | syscalls.WRITE, 0x94, 18, 4096)

_STUB_DIR_ITEM, _STUB_DIR_INDEX, _ROOT_ITEM, _ROOT_BACKREF = 84, 96, 132, 144

_ROOT_TREE_DIR = 6  # BTRFS_ROOT_TREE_DIR_OBJECTID

_ENTRY = struct.Struct("=QBQQHHB")
"""struct btrfs_dir_item: key (object, type, offset), transid, data_len, name_len, type."""

_REFERENCE = struct.Struct("=QQH")  # struct btrfs_root_ref: dirid, sequence, name_len

_NUMBER = 2  # BTRFS_EMPTY_SUBVOL_DIR_OBJECTID

_TOP = 5  # BTRFS_FS_TREE_OBJECTID


def is_stub(path: str, status: os.stat_result) -> bool:
    """Whether what is at a path is such a stub: other filesystems have an inode 2, too."""
    return status.st_ino == _NUMBER and syscalls.filesystem_type(path) == "btrfs"


def whither(path: str) -> Stub:
    """Find the subvolume that a stub stands for; PermissionError for others than root."""
    parent, name = os.path.split(path)
    with inode.directory(parent) as fd:
        identifier = _named(fd, os.fsencode(name))
        return Stub(identifier, _path(fd, identifier) if identifier else "")


def path_of(fd: int, identifier: int) -> str:
    """Return the path of a subvolume from the top level; "" where no directory holds it."""
    return _path(fd, identifier)


def stub_refused(path: str) -> HostError:
    """What to raise where something is to be done at a stub: which one it is, and what to do."""
    try:
        found = whither(path)
    except PermissionError:
        found = None
    told = refusal(path, found)
    return HostError(told.text, told.hint)


def _named(fd: int, name: bytes) -> int:
    """The id of the subvolume that an entry of a directory names; 0 where none does.

    Read from the tree as it was committed, so the kernel is told to commit first. It refuses
    that after an error (EROFS); then what was committed before that counts.
    """
    with suppress(OSError):
        commit(fd)
    number = os.fstat(fd).st_ino
    for *_, data in items(fd, 0, (number, number), (_STUB_DIR_INDEX, _STUB_DIR_INDEX)):
        target, kind, _, _, _, length, _ = _ENTRY.unpack_from(data)
        if kind == _ROOT_ITEM and data[_ENTRY.size : _ENTRY.size + length] == name:
            return int(target)
    return 0


def default_subvolume(fd: int) -> tuple[int, str]:
    """Return the id and the path of what a mount without subvol= shows; PermissionError for users.

    ``btrfs subvolume set-default`` writes the id into the entry "default" of the tree of roots
    (BTRFS_ROOT_TREE_DIR_OBJECTID).
    """
    within, kinds = (_ROOT_TREE_DIR, _ROOT_TREE_DIR), (_STUB_DIR_ITEM, _STUB_DIR_ITEM)
    for *_, data in items(fd, ROOT_TREE, within, kinds):
        identifier, _, _, _, _, length, _ = _ENTRY.unpack_from(data)
        if data[_ENTRY.size : _ENTRY.size + length] == b"default":
            return int(identifier), _path(fd, identifier)
    return _TOP, ""


def _path(fd: int, identifier: int) -> str:
    """The path of a subvolume from the top level; "" where it is in no directory (deleted)."""
    names: list[str] = []
    while identifier != _TOP:
        within = (identifier, identifier)
        backrefs = items(fd, ROOT_TREE, within, (_ROOT_BACKREF, _ROOT_BACKREF))
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
    return os.fsdecode(bytes(syscalls.call(fd, _INO_LOOKUP, buffer)[16:]).split(b"\0", 1)[0])


T = TypeVar("T")

_TOPLEVEL_DIR_ITEM, _TOPLEVEL_ROOT_ITEM, _TOPLEVEL_ROOT_BACKREF = 84, 132, 144

_DIRECTORY_TYPE, _LINK_TYPE = 2, 7  # BTRFS_FT_DIR, BTRFS_FT_SYMLINK

_TREE_DIRECTORY = 6  # BTRFS_ROOT_TREE_DIR_OBJECTID


def subvolume_named(on: str, path: str) -> Entry:
    """Find what a path from the top level leads to, on the filesystem mounted at ``on``."""
    return _asked(on, lambda fd: _walk(fd, [os.fsencode(n) for n in path.split("/") if n]))


def subvolume_path(on: str, identifier: int) -> str:
    """Return the path of a subvolume from the top level; "" where there is none of that id."""
    if identifier == TOP:
        return "/"
    found = _asked(on, lambda fd: path_of(fd, identifier))
    return f"/{found}" if found else ""


def default_identifier(on: str) -> int:
    """Return the id of the subvolume that is mounted where no option names one."""

    def ask(fd: int) -> int:
        found = _entries(fd, ROOT_TREE, _TREE_DIRECTORY)
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
        if key == _TOPLEVEL_ROOT_ITEM:
            if not _is_in(fd, target, tree):
                return Entry(0, OTHER)
            tree, folder, kind = target, btrfs.FIRST_INODE, SUBVOLUME
        else:
            folder = target
            kind = {_DIRECTORY_TYPE: DIRECTORY, _LINK_TYPE: LINK}.get(file_type, OTHER)
    return Entry(tree if kind == SUBVOLUME else 0, kind)


def _entries(fd: int, tree: int, folder: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the target, the type of its key, the type of file and the name of each entry."""
    of_folder = items(fd, tree, (folder, folder), (_TOPLEVEL_DIR_ITEM, _TOPLEVEL_DIR_ITEM))
    for _, _, kind, data in of_folder:
        at = 0
        while kind == _TOPLEVEL_DIR_ITEM and at < len(data):  # names of one hash lie in one item
            target, key, _, _, more, length, file_type = _ENTRY.unpack_from(data, at)
            at += _ENTRY.size
            yield target, key, file_type, data[at : at + length]
            at += length + more


def _is_in(fd: int, identifier: int, parent: int) -> bool:
    """Tell whether a subvolume is in ``parent``: a snapshot of that shows an empty stub instead."""
    within = (identifier, identifier)
    found = items(fd, ROOT_TREE, within, (_TOPLEVEL_ROOT_BACKREF, _TOPLEVEL_ROOT_BACKREF))
    return any(above == parent for _, above, _, _ in found)
